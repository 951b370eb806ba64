package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// entry is a cpio member as it stands in an archive, with whatever header.
func entry(size int, name string, data []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0)
	b.WriteString(name + "\x00")
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
	b.Write(data)
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
	return b.Bytes()
}

func whole(name string, data []byte) []byte { return entry(len(data), name, data) }

// Hostile archives are the file's fault: exit 65, one line, little memory, at once.
func TestHostileArchives(t *testing.T) {
	description := whole("sw-description", []byte("software = { version = \"1\"; };\n"))
	trailer := whole("TRAILER!!!", nil)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	many := func() []byte {
		var b bytes.Buffer
		b.Write(description)
		for i := 0; i < 100_000; i++ {
			b.Write(whole(fmt.Sprintf("m%06d", i), []byte("x")))
		}
		return append(b.Bytes(), trailer...)
	}
	for name, swu := range map[string][]byte{
		"truncated header":      description[:50],
		"truncated name":        description[:112],
		"truncated member":      description[:len(description)-8],
		"no trailer":            description,
		"size 0xFFFFFFFF":       join(description, entry(0xFFFFFFFF, "rootfs", []byte("short"))),
		"description of 4 GiB":  entry(0xFFFFFFFF, "sw-description", []byte("short")),
		"name with ../":         join(description, whole("../../etc/passwd", []byte("x")), trailer),
		"absolute name":         join(description, whole("/etc/passwd", []byte("x")), trailer),
		"100,000 members":       many(),
		"duplicate names":       join(description, whole("a", []byte("x")), whole("a", []byte("y")), trailer),
		"description twice":     join(description, description, trailer),
		"letters for digits":    bytes.Replace(description, []byte("000081a4"), []byte("0000wxyz"), 1),
		"old binary cpio":       append([]byte{0xc7, 0x71}, make([]byte, 200)...),
		"odc":                   append([]byte("070707"), bytes.Repeat([]byte("0"), 200)...),
		"description not text":  join(whole("sw-description", bytes.Repeat([]byte{0xff, 0}, 5000)), trailer),
		"deeply nested":         join(whole("sw-description", []byte("software = "+strings.Repeat("{ a = ", 100_000))), trailer),
		"something else at all": bytes.Repeat([]byte("\x00"), 4096),
		"empty":                 nil,
	} {
		file := filepath.Join(t.TempDir(), "update.swu")
		write(t, file, swu)
		for _, verb := range [][]string{{"check", file}, {"verify", file, "--cert", suite.cert}} {
			c := exec.Command(filepath.Join(suite.bin, "swdesc"), verb...)
			var out, log bytes.Buffer
			c.Stdout, c.Stderr = &out, &log
			memory, _ := runWatched(t, c) // the exit code is judged below
			code, said := c.ProcessState.ExitCode(), log.String()
			if code != 65 || strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "swdesc: cannot ") {
				t.Errorf("%s, %s: exit %d, want 65 and one line:\n%s%s", name, verb[0], code, out.String(), said)
			}
			if memory > peak {
				t.Errorf("%s, %s: %d bytes of memory", name, verb[0], memory)
			}
		}
	}
}

// A stream without an end, as a device file would be, is refused, too.
func TestEndless(t *testing.T) {
	if _, err := os.Stat("/dev/zero"); err != nil {
		t.Fatal(err)
	}
	swdesc(t, 65, "check", "/dev/zero")
	swdesc(t, 65, "verify", "/dev/zero", "--cert", suite.cert)
}
