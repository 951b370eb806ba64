package swupdate_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// member is one file of an update and its entry in sw-description.
type member struct {
	name       string
	data       []byte // as SWUpdate's handler delivers it
	kind       string // "type" in sw-description
	script     bool   // listed under scripts instead of images
	zstd       bool   // stored compressed
	attributes []string
	properties map[string]string
}

// update is a .swu before it is packed.
type update struct {
	version string
	members []member
	signer  int // index into suite.keys
}

// digest returns SHA-256 in hexadecimal.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// rootfs is an image for APP, streamed and compressed by SWUpdate as in the example.
func rootfs(id string, data []byte) member {
	return member{name: "rootfs.img", data: data, kind: "tegra-image", zstd: true,
		attributes: []string{`compressed = "zstd"`, `installed-directly = true`},
		properties: map[string]string{"partition": "APP", "size": fmt.Sprint(len(data)), "sha256": digest(data), "update": id}}
}

// firmware is a capsule, checked by SWUpdate in TMPDIR first as in the example.
func firmware(id string, data []byte) member {
	return member{name: "TEGRA_BL.Cap", data: data, kind: "tegra-bup", properties: map[string]string{"update": id}}
}

// activate is the last step.
func activate(id string) member {
	return member{name: "activate", data: []byte("activate\n"), kind: "tegra-activate", script: true, properties: map[string]string{"update": id}}
}

// temporary makes SWUpdate copy the member to TMPDIR and check it before our program sees it.
func (m member) temporary() member {
	var keep []string
	for _, a := range m.attributes {
		if a != "installed-directly = true" {
			keep = append(keep, a)
		}
	}
	m.attributes = keep
	return m
}

// streamed makes SWUpdate hand the member over while it arrives.
func (m member) streamed() member {
	m = m.temporary()
	m.attributes = append(m.attributes, "installed-directly = true")
	return m
}

// raw stores the member uncompressed.
func (m member) raw() member {
	m.zstd = false
	m.attributes = remove(m.attributes, `compressed = "zstd"`)
	return m
}

// undeclared stores the member compressed without telling SWUpdate: tegra-image sees that for itself.
func (m member) undeclared() member {
	m.attributes = remove(m.attributes, `compressed = "zstd"`)
	return m
}

func remove(list []string, word string) []string {
	var keep []string
	for _, w := range list {
		if w != word {
			keep = append(keep, w)
		}
	}
	return keep
}

// with sets a property; "" removes it.
func (m member) with(property, value string) member {
	properties := map[string]string{}
	for k, v := range m.properties {
		properties[k] = v
	}
	properties[property] = value
	if value == "" {
		delete(properties, property)
	}
	m.properties = properties
	return m
}

func (m member) stored() string {
	if m.zstd {
		return m.name + ".zst"
	}
	return m.name
}

func (m member) entry(sum string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{ filename = %q; type = %q; sha256 = %q;", m.stored(), m.kind, sum)
	for _, a := range m.attributes {
		fmt.Fprintf(&b, " %s;", a)
	}
	if len(m.properties) > 0 {
		names := make([]string, 0, len(m.properties))
		for name := range m.properties {
			names = append(names, name)
		}
		sort.Strings(names)
		b.WriteString(" properties: {")
		for _, name := range names {
			fmt.Fprintf(&b, " %s = %q;", name, m.properties[name])
		}
		b.WriteString(" };")
	}
	return b.String() + " }"
}

// pack builds and signs the .swu with the programs an integrator would use: zstd, openssl cms and cpio.
func (u update) pack(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	version := u.version
	if version == "" {
		version = "1.0.0"
	}
	names := []string{"sw-description", "sw-description.sig"}
	entries := map[bool][]string{}
	for _, m := range u.members {
		path := filepath.Join(dir, m.name)
		write(t, path, m.data)
		if m.zstd {
			tool(t, dir, "zstd", "-q", "-1", "--rm", m.name)
		}
		stored := read(t, filepath.Join(dir, m.stored()))
		names = append(names, m.stored())
		entries[m.script] = append(entries[m.script], m.entry(digest(stored)))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "software = { version = %q; hardware-compatibility = [ \"1.0\" ];\n", version)
	for section, script := range map[string]bool{"images": false, "scripts": true} {
		if len(entries[script]) > 0 {
			fmt.Fprintf(&b, " %s: (\n  %s );\n", section, strings.Join(entries[script], ",\n  "))
		}
	}
	write(t, filepath.Join(dir, "sw-description"), []byte(b.String()+"}\n"))
	k := suite.keys[u.signer]
	tool(t, dir, "openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", "-signer", k.cert, "-inkey", k.key,
		"-outform", "DER", "-nosmimecap", "-binary")
	out := filepath.Join(t.TempDir(), "update.swu")
	// newc has no checksum of its own, so that a flipped byte is left for SWUpdate's hash to find.
	cpio := exec.Command("cpio", "-o", "-H", "newc", "--quiet", "-O", out)
	cpio.Dir, cpio.Stdin = dir, strings.NewReader(strings.Join(names, "\n")+"\n")
	if msg, err := cpio.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v: %s", err, msg)
	}
	trim(t, out)
	return out
}

// trim ends the archive right behind its trailer, without the zeros by which cpio fills a block of 512 bytes. SWUpdate 2022.12
// reads the filling once and closes (core/cpio_utils.c, extract_padding): a client that still writes it dies of the closed
// socket, and swupdate -i and swupdate-client alike then exit 1 for an update that was installed.
func trim(t *testing.T, swu string) {
	t.Helper()
	b := read(t, swu)
	const name = "TRAILER!!!"
	at := bytes.LastIndex(b, []byte(name))
	if at < 0 {
		t.Fatalf("%s has no trailer", swu)
	}
	// Header, name and a zero, filled up to a multiple of 4 bytes.
	const header = 110
	truncate(t, swu, at-header+(header+len(name)+1+3)/4*4)
}

// flip inverts one byte in the middle of what is stored of m in the .swu.
func flip(t *testing.T, swu string, m member) {
	t.Helper()
	if m.zstd {
		t.Fatal("flip finds raw members only")
	}
	b := read(t, swu)
	at := bytes.Index(b, m.data[:64])
	if at < 0 {
		t.Fatalf("%s is not in %s", m.name, swu)
	}
	b[at+len(m.data)/2] ^= 0xff
	write(t, swu, b)
}

func tool(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
