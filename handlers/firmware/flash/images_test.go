package flash

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
)

// images are a chain's, by base name. mb1 lists what the others must be, so that a BootROM can judge.
type images map[string][]byte

// release makes a chain's images: about three quarters of each partition, none of eks and what is reserved.
func (p plan) release(seed int64) images {
	random := rand.New(rand.NewSource(seed))
	im := images{}
	for _, c := range append(chain234[1:], vers) {
		if c.name == "eks" || c.name == "reserved_on_boot" || c.name == "smm-fw" {
			continue
		}
		q := p.part("A_" + c.name)
		data := make([]byte, max(1, q.size*3/4-random.Int63n(500)))
		random.Read(data)
		if len(data) > 3000 {
			copy(data[1000:], bytes.Repeat([]byte{0xff}, 900)) // some pages need no program
		}
		im[c.name] = data
	}
	return im.seal(p, random)
}

// seal makes mb1: a first page with its own checksum and that of the rest, which lists the other images.
func (im images) seal(p plan, random io.Reader) images {
	var list []byte
	for _, c := range append(chain234, vers) {
		if data, ok := im[c.name]; ok && c.name != "mb1" {
			list = fmt.Appendf(list, "%s %d %d\n", c.name, len(data), crc32.ChecksumIEEE(data))
		}
	}
	body := make([]byte, max(int(p.part("A_mb1").size*3/4)-256, len(list)+1))
	_, _ = random.Read(body)
	copy(body, list)
	body[len(list)] = 0
	head := make([]byte, 256)
	copy(head, "MB1 ")
	binary.LittleEndian.PutUint32(head[8:], uint32(len(body)))
	binary.LittleEndian.PutUint32(head[12:], crc32.ChecksumIEEE(body))
	binary.LittleEndian.PutUint32(head[4:], crc32.ChecksumIEEE(head[8:]))
	im["mb1"] = append(head, body...)
	return im
}

// headValid and complete are the little BootROM: whether it would start a chain's mb1, and whether all that mb1 loads is whole.
func headValid(flash []byte, mb1 partition) bool {
	head := flash[mb1.off : mb1.off+256]
	return string(head[:4]) == "MB1 " && binary.LittleEndian.Uint32(head[4:]) == crc32.ChecksumIEEE(head[8:])
}

func complete(p plan, flash []byte, s backends.Slot) error {
	mb1 := p.part(string(s) + "_mb1")
	n := int64(binary.LittleEndian.Uint32(flash[mb1.off+8:]))
	body := flash[mb1.off+256 : mb1.off+256+n]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(flash[mb1.off+12:]) {
		return fmt.Errorf("mb1 itself is not whole")
	}
	list, _, _ := strings.Cut(string(body), "\x00")
	for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
		var name string
		var size int64
		var sum uint32
		if _, err := fmt.Sscan(line, &name, &size, &sum); err != nil {
			return err
		}
		if q := p.part(string(s) + "_" + name); crc32.ChecksumIEEE(flash[q.off:q.off+size]) != sum {
			return fmt.Errorf("%s is not whole", name)
		}
	}
	return nil
}

// put is how a flash looks when a chain's images are in place: behind each, its last block is erased.
func (p plan) put(flash []byte, s backends.Slot, im images) {
	for name, data := range im {
		q := p.part(string(s) + "_" + name)
		copy(flash[q.off:], data)
		end := (int64(len(data)) + p.erase - 1) / p.erase * p.erase
		for i := q.off + int64(len(data)); i < q.off+end; i++ {
			flash[i] = 0xff
		}
	}
}

// old is a flash with both chains and something in every shared partition.
func (p plan) old(im images) []byte {
	flash := bytes.Repeat([]byte{0xff}, int(p.size))
	random := rand.New(rand.NewSource(7))
	for _, q := range p.parts {
		if !strings.HasPrefix(q.name, "A_") && !strings.HasPrefix(q.name, "B_") && q.name != "secondary_gpt_backup" {
			random.Read(flash[q.off : q.off+q.size])
		}
	}
	for _, s := range backends.Slots {
		q := p.part(string(s) + "_eks")
		random.Read(flash[q.off : q.off+q.size])
		q = p.part(string(s) + "_rce-fw") // what an older, longer image left
		random.Read(flash[q.off : q.off+q.size])
		p.put(flash, s, im)
		copy(flash[p.place(s):], p.table(p.place(s)))
	}
	return flash
}
