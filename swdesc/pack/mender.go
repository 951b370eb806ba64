package pack

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

// MenderOptions says how to make an artifact.
type MenderOptions struct {
	// Key is the file with which mender-artifact signs; "" leaves the artifact unsigned. mender-artifact 3.9 takes RSA keys in
	// PKCS#1 ("openssl rsa -traditional") and EC keys in SEC 1.
	Key      string
	Progress Progress
}

// PayloadType is the artifact's payload type, which is the name of the update module on the device.
const PayloadType = "tegra-bup"

// menderMetaData is the meta-data of the payload: what the module has to know before the bytes come. The lists have one entry per
// file, in the order of installation; mender-artifact takes no objects in them.
type menderMetaData struct {
	Update       string   `json:"update"` // ID of the update, as in sw-description
	Files        []string `json:"files"`
	Types        []string `json:"types"`        // rootfs, kernel, kernel-dtb or firmware
	Partitions   []string `json:"partitions"`   // APP, kernel or kernel-dtb; "" for firmware
	Sizes        []int64  `json:"sizes"`        // in bytes, of the plain image
	SHA256       []string `json:"sha256"`       // of the plain image
	Compressions []string `json:"compressions"` // how the file is stored: none or zstd
}

func (m *menderMetaData) add(p Part) {
	c := p.Component
	stored := release.Plain
	if p.Zstd {
		stored = release.Zstd
	}
	m.Files, m.Types, m.Partitions = append(m.Files, p.Name), append(m.Types, c.Type), append(m.Partitions, c.Partition)
	m.Sizes, m.SHA256, m.Compressions = append(m.Sizes, p.Plain.Size), append(m.SHA256, p.Plain.Hex()), append(m.Compressions, stored)
}

// WriteMender has mender-artifact, which must be installed, write an artifact of all images for the update module tegra-bup.
// Conditions become a state script that runs before the update is activated.
func (p *Plan) WriteMender(ctx context.Context, output string, o MenderOptions) error {
	program, err := exec.LookPath("mender-artifact")
	if err != nil {
		return fail.New(fail.Unavailable, "cannot make Mender's artifact: %w", err).Then("install mender-artifact")
	}
	dir, err := os.MkdirTemp(p.work, "mender-")
	if err != nil {
		return fail.New(fail.IO, "cannot make a folder for temporary files: %w", err)
	}
	args, err := p.menderArguments(ctx, dir, o)
	if err != nil {
		return err
	}
	made := filepath.Join(dir, "made")
	cmd := exec.CommandContext(ctx, program, append(args, "-o", made)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir) // it copies all files once more
	if said, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return fail.New(fail.IO, "cannot make Mender's artifact: interrupted: %w", ctx.Err())
		}
		return fail.New(fail.IO, "cannot make Mender's artifact: %w: %s", err, strings.TrimSpace(string(said)))
	}
	f, err := os.Open(made)
	if err != nil {
		return fail.New(fail.IO, "cannot read what mender-artifact made: %w", err)
	}
	defer f.Close()
	return Output(output, func(w io.Writer) error {
		if _, err := io.Copy(w, f); err != nil {
			return fail.New(fail.IO, "cannot write %s: %w", output, err)
		}
		return nil
	})
}

// CheckMenderKey says whether mender-artifact 3.9 reads a key file: it takes RSA keys in PKCS#1 and EC keys in SEC 1, and says
// of others, after minutes, that it failed to parse them.
func CheckMenderKey(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fail.New(fail.InputCode(err, fail.IO), "cannot read key %s: %w", path, err)
	}
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return fail.New(fail.Data, "cannot use key %s: it is no PEM file", path)
	case strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "":
		return fail.New(fail.Data, "cannot use key %s: it is encrypted, and mender-artifact asks for no passphrase", path)
	case block.Type == "PRIVATE KEY":
		return fail.New(fail.Data, "cannot use key %s: mender-artifact does not read PKCS#8", path).
			Then("convert it: openssl rsa -traditional, or openssl ec, -in %s -out FILE", path)
	case block.Type != "RSA PRIVATE KEY" && block.Type != "EC PRIVATE KEY":
		return fail.New(fail.Data, "cannot use key %s: it is a %s", path, strings.ToLower(block.Type))
	}
	return nil
}

func (p *Plan) menderArguments(ctx context.Context, dir string, o MenderOptions) ([]string, error) {
	args := []string{"write", "module-image", "-T", PayloadType, "-n", p.Release.ArtifactName(), "-t", p.Release.Hardware.Compatible,
		"--software-name", "tegra-ota", "--software-version", p.Release.Version, "--compression", "none"}
	if o.Key != "" {
		args = append(args, "-k", o.Key)
	}
	meta := menderMetaData{Update: p.Update}
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o700); err != nil {
		return nil, fail.New(fail.IO, "cannot make a folder for temporary files: %w", err)
	}
	m := newMeter(o.Progress, "packing", p.storedSize())
	for _, part := range p.Parts {
		meta.add(part)
		file := filepath.Join(files, part.Name)
		if err := part.copyStored(ctx, file, m); err != nil {
			return nil, err
		}
		args = append(args, "-f", file)
	}
	text, err := json.MarshalIndent(meta, "", "\t")
	if err != nil {
		return nil, fail.New(fail.Internal, "cannot write the meta-data: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "meta-data"), append(text, '\n'), 0o644); err != nil {
		return nil, fail.New(fail.IO, "cannot write the meta-data: %w", err)
	}
	args = append(args, "-m", filepath.Join(dir, "meta-data"))
	if script := conditions(p.Release); script != "" {
		// Mender runs artifact scripts from Install on; what was downloaded by then lies in the slot that does not run.
		name := filepath.Join(dir, "ArtifactInstall_Enter_00_tegra-preconditions")
		if err := os.WriteFile(name, []byte("#!/bin/sh\nexec >&2\n"+script), 0o755); err != nil {
			return nil, fail.New(fail.IO, "cannot write the state script: %w", err)
		}
		args = append(args, "-s", name)
	}
	return args, nil
}
