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
	"slices"
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
	for _, name := range m.HardwareCompatibility {
		im.hardware(name)
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

// leadingNumbers is what of a version such as 2024.01.01-r1 a device can compare.
var leadingNumbers = regexp.MustCompile(`^v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,7})[-+~]`)

func (im *importer) minimum() {
	if n := leadingNumbers.FindStringSubmatch(im.release.MinimumVersion); n != nil {
		im.warn(problem.Warnf("import", "minimum_version %q is compared by its numbers, as %s", im.release.MinimumVersion, n[1]))
		im.release.MinimumVersion = n[1]
	}
}

// boardID is a board of a guide's manifest: BOARDID-SKU or BOARDID-SKU-FAB, with or without p.
var boardID = regexp.MustCompile(`^p?([0-9]{4})-([0-9]{4})(-[A-Za-z0-9.]{1,8})?$`)

// carriers are boards that a module sits on (NVIDIA's names of developer kits). No firmware is made for them.
var carriers = []string{"2597", "2822", "3449", "3509", "3737", "3740", "3768", "4071"}

// hardware sorts one entry of hardware_compatibility.
func (im *importer) hardware(name string) {
	h := &im.release.Hardware
	id := boardID.FindStringSubmatch(name)
	switch {
	case id != nil && slices.Contains(carriers, id[1]):
		im.warn(problem.Warnf("import", "hardware_compatibility names %q, a carrier board: nothing on a device compares that; left out", name))
	case id != nil:
		if module := "p" + id[1] + "-" + id[2]; !slices.Contains(h.Boards, module) {
			h.Boards = append(h.Boards, module)
		}
		if id[3] != "" {
			im.warn(problem.Warnf("import", "hardware_compatibility names %q; every fab of p%s-%s is taken", name, id[1], id[2]).
				Then("write the TNSPEC of nv_boot_control.conf into boards to check the firmware against one fab"))
		}
	case board(name) == "":
		if !slices.Contains(h.Boards, name) {
			h.Boards = append(h.Boards, name)
		}
	case h.Compatible == "" || h.Compatible == name:
		h.Compatible = name
		im.warn(problem.Warnf("import", "hardware_compatibility names %q, which is no board; it became compatible, for RAUC and Mender", name).
			Then("name the modules in boards, so that the firmware is checked against them"))
	default:
		im.warn(problem.Errorf("import", "hardware_compatibility names %q besides %q: a release has one compatible", name, h.Compatible).
			Then("make a release for each"))
	}
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
