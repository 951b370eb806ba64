package pack

import (
	"context"
	"errors"
	"os"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
	"github.com/tegra-ota/tegra-ota/swdesc/rootfs"
)

// refuse says what the format cannot carry or the caller forgot, before anything is read.
func (p *Plan) refuse(o PrepareOptions) error {
	for _, part := range p.Parts {
		c := part.Component
		if c.Encrypt && o.Format == SWU && o.EncryptionKey == nil {
			return fail.New(fail.Usage, "cannot encrypt component %s without a key", c.File).Then("name one with --encryption-key")
		}
		if c.Encrypt && o.Format != SWU {
			return fail.New(fail.Data, "cannot encrypt component %s: only SWUpdate decrypts single images", c.File).
				Then("leave encrypt out; rauc encrypt makes a crypt bundle")
		}
		if !part.slotBound() && o.Format != SWU {
			return fail.New(fail.Data, "cannot put component %s into %s: it has no place for a %s", c.File, o.Format, c.Type).
				Then("put it into the root file system")
		}
	}
	if o.Format == SWU && len(p.Release.Hardware.Revisions) == 0 {
		return fail.New(fail.Data, "cannot describe the release to SWUpdate without hardware revisions").
			Then("set revisions in [hardware]: what /etc/hwrevision of the devices says, for example [\"1.0\"]")
	}
	if o.Format != SWU && p.Release.Hardware.Compatible == "" {
		return fail.New(fail.Data, "cannot make %s without a name that devices compare", o.Format).
			Then("set compatible in [hardware]: RAUC's compatible, Mender's device type")
	}
	return nil
}

// find returns the part of a type, or nil: there is at most one.
func (p *Plan) find(kind string) *Part {
	for i := range p.Parts {
		if p.Parts[i].Component.Type == kind {
			return &p.Parts[i]
		}
	}
	return nil
}

// check looks into the files. What it finds is in Problems, with the release's exceptions applied.
func (p *Plan) check(ctx context.Context) error {
	p.checkSizes()
	version, err := p.checkFirmware()
	if err != nil {
		return err
	}
	kernel, err := p.kernelRelease()
	if err != nil {
		return err
	}
	if part := p.find(release.Rootfs); part != nil {
		if err := p.checkRootfs(ctx, part, version, kernel); err != nil {
			return err
		}
	}
	p.checkSlots()
	p.Problems = p.Problems.Allow(p.Release.Allow)
	return nil
}

// checkSizes: cpio's header has 32 bits for a size, and SWUpdate no other container.
func (p *Plan) checkSizes() {
	for _, part := range p.Parts {
		if p.Format == SWU && part.Stored.Size > cpio.MaxSize {
			p.Problems = append(p.Problems, problem.Errorf("member-size", "%s has %d bytes, and a member of a .swu at most %d",
				part.Name, part.Stored.Size, int64(cpio.MaxSize)).Then(`store it compressed: compression = "zstd"`).At(part.Component.File))
		}
	}
}

// checkSlots: a switch takes firmware and root file system along, so an update of one of them relies on the other slot's half.
func (p *Plan) checkSlots() {
	if p.find(release.Firmware) != nil && p.find(release.Rootfs) == nil {
		p.Problems = append(p.Problems, problem.Warnf("firmware-only",
			"the firmware takes the device to the other slot, where the root file system of the update before lies").
			Then("add the root file system, unless both slots hold the same"))
	}
	kernels := p.find(release.Kernel) != nil || p.find(release.KernelDTB) != nil
	if kernels && p.Format == RAUC {
		p.Problems = append(p.Problems, problem.Warnf("rauc-slots", "RAUC installs a kernel or device tree only where system.conf has slots for it").
			Then("add slots of class kernel and kernel-dtb, with the root file system's slot as parent=, to system.conf"))
	}
	if kernels && p.find(release.Rootfs) == nil {
		p.Problems = append(p.Problems, problem.Warnf("kernel-only",
			"the kernel goes to the other slot, where the root file system of the update before lies").
			Then("add the root file system, unless both slots hold the same"))
	}
}

func (p *Plan) checkFirmware() (*capsule.Version, error) {
	part := p.find(release.Firmware)
	if part == nil {
		return nil, nil
	}
	boards, err := firmware.ParseBoards(p.Release.Hardware.Boards)
	if err != nil {
		return nil, err
	}
	report, problems, err := firmware.Inspect(part.plain, boards)
	if err != nil {
		return nil, err
	}
	report.File = part.Component.File
	p.Firmware = report
	p.add(part, problems)
	return report.Version(), nil
}

// add takes what a check of a file found.
func (p *Plan) add(part *Part, problems problem.List) {
	for _, found := range problems {
		if found.Where == "" {
			found.Where = part.Component.File
		}
		p.Problems = append(p.Problems, found)
	}
}

func (p *Plan) kernelRelease() (string, error) {
	part := p.find(release.Kernel)
	if part == nil {
		return "", nil
	}
	f, err := os.Open(part.plain)
	if err != nil {
		return "", fail.New(fail.InputCode(err, fail.IO), "cannot read component %s: %w", part.Component.File, err)
	}
	defer f.Close()
	name, err := rootfs.KernelRelease(f)
	if errors.Is(err, rootfs.ErrNoRelease) {
		p.add(part, problem.List{problem.Warnf("kernel-modules", "the kernel does not say which release it is, so its modules are not compared")})
		return "", nil
	}
	return name, err
}

func (p *Plan) checkRootfs(ctx context.Context, part *Part, version *capsule.Version, kernel string) error {
	img, err := rootfs.Look(ctx, part.plain)
	if errors.Is(err, rootfs.ErrNotExt4) {
		p.add(part, problem.List{problem.Warnf("rootfs", "it is no ext4 image, so nothing in it was checked")})
		return nil
	}
	if err != nil {
		return err
	}
	if version != nil {
		p.add(part, rootfs.CheckRelease(img, version))
	}
	p.add(part, rootfs.CheckKernel(img, kernel))
	p.add(part, rootfs.CheckExtlinux(img))
	return nil
}
