package swupdate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// kind is a device that updates run on: who controls its slots, and how firmware gets into its flash. What an update means is the
// same on all of them.
type kind struct {
	name     string
	create   []string // flags of virtual-orin create
	config   string   // config.toml; none if empty
	backend  string   // what status must call the backend
	versions []string // firmware newer than what it is made with, rising
	boards   []string // flags of payload that make it large, see TestParts
	payload  payload
	resets   int // failed boots after which the firmware goes back to the other slot
}

// payload is firmware as an update carries it: the verb of virtual-orin that builds it, with the flags that name the device.
type payload struct {
	file  string
	build []string
}

var (
	// onEFI is an Orin whose UEFI variables say everything: what most devices are.
	onEFI = kind{name: "efivar", backend: "efivar", versions: []string{"36.4.3", "36.4.4", "36.4.7", "36.5.0", "36.5.1"},
		boards: specs("3767-000-%04d--1-0-jetson-orin-nano-devkit-"), payload: capsules, resets: tries}
	// onProgram is the same Orin, through NVIDIA's nvbootctrl.
	onProgram = kind{name: "nvbootctrl R36", create: []string{"--nvbootctrl", "r36"},
		config: "backend = \"nvbootctrl\"\n", backend: "nvbootctrl",
		versions: onEFI.versions, boards: onEFI.boards, payload: capsules, resets: tries}
	// onJetPack4 is a Xavier NX with slot metadata in place of UEFI; nothing is configured, and the chip decides.
	onJetPack4 = kind{name: "nvbootctrl R32", create: []string{"--module", xavier, "--l4t", "32.7.5"}, backend: "nvbootctrl",
		versions: []string{"32.7.6", "32.7.7", "32.7.8", "32.7.9", "32.7.10"},
		boards:   specs("3668-100-%04d--1-2-jetson-xavier-nx-devkit-emmc-mmcblk0p1"),
		payload:  payload{file: "bl_update_payload", build: []string{"bup", "--module", xavier}}, resets: 7}

	kinds = []kind{onEFI, onProgram, onJetPack4}

	capsules = payload{file: "TEGRA_BL.Cap", build: []string{"capsule"}}
)

// xavier is the module of onJetPack4.
const xavier = "p3668-0001"

// everywhere runs a case once on each kind of device.
func everywhere(t *testing.T, test func(t *testing.T, k kind)) {
	t.Helper()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			parallel(t)
			test(t, k)
		})
	}
}

// of builds a payload at an L4T version.
func (p payload) of(t *testing.T, l4t string, options ...string) []byte {
	t.Helper()
	programs(t)
	file := filepath.Join(t.TempDir(), p.file)
	tool(t, "", suite.orin, slices.Concat(p.build, []string{"-o", file, "--l4t", l4t}, options)...)
	return read(t, file)
}

// firmware is a member with that payload.
func (k kind) firmware(id string, data []byte) member {
	m := firmware(id, data)
	m.name = k.payload.file
	return m
}

// newDevice makes one, running from slot A. On JetPack 4 what nv_update_engine was asked is judged when the test ends.
func newDevice(t *testing.T, k kind, options ...string) *orin {
	t.Helper()
	programs(t)
	dir := filepath.Join(t.TempDir(), "orin")
	tool(t, "", suite.orin, slices.Concat([]string{"create", dir, "--app-size", fmt.Sprint(appSize)}, k.create, options)...)
	u := newUpdater(t, suite.libexec)
	u.env = []string{"TEGRA_OTA_ROOT=" + dir}
	o := &orin{updater: u, kind: k, dir: dir, userland: userland}
	if k.config != "" {
		if err := os.MkdirAll(o.path("etc/tegra-ota"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, o.path("etc/tegra-ota/config.toml"), []byte(k.config))
	}
	if k.jetPack4() {
		t.Cleanup(func() { o.neverEnabled(t) })
	}
	return o
}

func (k kind) jetPack4() bool { return k.name == onJetPack4.name }

// label names a partition of a slot on the disk: T194 has kernel and kernel_b where T234 has A_kernel and B_kernel.
func (k kind) label(name, slot string) string {
	switch {
	case !k.jetPack4():
		return slot + "_" + name
	case slot == "B":
		return name + "_b"
	}
	return name
}

// specs are flags for a payload of ten boards: as many images as make it larger than a socket's buffer.
func specs(pattern string) []string {
	flags := []string{"--size-per-image", "60K"} // what the smallest flash partition takes
	for sku := 0; sku < 10; sku++ {
		flags = append(flags, "--spec", fmt.Sprintf(pattern, sku))
	}
	return flags
}
