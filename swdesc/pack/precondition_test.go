package pack_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/swdesc/pack"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

// shells are those that run the conditions on devices: dash, and busybox with its own df, awk, sed, tr and head.
func shells(t *testing.T) map[string][]string {
	t.Helper()
	applets := t.TempDir()
	tool(t, "busybox", "--install", "-s", applets)
	fake := t.TempDir()
	program := "#!/bin/sh\n[ \"$1 $2\" = 'is-active --quiet' ] && [ \"$3\" = docker.service ]\n"
	if err := os.WriteFile(filepath.Join(fake, "systemctl"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	return map[string][]string{
		"dash":    {"dash", "PATH=" + fake + ":" + os.Getenv("PATH")},
		"busybox": {filepath.Join(applets, "sh"), "PATH=" + fake + ":" + applets},
	}
}

// device is a root folder with the files that conditions look at.
func device(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		write(t, filepath.Join(root, name), []byte(text))
	}
	return root
}

func TestConditions(t *testing.T) {
	const supply = "sys/class/power_supply/"
	free := func(bytes release.Size) release.Preconditions {
		return release.Preconditions{FreeSpace: []release.FreeSpace{{Path: "/data", Bytes: bytes}}}
	}
	battery := release.Preconditions{BatteryPercent: 30}
	power := release.Preconditions{ACPower: true}
	for _, tt := range []struct {
		name    string
		minimum string
		p       release.Preconditions
		files   map[string]string
		want    string // "" is met
	}{
		{"the same version", "1.2.0", release.Preconditions{}, map[string]string{"etc/os-release": "NAME=x\nVERSION_ID=1.2.0\n"}, ""},
		{"quoted and newer", "1.2.0", release.Preconditions{}, map[string]string{"etc/os-release": "VERSION_ID=\"1.10\"\n"}, ""},
		{"single quotes", "1.2", release.Preconditions{}, map[string]string{"etc/os-release": "VERSION_ID='1.2.0'\n"}, ""},
		{"older", "1.10.0", release.Preconditions{}, map[string]string{"etc/os-release": "VERSION_ID=1.9.9\n"},
			"cannot install release 1.5.0: release 1.9.9 runs, and it needs 1.10.0 or newer"},
		{"a shorter one is older", "1.2.1", release.Preconditions{}, map[string]string{"etc/os-release": "VERSION_ID=1.2\n"}, "release 1.2 runs"},
		{"a pre-release is older", "1.2.0", release.Preconditions{}, map[string]string{"etc/os-release": "VERSION_ID=1.2.0-rc1\n"}, "1.2.0-rc1 runs"},
		{"an older one by tilde", "1.2.0", release.Preconditions{}, map[string]string{"etc/os-release": "VERSION_ID=1.2.0~5\n"}, "1.2.0~5 runs"},
		{"a recipe's revision", "1.2.0", release.Preconditions{}, map[string]string{"etc/os-release": "VERSION_ID=1.2.0-r1\n"}, ""},
		{"a pre-release of a newer one", "1.2.0", release.Preconditions{}, map[string]string{"etc/os-release": "VERSION_ID=1.3.0-rc1\n"}, ""},
		{"a build of the same", "1.2.0", release.Preconditions{}, map[string]string{"etc/os-release": "VERSION_ID=1.2.0+17\n"}, ""},
		{"a name that only ends alike", "1.2.0", release.Preconditions{}, map[string]string{"etc/os-release": "X_VERSION_ID=9\n"}, "tells which release runs"},
		{"no file", "1.2.0", release.Preconditions{}, nil, "no VERSION_ID in /etc/os-release tells which release runs; this one needs 1.2.0 or newer"},
		{"a candidate without a hyphen", "1.2.0", release.Preconditions{}, osRelease("1.2.0rc1"), "1.2.0rc1 runs"},
		{"a candidate behind a dot", "1.2.0", release.Preconditions{}, osRelease("1.2.0.rc1"), "1.2.0.rc1 runs"},
		{"a beta", "1.2.0", release.Preconditions{}, osRelease("1.2.0b2"), "1.2.0b2 runs"},
		{"with a v", "1.2.0", release.Preconditions{}, osRelease("v1.3"), ""},
		{"with a v, older", "1.2.0", release.Preconditions{}, osRelease("v1.1"), "v1.1 runs"},
		{"a name", "1.2.0", release.Preconditions{}, osRelease("scarthgap"), "release scarthgap runs, which is no number"},
		{"hostile version", "1.2.0", release.Preconditions{}, osRelease("$(touch /tmp/x)`id`"), "which is no number"},
		{"hostile version behind a number", "1.2.0", release.Preconditions{}, osRelease("1.1.$(touch /tmp/x) %s%n"), "1.1.$(touch /tmp/x) %s%n runs"},
		{"room", "", free(1 << 20), nil, ""},
		{"no room", "", free(1 << 60), nil, "KiB free, and it needs 1125899906842624"},
		{"a folder to be made", "", release.Preconditions{FreeSpace: []release.FreeSpace{{Path: "/data/a/b", Bytes: 1}}}, nil, ""},
		{"a folder to be made, no room", "", release.Preconditions{FreeSpace: []release.FreeSpace{{Path: "/new/a", Bytes: 1 << 60}}}, nil,
			"/new/a has "},
		{"no battery", "", battery, map[string]string{supply + "ac/type": "Mains\n"}, ""},
		{"full enough", "", battery, map[string]string{supply + "b/type": "Battery\n", supply + "b/capacity": "30\n"}, ""},
		{"low", "", battery, map[string]string{supply + "b/type": "Battery\n", supply + "b/capacity": "29\n"}, "the battery is at 29 percent, and it needs 30"},
		{"one of two is low", "", battery, map[string]string{supply + "a/type": "Battery\n", supply + "a/capacity": "90\n",
			supply + "b/type": "Battery\n", supply + "b/capacity": "5\n"}, "at 5 percent"},
		{"a mouse's battery", "", battery, map[string]string{supply + "b/type": "Battery\n", supply + "b/capacity": "5\n", supply + "b/scope": "Device\n"}, ""},
		{"unreadable", "", battery, map[string]string{supply + "b/type": "Battery\n"}, "an unknown level"},
		{"only a mouse has a battery", "", power, map[string]string{supply + "m/type": "Battery\n", supply + "m/scope": "Device\n"}, ""},
		{"no battery at all", "", power, nil, ""},
		{"plugged in", "", power, map[string]string{supply + "b/type": "Battery\n", supply + "ac/type": "Mains\n", supply + "ac/online": "1\n"}, ""},
		{"charged by USB", "", power, map[string]string{supply + "b/type": "Battery\n", supply + "u/type": "USB_PD\n", supply + "u/online": "2\n"}, ""},
		{"unplugged", "", power, map[string]string{supply + "b/type": "Battery\n", supply + "ac/type": "Mains\n", supply + "ac/online": "0\n"}, "it runs on its battery"},
		{"service runs", "", release.Preconditions{Services: []string{"docker.service"}}, nil, ""},
		{"service does not", "", release.Preconditions{Services: []string{"docker.service", "sshd.service"}}, nil, "service sshd.service is not running"},
	} {
		r := &release.Release{Version: "1.5.0", MinimumVersion: tt.minimum, Preconditions: tt.p,
			Running: release.Running{File: "/etc/os-release", Key: "VERSION_ID"}}
		for name, shell := range shells(t) {
			c := exec.Command(shell[0], "-c", pack.Conditions(r))
			c.Env = []string{"TEGRA_OTA_ROOT=" + device(t, tt.files), shell[1]}
			out, err := c.CombinedOutput()
			if (err == nil) != (tt.want == "") || !strings.Contains(string(out), tt.want) || err == nil && len(out) > 0 {
				t.Errorf("%s, %s: %v: %q, want %q", name, tt.name, err, out, tt.want)
			}
			if n := strings.Count(string(out), "\n"); n > 1 {
				t.Errorf("%s, %s: %d lines, want one: %s", name, tt.name, n, out)
			}
		}
	}
}

func osRelease(version string) map[string]string {
	return map[string]string{"etc/os-release": "VERSION_ID=" + version + "\n"}
}

// A program that is missing, or does not answer, is no answer.
func TestConditionsWithoutPrograms(t *testing.T) {
	r := &release.Release{Version: "1.5.0", Preconditions: release.Preconditions{Services: []string{"docker.service"}}}
	hanging := t.TempDir()
	for name, program := range map[string]string{"systemctl": "exec sleep 60", "timeout": "exec /usr/bin/timeout 0.2 \"$2\" \"$3\" \"$4\" \"$5\""} {
		write(t, filepath.Join(hanging, name), []byte("#!/bin/sh\n"+program+"\n"))
		if err := os.Chmod(filepath.Join(hanging, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		t.TempDir():                       "systemctl is missing on this device",
		hanging + ":" + os.Getenv("PATH"): "service docker.service is not running",
	} {
		c := exec.Command("/bin/dash", "-c", pack.Conditions(r))
		c.Env = []string{"PATH=" + path}
		start := time.Now()
		out, err := c.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) || time.Since(start) > 30*time.Second {
			t.Errorf("%v after %v: %s, want %q", err, time.Since(start), out, want)
		}
	}
}

func TestConditionsAreShell(t *testing.T) {
	_, text := standard(t)
	r := parse(t, t.TempDir(), everyCondition+text)
	file := filepath.Join(t.TempDir(), "conditions.sh")
	write(t, file, []byte("#!/bin/sh\n"+pack.Conditions(r)))
	tool(t, "shellcheck", file)
	for _, luac := range []string{"luac5.3", "luac5.4"} {
		lua := filepath.Join(t.TempDir(), "hook.lua")
		write(t, lua, []byte(pack.HookScript(r)))
		tool(t, luac, "-p", lua)
	}
	if pack.Conditions(parse(t, t.TempDir(), text)) != "" || pack.HookScript(parse(t, t.TempDir(), text)) != "" {
		t.Error("a release without conditions has some")
	}
}

const everyCondition = `minimum_version = "1.2.0"
preconditions.free_space = [{ path = "/data", bytes = "1M" }]
preconditions.battery_percent = 30
preconditions.ac_power = true
preconditions.services = ["docker.service"]
`
