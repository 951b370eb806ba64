package pack

import (
	"bytes"
	"context"
	"os"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/check"
	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
	"github.com/tegra-ota/tegra-ota/swdesc/rootfs"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

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
	kernel, err := p.checkKernel()
	if err != nil {
		return err
	}
	if part := p.find(release.Rootfs); part != nil {
		if err := p.checkRootfs(ctx, part, version, kernel); err != nil {
			return err
		}
	}
	p.checkSlots()
	if p.Format == SWU {
		if err := p.checkDescription(); err != nil {
			return err
		}
	}
	p.Problems = p.Problems.Allow(p.Release.Allow)
	return nil
}

// checkDescription asks of our own sw-description what is asked of anybody's.
func (p *Plan) checkDescription() error {
	var text bytes.Buffer
	if err := p.WriteDescription(&text, syntax.Libconfig); err != nil {
		return err
	}
	found, err := check.Description(descriptionName, text.Bytes(), check.Options{Signed: true})
	if err != nil {
		return fail.New(fail.Internal, "cannot read what was described: %w", err).Then("please report it with the release description")
	}
	p.Problems = append(p.Problems, found...)
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
		// A place inside an image is one of its files.
		found.Where = strings.TrimSuffix(part.Component.File+":"+found.Where, ":")
		p.Problems = append(p.Problems, found)
	}
}

// checkKernel looks at the images of the kernel partitions, and returns the kernel's release where it tells it.
func (p *Plan) checkKernel() (string, error) {
	kernel := ""
	for _, part := range []*Part{p.find(release.Kernel), p.find(release.KernelDTB)} {
		if part == nil {
			continue
		}
		f, err := os.Open(part.plain)
		if err != nil {
			return "", fail.New(fail.InputCode(err, fail.IO), "cannot read component %s: %w", part.Component.File, err)
		}
		var found problem.List
		if part.Component.Type == release.Kernel {
			kernel, found, err = rootfs.CheckKernelFile(f)
		} else {
			found, err = rootfs.CheckDeviceTree(f)
		}
		_ = f.Close() // it was read
		if err != nil {
			return "", fail.New(fail.CodeOf(err), "cannot read component %s: %w", part.Component.File, err)
		}
		p.add(part, found)
	}
	return kernel, nil
}

func (p *Plan) checkRootfs(ctx context.Context, part *Part, version *capsule.Version, kernel string) error {
	img, err := rootfs.Look(ctx, part.plain)
	if found, ok := rootfs.Unreadable(err); ok {
		p.add(part, problem.List{found})
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
