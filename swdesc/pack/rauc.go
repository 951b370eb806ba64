package pack

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

// RAUCOptions says how to write the input of rauc bundle.
type RAUCOptions struct {
	// Bundle is the bundle's format: "verity" (RAUC 1.5), or "plain" for machines without dm-verity.
	Bundle   string
	Progress Progress
}

// raucClasses are the slot classes of examples/rauc/system.conf and what tegra-bootctl rauc-config prints.
var raucClasses = map[string]string{
	release.Rootfs: "rootfs", release.Kernel: "kernel", release.KernelDTB: "kernel-dtb", release.Firmware: "bootloader",
}

// WriteRAUC fills a folder for "rauc bundle": manifest, hook and images. RAUC adds the digests itself, and rewrites the manifest
// while it does (1.8), so a folder is for one bundle.
func (p *Plan) WriteRAUC(ctx context.Context, dir string, o RAUCOptions) error {
	if err := os.WriteFile(filepath.Join(dir, "manifest.raucm"), []byte(p.manifest(o)), 0o644); err != nil {
		return fail.New(fail.IO, "cannot write the manifest: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hook"), []byte(p.hook()), 0o755); err != nil {
		return fail.New(fail.IO, "cannot write the hook: %w", err)
	}
	var total int64
	for _, part := range p.Parts {
		total += part.Plain.Size
	}
	m := newMeter(o.Progress, "packing", total)
	for _, part := range p.Parts {
		if err := part.copyPlain(ctx, filepath.Join(dir, part.raucName()), m); err != nil {
			return err
		}
	}
	return nil
}

// raucName is a name from whose end RAUC takes the kind of image: it copies an .ext4 or .img into the slot as it is.
func (p Part) raucName() string {
	name := strings.TrimSuffix(p.Name, ".zst")
	want := map[string]string{release.Rootfs: ".ext4", release.Kernel: ".img", release.KernelDTB: ".img"}[p.Component.Type]
	if strings.HasSuffix(name, want) {
		return name
	}
	return name + want
}

func (p *Plan) manifest(o RAUCOptions) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[update]\ncompatible=%s\nversion=%s\n", p.Release.Hardware.Compatible, p.Release.Version)
	if p.Release.Description != "" {
		fmt.Fprintf(&b, "description=%s\n", keyfileValue(p.Release.Description))
	}
	fmt.Fprintf(&b, "\n[bundle]\nformat=%s\n\n[hooks]\nfilename=hook\n", o.Bundle)
	if conditions(p.Release) != "" {
		b.WriteString("hooks=install-check\n")
	}
	for _, part := range p.Parts {
		fmt.Fprintf(&b, "\n[image.%s]\nfilename=%s\n", raucClasses[part.Component.Type], part.raucName())
		if part.Component.Type == release.Firmware {
			b.WriteString("hooks=install\n")
		}
	}
	return b.String()
}

// keyfileValue escapes a value of GLib's key files; it has no line breaks, a release's description is one line.
func keyfileValue(s string) string {
	s = strings.ReplaceAll(s, `\`, `\\`)
	if strings.HasPrefix(s, " ") {
		s = `\s` + s[1:]
	}
	return strings.ReplaceAll(s, "\t", `\t`)
}

// hook is the bundle's hook. The device's own program does the work, so that a bundle need not match it. An install-check hook
// takes the place of RAUC's comparison of compatible, so it makes that first; exit 10 and above means refused.
func (p *Plan) hook() string {
	const shim = `exec "$TEGRA_OTA_ROOT/usr/libexec/tegra-ota/tegra-bup" rauc-hook "$@"` + "\n"
	script := conditions(p.Release)
	if script == "" {
		return "#!/bin/sh\n" + shim
	}
	return `#!/bin/sh
if [ "$1" = install-check ]; then
	if [ "$RAUC_SYSTEM_COMPATIBLE" != "$RAUC_MF_COMPATIBLE" ]; then
		echo "the bundle is for $RAUC_MF_COMPATIBLE, and this is $RAUC_SYSTEM_COMPATIBLE" >&2
		exit 10
	fi
	why=$(
` + indent(script, "\t\t") + `	) || { echo "$why" >&2; exit 10; }
	exit 0
fi
` + shim
}

func indent(s, by string) string {
	return by + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n"+by) + "\n"
}

// copyPlain writes a part as it is to be on the device.
func (p Part) copyPlain(ctx context.Context, path string, m *meter) error {
	plain := p
	plain.stored, plain.Stored, plain.IV = p.plain, p.Plain, nil
	return plain.copyStored(ctx, path, m)
}

// copyStored writes a part as it lies in the update.
func (p Part) copyStored(ctx context.Context, path string, m *meter) error {
	r, err := p.open()
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fail.New(fail.InputCode(err, fail.IO), "cannot write %s: %w", filepath.Base(path), err)
	}
	defer f.Close()
	if err := pump(f, io.Reader(watched{ctx, r, m})); err != nil {
		return fail.New(fail.CodeOf(err), "cannot pack %s: %w", p.Component.File, err)
	}
	if err := f.Close(); err != nil {
		return fail.New(fail.IO, "cannot write %s: %w", filepath.Base(path), err)
	}
	return nil
}
