package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// job is one run of blocks and what they shall hold.
type job struct {
	name  string
	on    *store
	off   int64 // of its first block on the device, bytes
	size  int64 // of the image, bytes
	whole int64 // of the partition, bytes
	image io.ReaderAt
	// digest is SHA-256 of the image as it came in with the stream: what is read back has to have it, not just to equal the kept file.
	// The partition table's is zero: it is judged by its own checksums.
	digest [sha256.Size]byte
	head   bool // mb1: made invalid first, made valid last
}

// headSize is how much of mb1 is made invalid: what the firmware's own update takes (InvalidateImage in edk2-nvidia's TegraFmp.c),
// in whole blocks.
const headSize = 4 << 10

func (j *job) blocks() int64 { return (j.size + j.on.unit - 1) / j.on.unit }

// heads is how many of the first blocks are mb1's head; 0 for other images. Blocks behind the image are none of them.
func (j *job) heads() int64 {
	if !j.head {
		return 0
	}
	return min((headSize+j.on.unit-1)/j.on.unit, j.blocks())
}

// want fills p with what block i shall hold: the image, and behind its end filler.
//
// Blocks wholly behind the image stay as they are: the firmware leaves them alone, too (WriteImageFromBuffer in TegraFmp.c), and
// the image's own header says where it ends. The rest of its last block is filler, so that what a block shall hold follows from
// the update alone: an interrupted write can be repeated, and read back, without knowing what was there before.
func (j *job) want(i int64, p []byte) error {
	at := i * j.on.unit
	n := min(j.on.unit, j.size-at)
	if got, err := j.image.ReadAt(p[:n], at); int64(got) < n {
		return fail.New(fail.IO, "cannot read the image of %s at %#x: %w", j.name, at, err)
	}
	for k := n; k < j.on.unit; k++ {
		p[k] = j.on.filler()
	}
	return nil
}

// read fills p with what block i holds.
func (j *job) read(i int64, p []byte) error {
	at := j.off + i*j.on.unit
	if n, err := j.on.flash.ReadAt(p, at); n < len(p) {
		return fail.New(fail.InputCode(err, fail.IO), "cannot read %s for %s at %#x: %w", j.on.node, j.name, at, err)
	}
	return nil
}

// buffers are two blocks, what is there and what shall be.
type buffers struct{ have, want []byte }

func (b *buffers) of(j *job, i int64) error {
	if int64(len(b.have)) != j.on.unit {
		b.have, b.want = make([]byte, j.on.unit), make([]byte, j.on.unit)
	}
	if err := j.read(i, b.have); err != nil {
		return err
	}
	return j.want(i, b.want)
}

func (b *buffers) equal() bool { return bytes.Equal(b.have, b.want) }

func blank(p []byte) bool {
	for _, b := range p {
		if b != 0xff {
			return false
		}
	}
	return true
}

// compare counts the blocks that differ, and what a writer of whole partitions would do.
func compare(ctx context.Context, jobs []*job) (differ int, r Report, err error) {
	var b buffers
	for _, j := range jobs {
		r.WholePages += int((j.size + pageSize - 1) / pageSize)
		if !j.on.block {
			r.WholeErases += int((j.whole + j.on.unit - 1) / j.on.unit)
		}
		for i := int64(0); i < j.blocks(); i++ {
			if err := ctx.Err(); err != nil {
				return 0, r, err
			}
			if err := b.of(j, i); err != nil {
				return 0, r, err
			}
			r.Compared++
			if b.equal() {
				r.Equal++
			} else {
				differ++
			}
		}
	}
	return differ, r, nil
}

// runs are the parts of a block that must be programmed into erased flash: whole pages that are not all ones. The last comes
// first where backwards is set.
func runs(want []byte, backwards bool) [][2]int {
	var parts [][2]int
	for at := 0; at < len(want); at += pageSize {
		end := min(at+pageSize, len(want))
		switch last := len(parts) - 1; {
		case blank(want[at:end]):
		case last >= 0 && parts[last][1] == at && !(backwards && parts[last][0] == 0):
			parts[last][1] = end
		default:
			parts = append(parts, [2]int{at, end})
		}
	}
	if backwards {
		for i, k := 0, len(parts)-1; i < k; i, k = i+1, k-1 {
			parts[i], parts[k] = parts[k], parts[i]
		}
	}
	return parts
}
