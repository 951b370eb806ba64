package check_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/swdesc/check"
	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
)

func TestContents(t *testing.T) {
	members := update(image(plainImage, ""))
	swu := archive(t, members...)
	contents, list := look(t, swu, signed)
	if len(list) > 0 {
		t.Fatalf("problems:%s", lines(list))
	}
	want := &check.Contents{Container: "crc", Syntax: "libconfig", Description: members[0].data, Signature: []byte("signature")}
	offset := int64(0)
	for i, m := range members {
		want.Members = append(want.Members, check.Member{Name: m.name, Offset: offset, Size: int64(len(m.data)), SHA256: digest(m.data)})
		offset = cpio.Size(headers(members[:i+1])) - cpio.Size(nil)
	}
	if diff := cmp.Diff(want, contents); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}
}

// Offset is what dd finds.
func headers(members []file) []cpio.Header {
	var list []cpio.Header
	for _, m := range members {
		list = append(list, cpio.Header{Name: m.name, Size: int64(len(m.data))})
	}
	return list
}

func zipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestMembers(t *testing.T) {
	raw := []byte("content")
	cap := firmwareCapsule(t)
	torn := append([]byte(nil), compress(t, plainImage)...)
	torn[len(torn)-1] ^= 1 // the frame's checksum
	flipped := append([]byte(nil), cap...)
	flipped[0] ^= 1
	short := cap[:len(cap)-1]
	other := append([]byte(nil), plainImage...)
	other[7] ^= 1
	crypt := `encrypted = true; ivt = "` + hash[:32] + `"; `
	with := func(p part, sum string) part { p.sha256 = sum; return p }
	for _, c := range []struct {
		name string
		p    part
		want []string
		says string
	}{
		{"plain", image(plainImage, ""), nil, ""},
		{"zstd", image(compress(t, plainImage), `compressed = "zstd";`), nil, ""},
		{"zstd in two frames", image(append(compress(t, plainImage[:99]), compress(t, plainImage[99:])...), `compressed = "zstd";`), nil,
			""},
		{"zstd that tegra-image finds", image(compress(t, plainImage), ""), nil, ""},
		{"zlib", image(zipped(t, plainImage), `compressed = "zlib";`), nil, ""},
		{"zlib in two parts", image(append(zipped(t, plainImage[:99]), zipped(t, plainImage[99:])...), `compressed = "zlib";`),
			[]string{"error plain-wrong"}, "has 99 bytes"},
		{"wrong digest", with(image(plainImage, ""), hash), []string{"error sha256-wrong"}, digest(plainImage) +
			", and sw-description says " + hash},
		{"large digits", with(image(plainImage, ""), strings.ToUpper(digest(plainImage))), nil, ""},
		{"other bytes", image(other, ""), []string{"error plain-wrong"}, "has the SHA-256 " + digest(other) + ", and the property"},
		{"other compressed bytes", image(compress(t, other), `compressed = "zstd";`), []string{"error plain-wrong"}, digest(other)},
		{"too short", image(plainImage[1:], ""), []string{"error plain-wrong"}, "has 16999 bytes, and the property size says 17000"},
		{"too long", image(append(plainImage[:len(plainImage):len(plainImage)], 0), ""), []string{"error plain-wrong"},
			"more than 17000 bytes"},
		{"a bomb", image(compress(t, make([]byte, 64<<20)), ""), []string{"error plain-wrong"}, "more than 17000 bytes"},
		{"broken zstd", image(torn, `compressed = "zstd";`), []string{"error compressed"}, "cannot be decompressed"},
		{"not zstd", image(plainImage, `compressed = "zstd";`), []string{"error compressed"}, `is not what compressed = "zstd" says`},
		{"not gzip", image(plainImage, `compressed = "zlib";`), []string{"error compressed"}, ""},
		{"encrypted", image(other, crypt+`compressed = "zstd";`), nil, ""},
		{"encrypted with a wrong digest", with(image(other, crypt), hash), []string{"error sha256-wrong"}, ""},
		{"xz", image(other, `compressed = "xz";`), []string{"warning compressed"}, ""},
		{"empty", image(nil, ""), []string{"error plain-wrong"}, "has 0 bytes"},
		{"skippable frame", archivePart([]byte("\x50\x2A\x4D\x18\x00\x00\x00\x00"), `compressed = "zstd";`), nil, ""},

		{"capsule", firmwarePart(cap, ""), nil, ""},
		{"compressed capsule", firmwarePart(compress(t, cap), `compressed = "zstd";`), nil, ""},
		{"broken capsule", firmwarePart(flipped, ""), []string{"error firmware"}, "is no firmware"},
		{"short capsule", firmwarePart(short, ""), []string{"error firmware"}, ""},
		{"short compressed capsule", firmwarePart(compress(t, short), ``), []string{"error firmware"}, ""},
		{"long capsule", firmwarePart(append(cap[:len(cap):len(cap)], 0), ""), []string{"error firmware"}, ""},
		{"encrypted capsule", firmwarePart(flipped, crypt), nil, ""},
		{"bare BUP", firmwarePart(bareBUP(t), ""), []string{"warning firmware"}, "bare BUP"},
		{"short BUP", firmwarePart(bareBUP(t)[:200], ""), []string{"error firmware"}, ""},

		{"size", archivePart(raw, `size = 7;`), nil, ""},
		{"wrong size", archivePart(raw, `size = 8;`), []string{"error size-wrong"}, "a has 7 bytes, and sw-description says 8"},
		{"not declared", part{file: file{"a", compress(t, raw)}, attributes: `type = "ubivol"; volume = "data";`},
			[]string{"warning compressed"}, `(zstd)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			if want == nil {
				want = []string{}
			}
			members := update(c.p)
			_, list := look(t, archive(t, members...), signed)
			if diff := cmp.Diff(want, brief(list)); diff != "" || !strings.Contains(lines(list), c.says) {
				t.Errorf("problems (-want +got):\n%s\nin full:%s\nwant %q", diff, lines(list), c.says)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	good := update(image(plainImage, ""))
	description, signature, rootfs, activate := good[0], good[1], good[2], good[3]
	extra := file{"extra", []byte("x")}
	broken := file{"sw-description", []byte("software = {")}
	named := file{"sw-description", []byte(software(`files: ( ` + entry("sw-description", `path = "/a";`) + ` );`))}
	for _, c := range []struct {
		name    string
		members []file
		o       check.Options
		want    []string
		where   string
	}{
		{"good", good, signed, nil, ""},
		{"not signed and none wanted", []file{description, rootfs, activate}, check.Options{}, nil, ""},
		{"signed and none wanted", good, check.Options{}, nil, ""},
		{"no signature", []file{description, rootfs, activate}, signed, []string{"error signature-missing"}, "sw-description"},
		{"late signature", []file{description, rootfs, signature, activate}, signed, []string{"error signature-order"}, "rootfs.img"},
		{"late signature and none wanted", []file{description, rootfs, signature, activate}, check.Options{}, nil, ""},
		{"signature first", []file{signature, description, rootfs, activate}, signed, []string{"error order"}, "sw-description.sig"},
		{"description last", []file{rootfs, activate, signature, description}, signed, []string{"error order"}, "rootfs.img"},
		{"another order of the others", []file{description, signature, activate, rootfs}, signed, nil, ""},
		{"missing member", []file{description, signature, rootfs}, signed, []string{"error member-missing"}, "sw-description:1:"},
		{"member that nobody names", append(good[:4:4], extra), signed, []string{"warning member-unused"}, "extra"},
		{"broken description", []file{broken, signature, rootfs}, signed, []string{"error syntax"}, "sw-description"},
		{"an entry for sw-description", []file{named, signature}, signed, []string{"error filename", "error sha256-wrong"},
			"sw-description"},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			if want == nil {
				want = []string{}
			}
			_, list := look(t, archive(t, c.members...), c.o)
			if diff := cmp.Diff(want, brief(list)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\nin full:%s", diff, lines(list))
			}
			if len(list) > 0 && !strings.HasPrefix(list[0].Where, c.where) {
				t.Errorf("where %q, want %q", list[0].Where, c.where)
			}
		})
	}
}

// A digest that is wrong is found in whichever order the members come.
func TestLateDescription(t *testing.T) {
	members := update(archivePart([]byte("content"), ""))
	members[2].data = []byte("another")
	_, list := look(t, archive(t, members[2], members[3], members[0]), check.Options{})
	if diff := cmp.Diff([]string{"error order", "error sha256-wrong"}, brief(list)); diff != "" {
		t.Error(diff)
	}
}

// One member may have entries in several selections, and each is compared.
func TestSharedMember(t *testing.T) {
	right := image(plainImage, "").entry()
	wrong := strings.Replace(right, "size = \"17000\"", "size = \"17001\"", 1)
	other := strings.Replace(right, `properties: { partition = "APP"; size = "17000"; sha256 = "`,
		`properties: { partition = "APP"; size = "17000"; sha256 = "`+hash[:2], 1)
	other = strings.Replace(other, digest(plainImage)+`"; };`, digest(plainImage)[2:]+`"; };`, 1)
	for name, c := range map[string]struct {
		one, two string
		want     []string
		says     string
	}{
		"both right":          {right, right, nil, ""},
		"a larger size":       {right, wrong, []string{"error plain-wrong"}, "the property size says 17001"},
		"a larger size first": {wrong, right, []string{"error plain-wrong"}, "the property size says 17001"},
		"a smaller size": {right, strings.Replace(right, "size = \"17000\"", "size = \"16999\"", 1), []string{"error plain-wrong"},
			"has 17000 bytes, and the property size says 16999"},
		"another digest": {right, other, []string{"error plain-wrong"}, "the property sha256 says " + hash[:2]},
	} {
		activate := fmt.Sprintf(`scripts: ( { filename = "activate"; type = "tegra-activate"; sha256 = "%s"; } );`, digest([]byte("x")))
		text := software(fmt.Sprintf("s: { a: { images: ( %s ); }; b: { images: ( %s ); }; }; %s", c.one, c.two, activate))
		_, list := look(t, archive(t, file{"sw-description", []byte(text)}, file{"rootfs.img", plainImage},
			file{"activate", []byte("x")}), check.Options{})
		if strings.Join(brief(list), ",") != strings.Join(c.want, ",") || len(list) != len(c.want) ||
			!strings.Contains(lines(list), c.says) {
			t.Errorf("%s: problems%s", name, lines(list))
		}
	}
}

func TestTrailing(t *testing.T) {
	swu := archive(t, update(image(plainImage, ""))...)
	padding := make([]byte, 512-len(swu)%512)
	for name, c := range map[string]struct {
		behind []byte
		want   []string
	}{
		"nothing":  {nil, []string{}},
		"zeros":    {padding, []string{}},
		"rubbish":  {append(padding[:len(padding):len(padding)], 'x'), []string{"error trailing-data"}},
		"a second": {swu, []string{"error trailing-data"}},
	} {
		_, list := look(t, append(swu[:len(swu):len(swu)], c.behind...), signed)
		if diff := cmp.Diff(c.want, brief(list)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// An error of reading is not the file's fault.
func TestReadError(t *testing.T) {
	dir, err := os.Open(filepath.Dir(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, _, err := check.Archive(context.Background(), "dir", dir, signed); exitCode(err) != 74 {
		t.Errorf("error %v, exit %d", err, exitCode(err))
	}
}
