package check_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/swdesc/check"
	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// file is a member of a .swu.
type file struct {
	name string
	data []byte
}

// archive packs members as they are, with sums of their bytes.
func archive(t testing.TB, members ...file) []byte {
	t.Helper()
	return archiveAs(t, cpio.CRC, members)
}

func archiveAs(t testing.TB, format cpio.Format, members []file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := cpio.NewWriter(&b, format)
	for _, m := range members {
		if err := w.WriteMember(cpio.Header{Name: m.name, Size: int64(len(m.data)), Sum: cpio.Sum(0, m.data)},
			bytes.NewReader(m.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func compress(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// plainImage is a root file system as far as this package looks at one.
var plainImage = bytes.Repeat([]byte("root file system "), 1000)

// firmwareCapsule is a small and valid capsule.
func firmwareCapsule(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := capsule.Build(&b, capsule.BuildOptions{ImageType: guid.GUID{1}, BUP: bareBUP(t), Unsigned: true}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func bareBUP(t testing.TB) []byte {
	t.Helper()
	b, err := bup.BuildBytes(bup.BuildOptions{Images: []bup.Image{{Name: "mb1", Data: []byte("boot firmware")}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// part is a member and its entry in images.
type part struct {
	file
	attributes string
	sha256     string // "" is that of data
}

func (p part) entry() string {
	sum := p.sha256
	if sum == "" {
		sum = digest(p.data)
	}
	return fmt.Sprintf("{ filename = %q; sha256 = %q; %s }", p.name, sum, p.attributes)
}

// image is an entry of tegra-image for a member that holds plainImage.
func image(stored []byte, attributes string) part {
	return part{file: file{"rootfs.img", stored}, attributes: fmt.Sprintf(
		`type = "tegra-image"; %s properties: { partition = "APP"; size = "%d"; sha256 = "%s"; };`, attributes, len(plainImage),
		digest(plainImage))}
}

func firmwarePart(stored []byte, attributes string) part {
	return part{file: file{"TEGRA_BL.Cap", stored}, attributes: `type = "tegra-bup"; ` + attributes}
}

func archivePart(stored []byte, attributes string) part {
	return part{file: file{"a", stored}, attributes: `type = "archive"; path = "/"; ` + attributes}
}

// update makes the members of an update with these parts and the step that activates them.
func update(parts ...part) []file {
	activate := file{"activate", []byte("activate\n")}
	var entries []string
	members := []file{{"sw-description", nil}, {"sw-description.sig", []byte("signature")}}
	for _, p := range parts {
		entries = append(entries, p.entry())
		members = append(members, p.file)
	}
	const body = `images: ( %s ); scripts: ( { filename = "activate"; type = "tegra-activate"; sha256 = "%s"; } );`
	members[0].data = []byte(software(fmt.Sprintf(body,
		strings.Join(entries, ", "), digest(activate.data))))
	return append(members, activate)
}

// look checks an archive that the container's reader takes.
func look(t *testing.T, swu []byte, o check.Options) (*check.Contents, problem.List) {
	t.Helper()
	contents, list, err := check.Archive(context.Background(), "update.swu", bytes.NewReader(swu), o)
	if err != nil {
		t.Fatal(err)
	}
	return contents, list
}
