package rootfs

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// blockDevice is a disk or partition as the kernel names it, and the two numeric forms that root= takes (Linux, block/early-lookup.c):
// "179:1", and "b301" for the same in hexadecimal.
var blockDevice = regexp.MustCompile(`^(?:/dev/(?:nvme\d+n\d+(?:p\d+)?|mmcblk\d+(?:p\d+)?|[shv]d[a-z]+\d*)|` +
	`\d+:\d+|[0-9a-fA-F]{3,8})$`)

// Reasons why a root= is wrong in one of the slots.
const (
	onePartition = "is one slot's partition: written to the other slot, the image boots this one's root file system"
	ofTheImage   = "comes with the image: once both slots have been written they have the same, and either may boot"
	unknownRoot  = "is of a form that swdesc does not know: it may boot the other slot's root file system"
)

// judgeRoot says why a root= may boot the other slot; "" if it boots its own, or leaves that to the initrd.
//
//   - none: the initrd looks for the partition of the slot that booted, as meta-tegra's does (tegra-minimal-init, by
//     BootChainOsCurrent).
//   - /dev/ram0: the root is the initrd.
//   - /dev/mapper/NAME, /dev/dm-N: verity or encryption, set up by the initrd, which knows the slot; the name says nothing about it.
//   - PARTUUID=, PARTLABEL=, /dev/nvme0n1p1, /dev/disk/by-partuuid/ and the like: the GPT's, which an update does not write, so this is
//     always the same slot.
//   - UUID=, LABEL=, by-uuid, by-label: the file system's. Two slots with one image cannot be told apart; a LABEL is the same in
//     every release as well.
//   - anything else (gpt-auto, a variable, a rule of the integrator's own): cannot be judged from here.
func judgeRoot(value string) (reason string, known bool) {
	for _, prefix := range []string{"/dev/ram", "/dev/mapper/", "/dev/dm-"} {
		if value == "" || strings.HasPrefix(value, prefix) {
			return "", true
		}
	}
	if blockDevice.MatchString(value) {
		return onePartition, true
	}
	kind, _, tagged := strings.Cut(value, "=")
	if by, ok := strings.CutPrefix(value, "/dev/disk/by-"); ok {
		kind, _, _ = strings.Cut(by, "/")
	} else if !tagged {
		kind = ""
	}
	switch strings.ToLower(kind) {
	case "partuuid", "partlabel", "path", "id", "diskseq":
		return onePartition, true
	case "uuid", "label":
		return ofTheImage, true
	}
	return unknownRoot, false
}

// CheckExtlinux finds labels of extlinux.conf whose root= names one slot's partition, or cannot tell the slots apart (check
// "extlinux-root"). All labels count: a person at the console may pick any, and U-Boot of R32 tries the next when one fails.
func CheckExtlinux(img *Image) problem.List {
	var list problem.List
	for _, e := range img.Extlinux {
		reason, known := judgeRoot(e.Root)
		if reason == "" {
			continue
		}
		newProblem := problem.Errorf
		if !known {
			newProblem = problem.Warnf
		}
		list = append(list, newProblem("extlinux-root", "root=%.100s of label %.100q %s", printable(e.Root), e.Label, reason).
			Then("leave root= out and let the initrd choose the slot's partition, or rewrite it on the device").
			At(fmt.Sprintf("%s:%d", extlinuxFile, e.Line)))
	}
	return list
}

// printable replaces what a terminal would act on: the text is the image's.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
