package rauc_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestDescribeFindsTheSlots(t *testing.T) {
	byNode := [2]string{"/dev/nvme0n1p1", "/dev/nvme0n1p2"}
	byGUID := [2]string{"GUID", "GUID"}
	for _, tt := range []describeCase{
		{name: "stock", why: "By label: /dev/nvme0n1p1 alone carries it."},
		{name: "slot B runs", change: func(d described) { d.runsFrom("/dev/nvme0n1p2") }},
		{name: "an overlay, mounted by the initramfs", change: func(d described) {
			d.replace(confMounts, " / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw",
				" / /media/ro ro - ext4 /dev/nvme0n1p1 ro\n99 1 0:99 / / rw - overlay overlay rw")
		}},
		{
			name: "a clone on another disk", change: func(d described) { d.clone(true) }, devices: byGUID,
			why:      "By GUID: /dev/nvme0n1p1 and /dev/sda1 all carry that label.",
			warnings: []string{"an update would fail: .*APP: /dev/nvme0n1p1 and /dev/sda1", "an update would fail: .*APP_b: "},
		},
		{
			name: "the clone runs", change: func(d described) {
				d.clone(true)
				d.runsFrom("/dev/sda1")
			},
			devices:  [2]string{"/dev/sda1", "/dev/sda2"}, // udev has no links for it here
			warnings: []string{"would fail", "would fail", "/dev/sda1 may be another partition after a reboot", "/dev/sda2 may be"},
		},
		{
			name: "a clone byte by byte", change: func(d described) {
				d.partition("sda1", "APP", d.uuid[0])
				d.partition("sda2", "APP_b", d.uuid[1])
			},
			devices:  byNode,
			why:      "By the kernel's name, which may be another partition's after a reboot: /dev/nvme0n1p1 and /dev/sda1 all carry",
			warnings: []string{"would fail", "would fail", "/dev/nvme0n1p1 may be", "/dev/nvme0n1p2 may be"},
		},
		{
			name: "a clone whose GUIDs the kernel does not tell", change: func(d described) {
				for i, name := range []string{"nvme0n1p1", "nvme0n1p2"} {
					d.replace(confUevents+name+"/uevent", "PARTUUID="+d.uuid[i]+"\n", "")
				}
				d.clone(false)
			},
			devices: byNode, warnings: []string{"would fail", "would fail", "/dev/nvme0n1p1 may be", "/dev/nvme0n1p2 may be"},
		},
		{
			name: "only APP twice", change: func(d described) { d.partition("sda1", "APP", otherGUID) },
			devices: [2]string{"GUID", ""}, warnings: []string{"would fail"},
		},
		{
			name: "a clone, and another of the launcher's labels", change: func(d described) {
				d.clone(true)
				d.partition("nvme0n1p9", "A_APP", "bbbbbbbb-0000-4000-8000-000000000009")
			},
			devices: byGUID, warnings: []string{"would fail", "would fail"},
		},
		{
			name: "APP on another disk, A_APP here", change: func(d described) {
				d.replace(confUevents+"nvme0n1p1/uevent", "PARTNAME=APP", "PARTNAME=A_APP")
				d.remove(confByLabel + "APP")
				d.partition("sda1", "APP", otherGUID)
			},
			devices: [2]string{"GUID", ""}, warnings: []string{"slot A is taken for /dev/nvme0n1p1, not for /dev/sda1 with the label APP"},
		},
		{
			name: "the launcher's other labels", change: func(d described) {
				for i, label := range []string{"A_APP", "B_APP"} {
					d.replace(fmt.Sprintf("%snvme0n1p%d/uevent", confUevents, i+1), "PARTNAME=", "PARTNAME="+label+"\nWAS=")
					if err := os.Symlink(fmt.Sprintf("../../nvme0n1p%d", i+1), filepath.Join(d.dir, confByLabel, label)); err != nil {
						d.Fatal(err)
					}
				}
				d.remove(confByLabel + "APP")
				d.remove(confByLabel + "APP_b")
			},
			devices: [2]string{"/dev/disk/by-partlabel/A_APP", "/dev/disk/by-partlabel/B_APP"},
		},
		{
			name: "no links by label", change: func(d described) { d.remove(confByLabel) }, devices: byGUID,
			why: "By GUID: no link in /dev/disk/by-partlabel leads to /dev/nvme0n1p1.",
		},
		{
			name: "no links", change: func(d described) { d.remove("dev/disk") }, devices: byNode,
			warnings: []string{"/dev/nvme0n1p1 may be another partition after a reboot: no link", "/dev/nvme0n1p2"},
		},
		{
			name: "nothing tells what runs", change: described.nowhere,
			warnings: []string{"not verified that the slots are on the disk the system runs from: ", "the slots' type is a guess, ext4"},
		},
		{
			name: "neither slot runs", change: func(d described) { d.runsFrom("/dev/nvme0n1p8") },
			warnings: []string{"the system runs from /dev/nvme0n1p8, which is the root file system of neither slot"},
		},
	} {
		t.Run(tt.name, tt.run)
	}
}

func TestDescribeRefusesToGuessTheSlots(t *testing.T) {
	for _, tt := range []refusedCase{
		{"no slot B", described.withoutB, "no partition of /dev/nvme0n1, which the system runs from, is labelled APP_b"},
		{"a partition that is only called like slot B", func(d described) {
			d.withoutB()
			d.partition("nvme0n1p9", "b", otherGUID)
		}, "no partition of /dev/nvme0n1, which the system runs from, is labelled APP_b"},
		{"slot B on another disk", func(d described) {
			d.withoutB()
			d.partition("sda2", "APP_b", otherGUID)
		}, "no partition of /dev/nvme0n1, which the system runs from, is labelled APP_b"},
		{"both on another disk", func(d described) {
			d.partition("sda1", "rescue", otherGUID)
			d.runsFrom("/dev/sda1")
		}, "no partition of /dev/sda, which the system runs from, is labelled APP"},
		{"twice on one disk", func(d described) { d.partition("nvme0n1p9", "APP_b", otherGUID) },
			"root file system of slot B: /dev/nvme0n1p2 and /dev/nvme0n1p9 carry its label"},
		{"a clone, and nothing tells what runs", func(d described) {
			d.clone(true)
			d.nowhere()
		}, "/dev/nvme0n1p1 and /dev/sda1 all carry that label"},
		{"two disks, and nothing tells what runs", func(d described) {
			d.withoutB()
			d.partition("sda2", "APP_b", otherGUID)
			d.nowhere()
		}, "/dev/nvme0n1p1 and /dev/sda2 are not on one disk"},
		{"no disk at all", func(d described) {
			d.remove("sys/class/block")
			d.remove("dev/disk")
		}, "cannot find partition APP"},
	} {
		t.Run(tt.name, tt.run)
	}
}
