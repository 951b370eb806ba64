package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// ImportOptions say what to import.
type ImportOptions struct {
	Manifest  string   // the JSON file
	Signature string   // its detached signature; see verify in signature.go for the forms
	Keys      []string // PEM files, each with a public key or a certificate: one, or two while keys are rotated
	Unsigned  bool     // take a manifest without signature
	Dir       string   // where the components' files lie; becomes the release's Base
}

// Import makes a release of a manifest. The signature is verified before anything of the JSON is read, then every file's size and
// SHA-256. The problems are what a manifest cannot say, or says about slots, which devices choose for themselves.
func Import(o ImportOptions) (*Release, problem.List, error) {
	if o.Unsigned && (o.Signature != "" || len(o.Keys) > 0) {
		return nil, nil, fail.New(fail.Usage, "cannot import manifest %s as unsigned and with a signature or keys", o.Manifest)
	}
	if !o.Unsigned && o.Signature == "" {
		return nil, nil, fail.New(fail.Usage, "cannot import manifest %s without a signature", o.Manifest).
			Then("name its signature and a public key, or say that it is unsigned")
	}
	text, err := readSmall(o.Manifest, "manifest", MaxFile)
	if err != nil {
		return nil, nil, err
	}
	if !o.Unsigned {
		if err := verify(o, text); err != nil {
			return nil, nil, err
		}
	}
	m, s, tree, err := parseManifest(o.Manifest, text)
	if err != nil {
		return nil, nil, err
	}
	im := importer{schema: s, where: o.Manifest, release: &Release{
		Version: m.Version, Description: m.Description, MinimumVersion: m.MinimumVersion, Base: o.Dir,
	}}
	if v, ok := tree.Get("pre_checks"); ok {
		im.checks(v)
	}
	im.minimum()
	boards := boardSet{}
	for _, name := range m.HardwareCompatibility {
		im.hardware(boards, name)
	}
	for _, c := range m.Components {
		im.component(c)
	}
	if err := s.err("use manifest"); err != nil {
		return nil, nil, err
	}
	im.release.complete()
	whole := newSchema(o.Manifest, "toml")
	im.release.validate(whole)
	if err := whole.err("make a release of manifest"); err != nil {
		return nil, nil, err
	}
	for _, c := range m.Components {
		if err := im.file(o.Dir, c); err != nil {
			return nil, nil, err
		}
	}
	return im.release, im.problems, nil
}

type importer struct {
	schema   *schema
	where    string
	release  *Release
	problems problem.List
}

func (im *importer) warn(p problem.Problem) { im.problems = append(im.problems, p.At(im.where)) }

// leadingNumbers is what of a version such as v2024.01.01 or 2024.01.01-r1 a device can compare.
var leadingNumbers = regexp.MustCompile(`^v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,7})(?:[-+~]|$)`)

func (im *importer) minimum() {
	n, version := leadingNumbers.FindStringSubmatch(im.release.MinimumVersion), im.release.MinimumVersion
	if n == nil || n[1] == version {
		return
	}
	im.warn(problem.Warnf("import", "minimum_version %q is compared by its numbers, as %s", version, n[1]))
	im.release.MinimumVersion = n[1]
}

func (im *importer) component(c manifestComponent) {
	kind, _ := c.kind() // was checked
	out := Component{Type: kind, File: c.Filename}
	if c.zstd {
		out.Compression = Zstd
	}
	if want := partition(kind); want != "" && c.TargetPartition != want {
		im.warn(problem.Warnf("import", "component %s: the manifest names partition %q; the device chooses the slot, and writes its %s",
			c.Filename, c.TargetPartition, want))
	}
	im.release.Components = append(im.release.Components, out)
}

// file compares a component's file with the manifest.
func (im *importer) file(dir string, c manifestComponent) error {
	path := filepath.Join(dir, c.Filename)
	st, err := os.Stat(path)
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return fail.New(fail.InputCode(err, fail.Data), "cannot read component %s: %w", c.Filename, err)
	}
	if st.Size() != c.Size {
		return fail.New(fail.Data, "cannot import component %s: it has %d bytes, and the manifest says %d", c.Filename, st.Size(), c.Size)
	}
	f, err := os.Open(path)
	if err != nil {
		return fail.New(fail.InputCode(err, fail.IO), "cannot read component %s: %w", c.Filename, err)
	}
	defer f.Close()
	h, head := sha256.New(), make([]byte, 4)
	n, err := io.ReadFull(io.TeeReader(f, h), head)
	if err == nil {
		_, err = io.Copy(h, f)
	}
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return fail.New(fail.IO, "cannot read component %s: %w", c.Filename, err)
	}
	if got, want := hex.EncodeToString(h.Sum(nil)), strings.ToLower(c.SHA256); got != want {
		return fail.New(fail.Data, "cannot import component %s: its SHA-256 is %s, and the manifest says %s", c.Filename, got, want)
	}
	return im.compression(c, head[:n])
}

// magics are how compressed files begin.
var magics = []struct{ name, magic string }{
	{"zstd", "\x28\xb5\x2f\xfd"}, {"gzip", "\x1f\x8b"}, {"xz", "\xfd7zX"}, {"bzip2", "BZh"}, {"lz4", "\x04\x22\x4d\x18"},
}

// compression compares what the file is with what the manifest says.
func (im *importer) compression(c manifestComponent, head []byte) error {
	is := "not compressed"
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			is = m.name
			break
		}
	}
	if c.zstd && is != "zstd" {
		return fail.New(fail.Data, "cannot import component %s: it is %s, and the manifest says that it is compressed", c.Filename, is).
			Then("compress it with zstd, the only compression that devices take")
	}
	if !c.zstd && is == "zstd" {
		im.warn(problem.Warnf("import", "component %s is compressed with zstd, and the manifest does not say so; devices write what is in it",
			c.Filename))
	}
	return nil
}
