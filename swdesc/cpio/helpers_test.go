package cpio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
)

// formats are all formats, for subtests.
var formats = []cpio.Format{cpio.NewC, cpio.CRC}

// member is one with its data.
type member struct {
	Name string
	Data string
}

// header is the member's, as the format f has it.
func (m member) header(f cpio.Format) cpio.Header {
	h := cpio.Header{Name: m.Name, Size: int64(len(m.Data))}
	if f == cpio.CRC {
		h.Sum = cpio.Sum(0, []byte(m.Data))
	}
	return h
}

// write packs the members, as a caller does.
func write(w io.Writer, f cpio.Format, members []member) error {
	cw := cpio.NewWriter(w, f)
	for _, m := range members {
		if err := cw.WriteMember(m.header(f), strings.NewReader(m.Data)); err != nil {
			return err
		}
	}
	return cw.Close()
}

// archive is the packed archive.
func archive(t testing.TB, f cpio.Format, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, f, members); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read unpacks all members and what follows the trailer.
func read(in io.Reader) (members []member, r *cpio.Reader, zeros int64, err error) {
	r = cpio.NewReader(in)
	for {
		h, err := r.Next()
		if err == io.EOF {
			zeros, err = r.Trailing()
			return members, r, zeros, err
		}
		if err != nil {
			return members, r, 0, err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return members, r, 0, err
		}
		if int64(len(data)) != h.Size {
			return members, r, 0, fmt.Errorf("%s: %d bytes were read, the header says %d", h.Name, len(data), h.Size)
		}
		members = append(members, member{h.Name, string(data)})
	}
}

// various are members of all sizes that an alignment can get wrong, and of names of each length modulo 4.
func various() []member {
	var members []member
	for i, size := range []int{0, 1, 2, 3, 4, 5, 4095, 4096, 4097, 1 << 20} {
		data := make([]byte, size)
		for at := range data {
			data[at] = byte(at*7 + at>>8 + i)
		}
		members = append(members, member{fmt.Sprintf("%d%s", i, strings.Repeat("n", i)), string(data)})
	}
	return members
}

// run runs a program that has to succeed, and returns its stdout.
func run(t testing.TB, dir string, stdin []byte, argv ...string) []byte {
	t.Helper()
	out, stderr, err := try(dir, stdin, argv...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, stderr)
	}
	return out
}

func try(dir string, stdin []byte, argv ...string) (stdout []byte, stderr string, err error) {
	var out, complaints bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, bytes.NewReader(stdin), &out, &complaints
	err = cmd.Run()
	return out.Bytes(), complaints.String(), err
}

// store writes the members as files and returns the list of names that cpio -o wants.
func store(t testing.TB, dir string, members []member) []byte {
	t.Helper()
	var list bytes.Buffer
	for _, m := range members {
		if err := os.WriteFile(filepath.Join(dir, m.Name), []byte(m.Data), 0o600); err != nil {
			t.Fatal(err)
		}
		list.WriteString(m.Name + "\n")
	}
	return list.Bytes()
}

// wantMalformed fails unless err is the file's fault, has a place in it and contains text.
func wantMalformed(t testing.TB, err error, text string) {
	t.Helper()
	var format *cpio.FormatError
	switch {
	case err == nil:
		t.Errorf("no error, want %q", text)
	case !errors.As(err, &format) || !format.MalformedData():
		t.Errorf("error %q is no FormatError", err)
	case format.Offset < 0:
		t.Errorf("offset %d", format.Offset)
	case !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n"):
		t.Errorf("error %q, want one line with %q", err, text)
	}
}
