package image_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/handlers/image"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func TestInstall(t *testing.T) {
	plain := noise(3*mib+12345, "new") // ends within a chunk
	packed := compress(t, plain)
	exact := noise(appSize, "exact")
	for _, tt := range []struct {
		name string
		run  func(o orin) (image.Result, error)
		want []byte
	}{
		{"a file", func(o orin) (image.Result, error) { return o.file(plain, unknown()) }, plain},
		{"a file as announced", func(o orin) (image.Result, error) { return o.file(plain, announced(plain)) }, plain},
		{"a compressed file", func(o orin) (image.Result, error) { return o.file(packed, unknown()) }, plain},
		{"a compressed file as announced", func(o orin) (image.Result, error) { return o.file(packed, announced(plain)) }, plain},
		{"a stream", func(o orin) (image.Result, error) { return o.stream(bytes.NewReader(plain), announced(plain)) }, plain},
		{"a stream by the byte", func(o orin) (image.Result, error) {
			return o.stream(onebyte{bytes.NewReader(plain[:5000])}, announced(plain[:5000]))
		}, plain[:5000]},
		{"a compressed stream", func(o orin) (image.Result, error) { return o.stream(bytes.NewReader(packed), announced(plain)) }, plain},
		{"two frames", func(o orin) (image.Result, error) {
			return o.stream(bytes.NewReader(append(compress(t, plain[:mib]), compress(t, plain[mib:])...)), announced(plain))
		}, plain},
		{"the whole partition", func(o orin) (image.Result, error) { return o.file(exact, unknown()) }, exact},
		{"one byte", func(o orin) (image.Result, error) { return o.file(plain[:1], unknown()) }, plain[:1]},
		{"a digest in capitals", func(o orin) (image.Result, error) {
			opts := announced(plain)
			opts.SHA256 = string(bytes.ToUpper([]byte(opts.SHA256)))
			return o.file(plain, opts)
		}, plain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrin(t)
			running := o.content("APP")
			got, err := tt.run(o)
			if err != nil {
				t.Fatal(err)
			}
			want := image.Result{Slot: backends.B, Label: "APP_b", Device: "/dev/nvme0n1p2", Size: int64(len(tt.want)), SHA256: digest(tt.want)}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			after := o.content("APP_b")
			if !bytes.Equal(after[:len(tt.want)], tt.want) || len(after) != appSize {
				t.Error("the partition does not hold the image")
			}
			if !bytes.Equal(o.content("APP"), running) {
				t.Error("the running slot was touched")
			}
			if st := o.status(); st.Update.State != backends.StagedAll {
				t.Errorf("the update is %s", st.Update.State)
			}
			if _, err := o.control().Activate(context.Background(), "", backends.None); err != nil {
				t.Error(err)
			}
		})
	}
}

// Before Begin nothing is touched; whatever is found while writing leaves a torn, unbootable target and a running slot as it was.
func TestBadImages(t *testing.T) {
	plain := noise(2*mib, "bad")
	packed := compress(t, plain)
	flipped := bytes.Clone(packed)
	flipped[len(flipped)/2] ^= 1
	size := func(n int64) image.Options { o := announced(plain); o.Size = n; return o }
	sum := func(s string) image.Options { o := announced(plain); o.SHA256 = s; return o }
	zero := digest(nil)
	for _, tt := range []struct {
		name    string
		stream  bool
		content []byte
		opts    image.Options
		code    fail.Code
		text    string
		touched bool
	}{
		{"an empty file", false, nil, unknown(), fail.Data, "empty", false},
		{"an empty stream", true, nil, announced(plain), fail.Data, "empty", false},
		{"a stream without size", true, plain, image.Options{Size: -1, SHA256: digest(plain)}, fail.Usage, "--size", false},
		{"a stream without digest", true, plain, image.Options{Size: 2 * mib}, fail.Usage, "--sha256", false},
		{"a digest that is none", false, plain, image.Options{Size: -1, SHA256: "xyz"}, fail.Usage, "64 hexadecimal digits", false},
		{"a digest that is short", false, plain, image.Options{Size: -1, SHA256: zero[:62]}, fail.Usage, "64 hexadecimal digits", false},
		{"no such partition", false, plain, image.Options{Size: -1, Partition: "esp"}, fail.Usage, "the partitions are", false},
		{"a file of another size", false, plain, size(2*mib - 1), fail.Data, "2097151 were announced", false},
		{"a file too big for the partition", false, noise(appSize+1, "big"), unknown(), fail.Unavailable, "it has 4194304 bytes", false},
		{"a stream announced too big", true, plain, size(appSize + 1), fail.Unavailable, "it has 4194304 bytes", false},
		{"compressed, too big and not announced", false, compress(t, noise(appSize+1, "big")), unknown(), fail.Unavailable, "it has 4194304 bytes", true},
		{"a stream that ends early", true, plain[:len(plain)-1], announced(plain), fail.Data, "it ended after 2097151 bytes", true},
		{"a stream with a byte more", true, append(bytes.Clone(plain), 0), announced(plain), fail.Data, "more than the 2097152 bytes", true},
		{"a stream announced shorter", true, plain, size(100), fail.Data, "more than the 100 bytes", true},
		{"another digest", true, plain, sum(zero), fail.Data, "its SHA-256 is", true},
		{"another digest of a file", false, plain, sum(zero), fail.Data, "its SHA-256 is", true},
		{"zstd, truncated stream", true, packed[:len(packed)-10], announced(plain), fail.Data, "cannot decompress", true},
		{"zstd, truncated file that announces nothing", false, packed[:len(packed)-10], unknown(), fail.Data, "cannot decompress", true},
		{"zstd, truncated within the first chunk", false, packed[:1000], unknown(), fail.Data, "cannot decompress", false},
		{"zstd, a magic and nothing", false, packed[:4], unknown(), fail.Data, "cannot decompress", false},
		{"zstd, corrupt", false, flipped, unknown(), fail.Data, "cannot decompress", true},
		{"zstd, corrupt stream", true, flipped, announced(plain), fail.Data, "cannot decompress", true},
		{"zstd, garbage behind it", false, append(bytes.Clone(packed), "garbage"...), unknown(), fail.Data, "cannot decompress", true},
		{"zstd, garbage behind the stream", true, append(bytes.Clone(packed), "garbage"...), announced(plain), fail.Data, "cannot decompress", true},
		{"zstd, more than announced", true, packed, size(mib), fail.Data, "more than the 1048576 bytes", true},
		{"zstd of nothing", false, compress(t, nil), unknown(), fail.Data, "empty", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrin(t)
			running, target := o.content("APP"), o.content("APP_b")
			var err error
			if tt.stream {
				_, err = o.stream(bytes.NewReader(tt.content), tt.opts)
			} else {
				_, err = o.file(tt.content, tt.opts)
			}
			wantFailure(t, err, tt.code, tt.text)
			if !bytes.Equal(o.content("APP"), running) {
				t.Error("the running slot was touched")
			}
			st := o.status()
			if slot := st.Slots[backends.B]; (slot.Rootfs == backends.Torn) != tt.touched || *slot.Bootable == tt.touched {
				t.Errorf("the target is %s, bootable %t; touched %t", slot.Rootfs, *slot.Bootable, tt.touched)
			}
			if !tt.touched && !bytes.Equal(o.content("APP_b"), target) {
				t.Error("the target was touched")
			}
			if tt.touched && st.Update.State != backends.Failed {
				t.Errorf("the update is %s", st.Update.State)
			}
			if slot := st.Slots[backends.A]; !*slot.Bootable || *slot.Retries != 3 {
				t.Errorf("the running slot: %+v", slot)
			}
			// The cure needs no abort.
			if _, err := o.file(plain, announced(plain)); err != nil {
				t.Errorf("the right image afterwards: %v", err)
			}
		})
	}
}

// A reader that fails is the transport's fault, not the image's.
func TestUnreadableInput(t *testing.T) {
	plain := noise(2*mib, "unreadable")
	broken := errors.New("broken transport")
	for _, after := range []int{0, 100, mib + 1} {
		o := newOrin(t)
		_, err := o.stream(io.MultiReader(bytes.NewReader(plain[:after]), failing{broken}), announced(plain))
		wantFailure(t, err, fail.IO, "broken transport")
		if torn := o.status().Slots[backends.B].Rootfs == backends.Torn; torn != (after > mib) {
			t.Errorf("after %d bytes: torn %t", after, torn)
		}
	}
}

func TestInterrupted(t *testing.T) {
	o := newOrin(t)
	ctx, cancel := context.WithCancel(context.Background())
	plain := noise(3*mib, "interrupted")
	src := sourceOf(io.MultiReader(bytes.NewReader(plain[:2*mib]), calling{cancel}, bytes.NewReader(plain[2*mib:])))
	opts := announced(plain)
	opts.Partition = "APP"
	_, err := image.Install(ctx, o.m, o.control(), src, opts)
	wantFailure(t, err, fail.IO, "context canceled")
}

// A partition that is a folder, or missing, or a link to nowhere.
func TestNoPartition(t *testing.T) {
	plain := noise(1000, "none")
	o := newOrin(t)
	for _, spoil := range []func() error{
		func() error { return os.Remove(filepath.Join(o.dir, "dev/nvme0n1p2")) },
		func() error { return os.RemoveAll(filepath.Join(o.dir, "dev/disk/by-partlabel/APP_b")) },
		func() error { return os.RemoveAll(filepath.Join(o.dir, "sys/class/block/nvme0n1p2")) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		_, err := o.file(plain, unknown())
		wantFailure(t, err, fail.Unavailable, "APP_b")
	}
}

type onebyte struct{ r io.Reader }

func (r onebyte) Read(p []byte) (int, error) {
	if len(p) > 1 {
		p = p[:1]
	}
	return r.r.Read(p)
}

type failing struct{ err error }

func (r failing) Read([]byte) (int, error) { return 0, r.err }

// calling is a reader of nothing that does something when it is read.
type calling struct{ do func() }

func (r calling) Read([]byte) (int, error) {
	r.do()
	return 0, io.EOF
}
