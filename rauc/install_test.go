package rauc_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/rauc"
)

func TestReadInstall(t *testing.T) {
	root := bundled{"rootfs", "rootfs.ext4", "root"}
	boot := bundled{"bootloader", "TEGRA_BL.Cap", testCapsule(t, "36.4.3")}
	for _, tt := range []struct {
		name      string
		images    []bundled
		bootnames []string
		capsules  []string
	}{
		{"root file system and firmware", []bundled{root, boot}, []string{"B"}, []string{"TEGRA_BL.Cap"}},
		{"root file system", []bundled{root}, []string{"B"}, nil},
		// The whole group is the target even if nothing is written to its parent: no switch follows.
		{"firmware", []bundled{boot}, nil, []string{"TEGRA_BL.Cap"}},
		{"neither", nil, nil, nil},
		{"a class that has no slot", []bundled{{"appfs", "appfs.ext4", "apps"}}, nil, nil},
		{"firmware under any name", []bundled{{"bootloader", "bl.img", boot.content}}, nil, []string{"bl.img"}},
		{"what is called a capsule and is none", []bundled{{"bootloader", "TEGRA_BL.Cap", "a bare BUP"}}, nil, nil},
		{"shorter than a capsule's head", []bundled{{"bootloader", "b", boot.content[:15]}, {"rootfs", "r", ""}}, []string{"B"}, nil},
		{"two capsules", []bundled{{"rootfs", "first.Cap", boot.content}, {"bootloader", "second.Cap", boot.content}},
			[]string{"B"}, []string{"second.Cap", "first.Cap"}},
	} {
		bundle := mountTemp(t, filepath.Join(t.TempDir(), "bundle"))
		fill(t, bundle, tt.images...)
		in, err := rauc.ReadInstall(handlerEnvironment(bundle, "/etc/rauc/system.conf", tt.images...))
		if err != nil || in.Bundle != bundle || in.Config != "/etc/rauc/system.conf" {
			t.Errorf("%s: %+v, %v", tt.name, in, err)
		}
		if d := cmp.Diff(tt.bootnames, in.Bootnames()); d != "" || in.SwitchesSlots() != (tt.bootnames != nil) {
			t.Errorf("%s: switches %t, bootnames %s", tt.name, in.SwitchesSlots(), d)
		}
		capsules, err := in.Capsules()
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		var names []string
		for _, c := range capsules {
			names = append(names, c.Name)
			if got, err := io.ReadAll(c); string(got) != boot.content || err != nil {
				t.Errorf("%s: %s has %d bytes, %v", tt.name, c.Name, len(got), err)
			}
			must(t, c.Close())
		}
		if d := cmp.Diff(tt.capsules, names); d != "" {
			t.Errorf("%s: capsules %s", tt.name, d)
		}
	}
}

func TestReadInstallOddities(t *testing.T) {
	if _, err := rauc.ReadInstall(func(string) string { return "" }); fail.CodeOf(err) != fail.Usage || fail.NextOf(err) == "" ||
		!strings.Contains(err.Error(), "RAUC_BUNDLE_MOUNT_POINT") {
		t.Errorf("no environment: %v", err)
	}
	env := handlerEnvironment("/bundle", "", bundled{"rootfs", "r", ""}, bundled{"bootloader", "b", ""})
	for targets, want := range map[string]int{"": 0, " ": 0, "4": 1, " 1  4\n": 1, "2": 1, "1": 0, "1 3": 0, "2 4": 2, "9": 0, "x": 0} {
		in, err := rauc.ReadInstall(func(name string) string {
			if name == "RAUC_TARGET_SLOTS" {
				return targets
			}
			return env(name)
		})
		if err != nil || len(in.Bootnames()) != want {
			t.Errorf("target slots %q: bootnames %q, %v; want %d", targets, in.Bootnames(), err, want)
		}
	}
}

// What a manifest names must be the bundle's here, too, before anybody looks into it.
func TestCapsulesRefuse(t *testing.T) {
	dir := t.TempDir()
	bundle := mountTemp(t, filepath.Join(dir, "bundle"))
	raw := testCapsule(t, "36.4.3")
	good := bundled{"rootfs", "good.Cap", raw}
	fill(t, bundle, good, bundled{file: "flipped.Cap", content: raw[:len(raw)-1] + "x"})
	must(t, os.WriteFile(filepath.Join(dir, "outside.Cap"), []byte(raw), 0o644), unix.Mkfifo(filepath.Join(bundle, "fifo"), 0o644),
		os.Symlink(filepath.Join(dir, "outside.Cap"), filepath.Join(bundle, "link.Cap")))
	for name, file := range map[string]string{
		"outside": dir + "/outside.Cap", "by ..": "../outside.Cap", "by a link": "link.Cap", "a FIFO": "fifo", "a folder": ".",
		"not there": "absent.Cap", "another digest": "flipped.Cap",
	} {
		for _, images := range [][]bundled{{{"bootloader", file, raw}}, {good, {"bootloader", file, raw}}} {
			in, err := rauc.ReadInstall(handlerEnvironment(bundle, "", images...))
			must(t, err)
			found, err := in.Capsules()
			if fail.CodeOf(err) != fail.Data || len(found) > 0 || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %d capsules, %v; want bad data", name, len(found), err)
			}
		}
	}
	// Without a mount nothing is believed.
	plain := filepath.Join(dir, "plain")
	must(t, os.Mkdir(plain, 0o755))
	fill(t, plain, good)
	in, err := rauc.ReadInstall(handlerEnvironment(plain, "", good))
	must(t, err)
	if found, err := in.Capsules(); fail.CodeOf(err) != fail.Usage || len(found) > 0 {
		t.Errorf("no mount: %d capsules, %v", len(found), err)
	}
}

// system.conf is GLib's key file: its comments, blanks, ends of lines and repeated groups (GKeyFile, "Key-value file parser").
func TestActivatesInstalled(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       bool
	}{
		{"nothing", "", true},
		{"not named", "[system]\ncompatible=x\nbootloader=custom\n", true},
		{"true", "[system]\nactivate-installed=true\n", true},
		{"1", "[system]\nactivate-installed=1\n", true},
		{"false", "[system]\ncompatible=x\nactivate-installed=false\nbootloader=custom\n", false},
		{"0", "[system]\nactivate-installed=0\n", false},
		{"no newline at the end", "[system]\nactivate-installed=false", false},
		{"blanks", " \t[system] \n\t activate-installed \t=  false \t\n", false},
		{"CRLF", "[system]\r\ncompatible=x\r\nactivate-installed=false\r\n", false},
		{"CRLF and true", "[system]\r\nactivate-installed=true\r\n", true},
		{"a comment", "[system]\n#activate-installed=false\n", true},
		{"a comment behind blanks", "[system]\n  # activate-installed=false\n", true},
		{"comments around it", "# [system]\n[system]\n# the next one\nactivate-installed=false\n# [keyring]\n", false},
		{"a group in a comment", "[system]\n#[keyring]\nactivate-installed=false\n", false},
		{"empty lines", "\n\n[system]\n\n\nactivate-installed=false\n\n", false},
		{"another group before", "[keyring]\npath=x\n[system]\nactivate-installed=false\n", false},
		{"another group behind", "[system]\nactivate-installed=false\n[keyring]\npath=x\n", false},
		{"in another group", "[system]\ncompatible=x\n[handlers]\nactivate-installed=false\n", true},
		{"in a group that is named alike", "[systems]\nactivate-installed=false\n" +
			"[System]\nactivate-installed=false\n[ system ]\nactivate-installed=false\n", true},
		// Groups of one name are one, and the last value counts.
		{"the group twice", "[system]\ncompatible=x\n[keyring]\npath=x\n[system]\nactivate-installed=false\n", false},
		{"the key twice", "[system]\nactivate-installed=false\nactivate-installed=true\n", true},
		{"the key twice, in two groups", "[system]\nactivate-installed=true\n[keyring]\npath=x\n[system]\nactivate-installed=false\n", false},
		{"named alike", "[system]\nactivate-installed2=false\n" +
			"re-activate-installed=false\nActivate-Installed=false\nactivate_installed=false\n", true},
		{"a translation", "[system]\nactivate-installed[de]=false\n", true},
		{"in a value", "[system]\ncompatible=activate-installed=false\n", true},
		{"in a slot", "[slot.rootfs.0]\nactivate-installed=false\nbootname=A\n", true},
	} {
		file := filepath.Join(t.TempDir(), "system.conf")
		must(t, os.WriteFile(file, []byte(tt.text), 0o644))
		if got := (rauc.Install{Config: file}).ActivatesInstalled(); got != tt.want {
			t.Errorf("%s: %t, want %t:\n%s", tt.name, got, tt.want, tt.text)
		}
	}
	for _, file := range []string{"", t.TempDir(), filepath.Join(t.TempDir(), "absent")} {
		if !(rauc.Install{Config: file}).ActivatesInstalled() {
			t.Errorf("%q cannot be read, and RAUC's default was not taken", file)
		}
	}
}

// With an install hook an image need not have a file; its slot is switched to all the same.
func TestReadInstallOfAnImageWithoutFile(t *testing.T) {
	env := map[string]string{"RAUC_BUNDLE_MOUNT_POINT": t.TempDir(), "RAUC_TARGET_SLOTS": "1 2", "RAUC_IMAGE_CLASS_2": "rootfs", "RAUC_SLOT_BOOTNAME_2": "B"}
	in, err := rauc.ReadInstall(func(name string) string { return env[name] })
	if err != nil || !in.SwitchesSlots() {
		t.Fatalf("switches slots %t, %v; want it to", in.SwitchesSlots(), err)
	}
	if names, err := in.CapsuleNames(); err != nil || len(names) > 0 {
		t.Errorf("capsules %q, %v", names, err)
	}
}
