package cpio_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
)

// GNU cpio lists and unpacks what we write. It complains about a wrong sum, of the format crc, on stderr only.
func TestCpioReadsOurs(t *testing.T) {
	members := append(various(), member{strings.Repeat("l", cpio.MaxName), "long name"}, member{"-t", "like an option"}, member{"ü b", "ü"})
	var names []string
	for _, m := range members {
		names = append(names, m.Name)
	}
	for _, f := range formats {
		t.Run(f.String(), func(t *testing.T) {
			packed, dir := archive(t, f, members...), t.TempDir()
			list, stderr, err := try("", packed, "cpio", "-t", "--quiet")
			if err != nil || stderr != "" {
				t.Fatalf("cpio -t: %v, stderr %q", err, stderr)
			}
			if diff := cmp.Diff(names, strings.Split(strings.TrimSuffix(string(list), "\n"), "\n")); diff != "" {
				t.Errorf("list (-want +got):\n%s", diff)
			}
			if _, stderr, err := try(dir, packed, "cpio", "-idm", "--quiet", "--no-absolute-filenames"); err != nil || stderr != "" {
				t.Fatalf("cpio -idm: %v, stderr %q", err, stderr)
			}
			for _, m := range members {
				if data, err := os.ReadFile(filepath.Join(dir, m.Name)); err != nil || string(data) != m.Data {
					t.Errorf("%.20s: %d bytes, %v, want %d", m.Name, len(data), err, len(m.Data))
				}
			}
			out := run(t, "", packed, "cpio", "-i", "--quiet", "--to-stdout", members[9].Name)
			if string(out) != members[9].Data {
				t.Errorf("--to-stdout has %d bytes, want %d", len(out), len(members[9].Data))
			}
		})
	}
}

// cpio has to be a judge that can say no: it knows our header's sum.
func TestCpioComplainsAboutSum(t *testing.T) {
	packed := archive(t, cpio.CRC, member{"a", "some data"})
	packed[bytes.Index(packed, []byte("some"))]++
	if _, stderr, _ := try(t.TempDir(), packed, "cpio", "-i", "--quiet"); !strings.Contains(stderr, "checksum error") {
		t.Errorf("cpio says %q", stderr)
	}
}

func TestReadsCpio(t *testing.T) {
	members := various()
	for _, f := range formats {
		for _, block := range []string{"512", "5120", "60000"} {
			t.Run(f.String()+"/"+block, func(t *testing.T) {
				dir := t.TempDir()
				list := store(t, dir, members)
				packed := run(t, dir, list, "cpio", "-o", "--quiet", "-H", f.String(), "--io-size="+block)
				got, r, zeros, err := read(bytes.NewReader(packed))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(members, got); diff != "" {
					t.Errorf("members (-want +got):\n%.2000s", diff)
				}
				var headers []cpio.Header
				for _, m := range members {
					headers = append(headers, m.header(f))
				}
				if end := cpio.Size(headers); r.Format() != f || end+zeros != int64(len(packed)) {
					t.Errorf("format %v, %d zeros behind %d bytes; want %v and %d bytes in all", r.Format(), zeros, end, f, len(packed))
				}
			})
		}
	}
}

// Other formats of cpio are refused by name, as are files that are no cpio archive at all.
func TestForeignFormats(t *testing.T) {
	dir := t.TempDir()
	list := store(t, dir, []member{{"a", "some data"}})
	newc := archive(t, cpio.NewC, member{"a", "some data"})
	cpioOf := func(format string) []byte { return run(t, dir, list, "cpio", "-o", "--quiet", "-H", format) }
	old := cpioOf("bin")
	swapped := run(t, "", old, "dd", "conv=swab", "status=none")
	for want, data := range map[string][]byte{
		"an odc archive (cpio -H odc)":              cpioOf("odc"),
		"an old binary archive (cpio -H bin), want": old,
		"(cpio -H bin) of the other byte order":     swapped,
		"a tar archive, as a Mender artifact is":    cpioOf("ustar"),
		"compressed by gzip":                        run(t, "", newc, "gzip", "-c"),
		"compressed by zstd":                        run(t, "", newc, "zstd", "-c", "-q"),
		"compressed by xz":                          run(t, "", newc, "xz", "-c"),
		`it starts with "softwa"`:                   []byte("software = { version = \"1\"; }"),
	} {
		_, r, _, err := read(bytes.NewReader(data))
		wantMalformed(t, err, want)
		if r.Format() != 0 {
			t.Errorf("%s: format %v, want none", want, r.Format())
		}
	}
}

// The real SWUpdate reads what we write, for names and sizes of each length modulo 4, and its limit for names is ours.
func TestSWUpdateReadsOurs(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, nil, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=test")
	for _, f := range formats {
		for _, longer := range []int{0, 1} {
			t.Run(fmt.Sprintf("%v/limit+%d", f, longer), func(t *testing.T) {
				t.Parallel()
				tmp, err := os.MkdirTemp("", "s") // a short path: it stands before the names
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.RemoveAll(tmp) })
				var images []member
				for i, name := range []string{"a", "bb", "ccc", "dddd", strings.Repeat("l", 255-len(tmp+"/")+longer)} {
					// Debian's 2022.12 now and then gives a wrong exit code if an image is tiny.
					images = append(images, member{name, strings.Repeat("x", 3<<20+i)})
				}
				members := append(signed(t, dir, images), member{"not named", "skipped"})
				if err := os.WriteFile(filepath.Join(tmp, "u"), archive(t, f, members...), 0o600); err != nil {
					t.Fatal(err)
				}
				out, code := swupdate(t, dir, tmp)
				refused := code != 0 && strings.Contains(out, "Path too long")
				if refused != (longer == 1) || !refused && code != 0 {
					t.Errorf("swupdate exits %d:\n%s", code, out)
				}
			})
		}
	}
}

// swupdate checks the file u of the folder tmp.
func swupdate(t *testing.T, dir, tmp string) (out string, code int) {
	t.Helper()
	cmd := exec.Command("swupdate", "-v", "-c", "-k", "cert.pem", "-H", "board:1.0", "-i", filepath.Join(tmp, "u"))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+tmp)
	code, out, err := orintest.Contained(cmd, time.Minute)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out, code
}

// signed puts a description of the images and its signature before them.
func signed(t *testing.T, dir string, images []member) []member {
	t.Helper()
	var list []string
	for _, m := range images {
		sum, _, _ := strings.Cut(string(run(t, "", []byte(m.Data), "sha256sum")), " ")
		list = append(list, fmt.Sprintf(`{ filename = %q; type = "raw"; device = "/dev/null"; sha256 = %q; }`, m.Name, sum))
	}
	text := fmt.Sprintf(`software = { version = "1"; hardware-compatibility = [ "1.0" ]; images: ( %s ); }`, strings.Join(list, ", "))
	signature := run(t, dir, []byte(text), "openssl", "cms", "-sign", "-signer", "cert.pem", "-inkey", "key.pem", "-outform", "DER",
		"-nosmimecap", "-binary")
	return append([]member{{"sw-description", text}, {"sw-description.sig", string(signature)}}, images...)
}
