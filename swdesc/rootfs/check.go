package rootfs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// CheckRelease compares the image's L4T with the firmware's version (check "l4t-release"); a nil firmware asks nothing.
//
// Branch and major must be equal: NVIDIA releases firmware, kernel and device trees of one R36.4 together, and they talk to each
// other over interfaces that change between such releases. The last number is a warning only: point releases such as
// R36.4.7 bring security fixes to the root file system by apt, and edk2-nvidia has no branch of that name.
func CheckRelease(img *Image, firmware *capsule.Version) problem.List {
	const check = "l4t-release"
	if firmware == nil {
		return nil
	}
	var p problem.Problem
	switch {
	case img.L4T == nil && img.L4TLine == "":
		p = problem.Warnf(check, "the root file system has no %s: whether it belongs to firmware %s cannot be told", releaseFile, firmware).
			Then("install nv-tegra-release (Yocto) or nvidia-l4t-core (Debian packages) into the image")
	case img.L4T == nil:
		p = problem.Warnf(check, "%s names no L4T version: %.100q", releaseFile, img.L4TLine)
	case *img.L4T == *firmware:
		return nil
	case *img.L4T>>8 == *firmware>>8:
		p = problem.Warnf(check, "the root file system is of L4T %s, the firmware of %s", img.L4T, firmware).
			Then("take both from one release if there is no reason for it")
	default:
		p = problem.Errorf(check, "the root file system is of L4T %s, the firmware of %s", img.L4T, firmware).
			Then("take both from one release")
	}
	return problem.List{p.At(releaseFile)}
}

// CheckKernel looks for the modules of the kernel that will boot (check "kernel-modules"). kernel is the release of a kernel
// component, "" if the update has none.
//
// A kernel in the image counts beside a component if extlinux.conf names it: L4TLauncher tries that first, and the kernel's
// partition only then (edk2-nvidia, L4TLauncher.c).
func CheckKernel(img *Image, kernel string) problem.List {
	const check = "kernel-modules"
	var list problem.List
	missing := func(release, which, where string) {
		if slices.Contains(img.Modules, release) {
			return
		}
		there := "there are no modules at all"
		if len(img.Modules) > 0 {
			there = "there are those of " + strings.Join(img.Modules, ", ")
		}
		list = append(list, problem.Errorf(check, "%s is %s, but the image has no %s/%s: %s", which, release, modulesDir, release, there).
			Then("build kernel and modules together, and install the modules into the image").At(where))
	}
	if kernel != "" {
		missing(kernel, "the update's kernel", "")
	}
	path := printable(img.KernelPath)
	named := slices.ContainsFunc(img.Extlinux, func(e Entry) bool { return e.Default && e.Linux != "" })
	switch {
	case img.Kernel != "" && img.Kernel != kernel && (kernel == "" || named):
		missing(img.Kernel, fmt.Sprintf("the image's kernel %.100s", path), path)
	case img.Kernel != "" || kernel != "" && !named:
	case !img.KernelFound && named:
		list = append(list, problem.Warnf(check, "the kernel that %s names is not in the image: %.100s", extlinuxFile, path).At(extlinuxFile))
	case !img.KernelFound:
		list = append(list, problem.Warnf(check, "there is no kernel in the image and none in the update: "+
			"whether the modules fit the one on the device cannot be told"))
	default:
		list = append(list, problem.Warnf(check, "the kernel %.100s does not tell its release: whether its modules are there cannot be told",
			path).At(path))
	}
	return list
}
