package release_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

// head is a release that needs nothing but what a case adds; component's lines are 2 to 4, then more is appended from line 5.
const head = "version = \"1\"\n" + component

const (
	wordRule   = "must be at most 64 letters, digits or ._+~-, a letter or digit first"
	pathRule   = "must be an absolute path of at most 254 bytes, without // and .. and / at its end"
	anchorRule = "must be anchored, #RE:^...$, with any alternatives in parentheses: SWUpdate takes a match anywhere in the revision"
	oneSlot    = "; write \"APP\", and the device takes the slot it does not run"
)

func kernel(lines string) string {
	return head + "[[component]]\ntype = \"kernel\"\nfile = \"k\"\n" + lines
}

func file(lines string) string {
	return head + "[[component]]\ntype = \"file\"\nfile = \"f\"\n" + lines
}

// Every rule with the whole message.
func TestRules(t *testing.T) {
	long := strings.Repeat("x", 65)
	for _, tt := range []struct{ text, want string }{
		{component, "r.toml: version is missing or empty"},
		{"version = \"\"\n" + component, "r.toml:1:1: version is missing or empty"},
		{"version = \"1 0\"\n" + component, `r.toml:1:1: version "1 0" ` + wordRule},
		{"version = \"-1\"\n" + component, `r.toml:1:1: version "-1" ` + wordRule},
		{"version = \"1;reboot\"\n" + component, `r.toml:1:1: version "1;reboot" ` + wordRule},
		{"version = \"1/2\"\n" + component, `r.toml:1:1: version "1/2" ` + wordRule},
		{"version = \"1\\n\"\n" + component, `r.toml:1:1: version "1\n" ` + wordRule},
		{"version = \"é\"\n" + component, `r.toml:1:1: version "é" ` + wordRule},
		{"version = \"" + long + "\"\n" + component, `r.toml:1:1: version "` + long + `" ` + wordRule},
		{"name = \"a b\"\n" + head, `r.toml:1:1: name "a b" ` + wordRule},
		{"description = \"a\\nb\"\n" + head, `r.toml:1:1: description "a\nb" must be UTF-8 without control characters`},
		{"description = \"" + strings.Repeat("x", 501) + "\"\n" + head,
			`r.toml:1:1: description "` + strings.Repeat("x", 199) + "... must have at most 500 bytes, it has 501"},
		{"description = \"" + strings.Repeat("é", 251) + "\"\n" + head,
			`r.toml:1:1: description "` + strings.Repeat("é", 99) + "... must have at most 500 bytes, it has 502"},
		{"minimum_version = \"1.2-r1\"\n" + head, `r.toml:1:1: minimum_version "1.2-r1" must be numbers with dots between them, such as 1.2.0`},
		{"minimum_version = \"1..2\"\n" + head, `r.toml:1:1: minimum_version "1..2" must be numbers with dots between them, such as 1.2.0`},
		{"minimum_version = \"1234567890\"\n" + head,
			`r.toml:1:1: minimum_version "1234567890" must be numbers with dots between them, such as 1.2.0`},
		{"allow = [\"kernel-modules\", \"extlinux-rot\"]\n" + head, `r.toml:1:28: allow[1] "extlinux-rot" must be one of l4t-release, ` +
			`kernel-modules, extlinux-root, firmware-boards, firmware-signature, rootfs; did you mean "extlinux-root"?`},
		{"allow = [\"l4t-release\", \"l4t-release\"]\n" + head, "r.toml:1:1: allow must not name one thing twice"},
		{"version = \"1\"\n", "r.toml: component is missing: a release needs at least one"},
		{"version = \"1\"\ncomponent = []\n", "r.toml:2:1: component is missing: a release needs at least one"},

		{head + "[hardware]\ncompatible = \"a\\\"b\"\n", `r.toml:6:1: hardware.compatible "a\"b" ` +
			"must be at most 64 letters, digits, blanks or ._,+:~-, a letter or digit first"},
		{head + "[hardware]\nrevisions = [\"1 0\"]\n", `r.toml:6:14: hardware.revisions[0] "1 0" ` +
			"must be one word of at most 64 letters, digits or ._+~:/-, or #RE:^...$"},
		{head + "[hardware]\nrevisions = [\"\"]\n", `r.toml:6:14: hardware.revisions[0] "" ` +
			"must be one word of at most 64 letters, digits or ._+~:/-, or #RE:^...$"},
		{head + "[hardware]\nrevisions = [\"#RE:1\"]\n", `r.toml:6:14: hardware.revisions[0] "#RE:1" ` + anchorRule},
		{head + "[hardware]\nrevisions = [\"#RE:^1$|^2$\"]\n", `r.toml:6:14: hardware.revisions[0] "#RE:^1$|^2$" ` + anchorRule},
		{head + "[hardware]\nrevisions = [\"#RE:^(1$\"]\n", `r.toml:6:14: hardware.revisions[0] "#RE:^(1$" ` +
			"must be a POSIX extended regular expression behind #RE:"},
		{head + "[hardware]\nrevisions = [\"#RE:^1 2$\"]\n", `r.toml:6:14: hardware.revisions[0] "#RE:^1 2$" ` +
			"must be at most 255 printable characters without quotes and blanks"},
		{head + "[hardware]\nswupdate_board = \"my board\"\n", `r.toml:6:1: hardware.swupdate_board "my board" ` +
			"must be a libconfig name: at most 64 letters, digits, _ or -, a letter first"},
		{head + "[hardware]\nswupdate_board = \"images\"\n",
			`r.toml:6:1: hardware.swupdate_board "images" must not be one of SWUpdate's own settings`},
		{head + "[running]\nfile = \"etc/os-release\"\n", `r.toml:6:1: running.file "etc/os-release" ` + pathRule},
		{head + "[running]\nkey = \"VERSION ID\"\n", `r.toml:6:1: running.key "VERSION ID" must be a variable's name, such as VERSION_ID`},
		{head + "[preconditions]\nbattery_percent = 101\n", "r.toml:6:1: preconditions.battery_percent = 101 is too large, the most is 100"},
		{head + "[preconditions]\nbattery_percent = -1\n", "r.toml:6:1: preconditions.battery_percent = -1 is too small, the least is 0"},
		{head + "[preconditions]\nservices = [\"a b\"]\n",
			`r.toml:6:13: preconditions.services[0] "a b" must be a systemd unit's name, such as docker.service`},
		{head + "[preconditions]\nservices = [\"-x\"]\n",
			`r.toml:6:13: preconditions.services[0] "-x" must be a systemd unit's name, such as docker.service`},
		{head + "[preconditions]\nservices = [\"a\", \"a\"]\n", "r.toml:6:1: preconditions.services must not name one thing twice"},
		{head + "[preconditions]\nfree_space = [{ path = \"/a\" }]\n", "r.toml:6:15: preconditions.free_space[0].bytes is missing or empty"},
		{head + "[preconditions]\nfree_space = [{ bytes = \"1\" }]\n", "r.toml:6:15: preconditions.free_space[0].path is missing or empty"},
		{head + "[preconditions]\nfree_space = [{ path = \"/a/\", bytes = \"1\" }]\n",
			`r.toml:6:17: preconditions.free_space[0].path "/a/" ` + pathRule},
		{head + "[preconditions]\nfree_space = [{ path = \"/$x\", bytes = \"1\" }]\n",
			`r.toml:6:17: preconditions.free_space[0].path "/$x" must not have quotes, $ and \`},
		{head + "[preconditions]\nfree_space = [{ path = \"/a\", bytes = \"1\" }, { path = \"/a\", bytes = \"2\" }]\n",
			"r.toml:6:1: preconditions.free_space must not name one thing twice"},

		{head + "[[component]]\nfile = \"f\"\n", "r.toml:5:3: component 2 (f): type is missing or empty"},
		{head + "[[component]]\ntype = \"kernel\"\n", "r.toml:5:3: component 2: file is missing or empty"},
		{head + "[[component]]\ntype = \"rotfs\"\nfile = \"f\"\n", `r.toml:6:1: component 2 (f): type "rotfs" must be one of rootfs, kernel, ` +
			`kernel-dtb, firmware, file, script; did you mean "rootfs"?`},
		{head + "[[component]]\ntype = \"rootfs\"\nfile = \"f\"\n",
			`r.toml:6:1: component 2 (f): type "rootfs" is the type of component 1 too: a release has one rootfs at most`},
		{kernel("compression = \"gzip\"\n"), `r.toml:8:1: component 2 (k): compression "gzip" must be one of none, zstd`},
		{kernel("name = \"a/b\"\n"), `r.toml:8:1: component 2 (k): name "a/b" ` + wordRule},
		{kernel("name = \"r.ext4\"\n"), `r.toml:8:1: component 2 (k): name "r.ext4" is the name of component 1 in the update too`},
		{kernel("name = \"sw-description\"\n"),
			`r.toml:8:1: component 2 (k): name "sw-description" is taken in an update by SWUpdate's description`},
		{kernel("name = \"sw-description.sig\"\n"),
			`r.toml:8:1: component 2 (k): name "sw-description.sig" is taken in an update by its signature`},
		{kernel("name = \"activate\"\n"),
			`r.toml:8:1: component 2 (k): name "activate" is taken in an update by the script that makes the other slot boot next`},
		{kernel("name = \"manifest.raucm\"\n"), `r.toml:8:1: component 2 (k): name "manifest.raucm" is taken in an update by RAUC's manifest`},
		{kernel("name = \"hook\"\n"), `r.toml:8:1: component 2 (k): name "hook" is taken in an update by RAUC's hook`},
		{head + "[[component]]\ntype = \"kernel\"\nfile = \"x/r.ext4\"\n",
			`r.toml:5:3: component 2 (x/r.ext4): name "r.ext4" is the name of component 1 in the update too`},
		{head + "[[component]]\ntype = \"kernel\"\nfile = \"a b\"\n",
			`r.toml:7:1: component 2 (a b): file "a b" gives the name "a b" in the update, which ` + wordRule + "; set name"},
		{kernel("partition = \"kernel_b\"\n"), `r.toml:8:1: component 2 (k): partition "kernel_b" names a slot: half of the devices run from it` +
			strings.Replace(oneSlot, "APP", "kernel", 1)},
		{head + "partition = \"APP_b\"\n",
			`r.toml:5:1: component 1 (r.ext4): partition "APP_b" names a slot: half of the devices run from it` + oneSlot},
		{head + "partition = \"A_kernel\"\n",
			`r.toml:5:1: component 1 (r.ext4): partition "A_kernel" names a slot: half of the devices run from it` + oneSlot},
		{head + "partition = \"/dev/nvme0n1p1\"\n",
			`r.toml:5:1: component 1 (r.ext4): partition "/dev/nvme0n1p1" is a fixed device: half of the devices run from it` + oneSlot},
		{head + "partition = \"kernel\"\n",
			`r.toml:5:1: component 1 (r.ext4): partition "kernel" must be "APP", the only one that a rootfs goes to`},
		{file("path = \"/data/f\"\npartition = \"APP\"\n"), `r.toml:9:1: component 2 (f): partition "APP" does nothing for type file`},
		{file(""), "r.toml:5:3: component 2 (f): path is missing: a file needs to know where it goes on the device"},
		{file("path = \"/" + strings.Repeat("é", 127) + "\"\n"),
			`r.toml:8:1: component 2 (f): path "/` + strings.Repeat("é", 99) + "... " + pathRule},
		{file("path = \"data\"\n"), `r.toml:8:1: component 2 (f): path "data" ` + pathRule},
		{file("path = \"/a/../b\"\n"), `r.toml:8:1: component 2 (f): path "/a/../b" ` + pathRule},
		{file("path = \"/a'b\"\n"), `r.toml:8:1: component 2 (f): path "/a'b" must not have quotes, $ and \`},
		{file("path = \"/a\\tb\"\n"), `r.toml:8:1: component 2 (f): path "/a\tb" must be UTF-8 without control characters`},
		{file("path = \"/\"\n"), `r.toml:8:1: component 2 (f): path "/" is a folder: name the file itself`},
		{file("path = \"/dev/mmcblk0p1\"\n"),
			`r.toml:8:1: component 2 (f): path "/dev/mmcblk0p1" is no place for a file; images have types of their own`},
		{file("path = \"/d/f\"\n[[component]]\ntype = \"file\"\nfile = \"g\"\npath = \"/d/f\"\n"),
			`r.toml:12:1: component 3 (g): path "/d/f" is the path of component 2 too`},
		{kernel("path = \"/x\"\n"), `r.toml:8:1: component 2 (k): path "/x" does nothing for type kernel, only for file`},
		{kernel("script = \"lua\"\n"), `r.toml:8:1: component 2 (k): script "lua" does nothing for type kernel, only for script`},
		{head + "[[component]]\ntype = \"script\"\nfile = \"s\"\nscript = \"bash\"\n",
			`r.toml:8:1: component 2 (s): script "bash" must be one of shellscript, lua, preinstall, postinstall`},
		{head + "[[component]]\ntype = \"script\"\nfile = \"s\"\nstream = true\n",
			"r.toml:8:1: component 2 (s): stream must not be true: SWUpdate runs a script from a copy"},
		{head + "[[component]]\ntype = \"script\"\nfile = \"s\"\ninstall_if_different = true\n",
			"r.toml:8:1: component 2 (s): install_if_different must not be true for a script: SWUpdate runs all scripts"},
		{file("path = \"/d/f\"\ninstall_if_different = true\n"),
			"r.toml:5:3: component 2 (f): component_version is missing: install_if_different compares it"},
		{file("path = \"/d/f\"\ncomponent_version = \"1\"\n"),
			`r.toml:9:1: component 2 (f): component_version "1" does nothing without install_if_different of a file`},
		{kernel("install_if_different = true\n"), "r.toml:8:1: component 2 (k): install_if_different must not be true for a kernel: " +
			"SWUpdate compares with the slot that runs, but the image is for the other one"},
		{head + "[[component]]\ntype = \"firmware\"\nfile = \"c\"\ninstall_if_different = true\ncomponent_version = \"1\"\n",
			`r.toml:9:1: component 2 (c): component_version "1" does nothing without install_if_different of a file`},
		// All at once, in the order of the file.
		{"version = \"a b\"\n" + component + "partition = \"x\"\n[running]\nkey = \"1\"\n", `r.toml:1:1: version "a b" ` + wordRule +
			`; r.toml:5:1: component 1 (r.ext4): partition "x" must be "APP", the only one that a rootfs goes to` +
			`; r.toml:7:1: running.key "1" must be a variable's name, such as VERSION_ID`},
	} {
		_, err := release.Parse("r.toml", []byte(tt.text))
		if err == nil || fail.CodeOf(err) != fail.Data || err.Error() != "cannot use release "+tt.want {
			t.Errorf("%s\n got %v\nwant cannot use release %s", tt.text, err, tt.want)
		}
	}
}

func TestRulesAccept(t *testing.T) {
	for _, text := range []string{
		"version = \"2024.03.15-r1+b~2_x\"\nname = \"fleet_A.1\"\nminimum_version = \"2024.01.01\"\n" + component,
		head + "[hardware]\nboards = [\"p3701-0000\"," +
			"\"p3767-0005/jetson-orin-nano-devkit\", \"3701-500-0000-M.0-1-1-jetson-agx-orin-devkit-\"]\n",
		head + "[hardware]\nboards = [\"3767--0005--1--jetson-orin-nano-devkit-\"]\ncompatible = \"FooCorp Super BarBazzer\"\n",
		head + "[hardware]\ncompatible = \"nvidia,p3768-0000+p3767-0005\"\nrevisions = [\"1.0\", \"rev-B\"]\nswupdate_board = \"a-b_C1\"\n",
		head + "[hardware]\nrevisions = ['#RE:^1\\.[0-9]+$', '#RE:^(1|2)\\.0$', '#RE:^[[:digit:]]{1,2}$', '#RE:^.*$', '#RE:^a[|$]b$']\n",
		head + "[preconditions]\nservices = [\"getty@tty1.service\", \"a:b_c-d.mount\"]\nbattery_percent = 0\n",
		"description = \"" + strings.Repeat("é", 250) + "\"\n" + head,
		file("path = \"/x" + strings.Repeat("é", 126) + "\"\n"),
		file("path = \"/data/a b/é,%\"\nstream = true\nencrypt = true\ncompression = \"zstd\"\n"),
		head + "[[component]]\ntype = \"firmware\"\nfile = \"../out/TEGRA_BL.Cap\"\ninstall_if_different = true\nencrypt = true\n",
		head + "[[component]]\ntype = \"script\"\nfile = \"a.lua\"\nscript = \"lua\"\n[[component]]\ntype = \"script\"\nfile = \"b.lua\"\n",
		"version = \"1\"\n[[component]]\ntype = \"rootfs\"\nfile = \"/abs/with blank\"\nname = \"r\"\ninstall_if_different = false\n",
	} {
		if _, err := release.Parse("r.toml", []byte(text)); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

// SWUpdate searches with regexec; these would take more than they say, or say nothing that regcomp takes.
func TestRevisionsRefused(t *testing.T) {
	for _, re := range []string{
		"", "^", "$", "1$", "^1", "^1|2$", "^1$|^2$", "^(1$", "(^1$)|2", `^1\$`, "^1[$]", "[^]1$", "^1$*x", "(^1)$", "^*", "^|$", "^|1|$",
		"^1$ ", "^\t$", "^é$", `^"$`,
	} {
		text := head + "[hardware]\nrevisions = ['#RE:" + re + "']\n"
		if _, err := release.Parse("r.toml", []byte(text)); fail.CodeOf(err) != fail.Data {
			t.Errorf("%s: %v", re, err)
		}
	}
}

// grep has the regular expressions of regcomp, SWUpdate's: what is accepted takes whole revisions only.
func TestRevisionsAreAnchored(t *testing.T) {
	for _, tt := range []struct{ re, takes, not string }{
		{`^1\.[0-9]+$`, "1.0 1.12", "11.0 1.0b 1x0"}, {`^(1|2)\.0$`, "1.0 2.0", "12.0 1.00 x2.0"},
		{`^[[:digit:]]{1,2}$`, "1 12", "123 1a"}, {"^a[|$]b$", "a|b a$b", "ab xa|b a|bx"}, {"^(1$|2$)$", "1 2", "12 13"},
	} {
		if _, err := release.Parse("r.toml", []byte(head+"[hardware]\nrevisions = ['#RE:"+tt.re+"']\n")); err != nil {
			t.Error(err)
		}
		for list, want := range map[string]bool{tt.takes: true, tt.not: false} {
			for _, revision := range strings.Fields(list) {
				grep := exec.Command("grep", "-Eq", "-e", tt.re)
				grep.Stdin = strings.NewReader(revision)
				if err := grep.Run(); grep.ProcessState == nil || grep.ProcessState.ExitCode() > 1 || (err == nil) != want {
					t.Errorf("%s takes %s: %v, want %v", tt.re, revision, err == nil, want)
				}
			}
		}
	}
}
