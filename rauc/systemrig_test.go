package rauc_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/config"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/rauc"
)

// described is a virtual device that a system.conf is made for.
type described struct {
	*testing.T
	dir  string
	uuid [2]string // of APP and APP_b
}

func newDescribed(t *testing.T) described {
	t.Helper()
	o, err := virtual.Create(filepath.Join(t.TempDir(), "orin"), virtual.CreateOptions{AppSize: 64 << 10, ImageSize: 256})
	if err != nil {
		t.Fatal(err)
	}
	d := described{T: t, dir: o.Dir()}
	for _, name := range []string{"tegra-boot-handler", "tegra-rauc-pre-install", "tegra-rauc-post-install", "tegra-rauc-system-info"} {
		d.put("usr/libexec/tegra-ota/"+name, "")
	}
	for i, name := range []string{"nvme0n1p1", "nvme0n1p2"} {
		_, rest, _ := strings.Cut(d.text("sys/class/block/"+name+"/uevent"), "PARTUUID=")
		d.uuid[i] = strings.TrimSpace(rest)
	}
	return d
}

func (d described) put(path, text string) {
	d.Helper()
	file := filepath.Join(d.dir, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		d.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		d.Fatal(err)
	}
}

func (d described) text(path string) string {
	d.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, path))
	if err != nil {
		d.Fatal(err)
	}
	return string(b)
}

func (d described) replace(path, old, by string) {
	d.Helper()
	text := d.text(path)
	if !strings.Contains(text, old) {
		d.Fatalf("%s has no %q: %s", path, old, text)
	}
	d.put(path, strings.ReplaceAll(text, old, by))
}

func (d described) remove(path string) {
	d.Helper()
	if err := os.RemoveAll(filepath.Join(d.dir, path)); err != nil {
		d.Fatal(err)
	}
}

// partition adds one as kernel and udev show it; no GUID is one that the kernel does not tell.
func (d described) partition(name, label, uuid string) {
	d.Helper()
	text := "MAJOR=8\nMINOR=1\nDEVNAME=" + name + "\nDEVTYPE=partition\nPARTN=1\nPARTNAME=" + label + "\n"
	if uuid != "" {
		text += "PARTUUID=" + uuid + "\n"
	}
	d.put("sys/class/block/"+name+"/uevent", text)
	d.put("dev/"+name, "")
}

// clone adds a second disk, with GUIDs of its own or none.
func (d described) clone(uuids bool) {
	for i, label := range []string{"APP", "APP_b"} {
		uuid := ""
		if uuids {
			uuid = fmt.Sprintf("bbbbbbbb-0000-4000-8000-00000000000%d", i)
		}
		d.partition(fmt.Sprintf("sda%d", i+1), label, uuid)
	}
}

// nowhere makes it impossible to tell what the system runs from.
func (d described) nowhere() {
	d.replace(confMounts, "- ext4 /dev/nvme0n1p1", "- nfs server:/root")
	d.put(confCmdline, "root=/dev/nfs\n")
}

// runsFrom mounts another device at /.
func (d described) runsFrom(dev string) {
	d.replace(confMounts, "- ext4 /dev/nvme0n1p1", "- ext4 "+dev)
}

// withoutB takes slot B's root file system away.
func (d described) withoutB() {
	d.remove("sys/class/block/nvme0n1p2")
	d.remove(confByLabel + "APP_b")
}

const (
	confMounts  = "proc/self/mountinfo"
	confCmdline = "proc/cmdline"
	confByLabel = "dev/disk/by-partlabel/"
	confUevents = "sys/class/block/"
	otherGUID   = "bbbbbbbb-0000-4000-8000-000000000001"
)

// describeCase is a change of the stock device, and how its system.conf differs from the stock one.
type describeCase struct {
	name     string
	change   func(d described)
	devices  [2]string       // "GUID" for the link by the device's own; nothing for the stock one
	differs  rauc.SystemConf // the other fields; "-" for an empty one
	why      string          // in the comment on slot A
	warnings []string        // regular expressions, in order
}

func (tt describeCase) run(t *testing.T) {
	d := newDescribed(t)
	if tt.change != nil {
		tt.change(d)
	}
	want := stockConf()
	pick := func(field *string, by string) {
		if by != "" {
			*field = strings.TrimPrefix(by, "-")
		}
	}
	pick(&want.Compatible, tt.differs.Compatible)
	pick(&want.DataDirectory, tt.differs.DataDirectory)
	pick(&want.RootfsType, tt.differs.RootfsType)
	for i := range want.Slots {
		pick(&want.Slots[i].Device, tt.devices[i])
		if tt.devices[i] == "GUID" {
			want.Slots[i].Device = "/dev/disk/by-partuuid/" + d.uuid[i]
		}
	}
	got, warnings, err := rauc.Describe(device.New(d.dir), config.Default().RAUC, givenConf())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.Slots[0].Why, tt.why) {
		t.Errorf("%q, want %q", got.Slots[0].Why, tt.why)
	}
	for i := range got.Slots {
		if got.Slots[i].Why == "" {
			t.Errorf("%s is named without a reason", got.Slots[i].Device)
		}
		got.Slots[i].Why = want.Slots[i].Why
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	sameWarnings(t, warnings, tt.warnings)
	renderConf(t, got)
}

// refusedCase is a change of the stock device that leaves no system.conf to print.
type refusedCase struct {
	name   string
	change func(d described)
	want   string
}

func (tt refusedCase) run(t *testing.T) {
	d := newDescribed(t)
	tt.change(d)
	_, _, err := rauc.Describe(device.New(d.dir), config.Default().RAUC, givenConf())
	if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(fmt.Sprint(err), tt.want) {
		t.Errorf("%v, want %q and exit %d", err, tt.want, fail.Unavailable)
	}
}

// givenConf is what the executable always says: it has defaults for these.
func givenConf() rauc.SystemConf {
	return rauc.SystemConf{Keyring: "/etc/rauc/ca.cert.pem", Libexec: "/usr/libexec/tegra-ota"}
}

// sameWarnings compares with regular expressions.
func sameWarnings(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("warnings %q, want %q", got, want)
		return
	}
	for i := range want {
		if !regexp.MustCompile(want[i]).MatchString(got[i]) {
			t.Errorf("warning %q, want %q", got[i], want[i])
		}
	}
}
