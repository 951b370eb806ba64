package dbusapi_test

import (
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	busName = "io.github.tegra_ota.SlotManager"
	unit    = "tegra-slotd.service"
	// Exposure by systemd-analyze's count, in tenths: 0 is none, 100 all. One that restricts nothing has 96.
	threshold = "18"
)

// Where make install puts things below PREFIX.
const (
	unitFile       = "lib/systemd/system/" + unit
	policyFile     = "share/dbus-1/system.d/" + busName + ".conf"
	activationFile = "share/dbus-1/system-services/" + busName + ".service"
	interfaceFile  = "share/dbus-1/interfaces/" + busName + ".xml"
	sysusersFile   = "lib/sysusers.d/tegra-ota.conf"
	actionsFile    = "share/polkit-1/actions/io.github.tegra-ota.policy"
	polkitExample  = "share/doc/tegra-ota/examples/dbus/polkit.conf"
	oldL4TExample  = "share/doc/tegra-ota/examples/dbus/" + unit + ".d/nvbootctrl.conf"
)

// makeInstall runs make install on a copy of what it installs, with a stand-in for the executable: nothing is built, and packages that
// are tested at the same time do not get in each other's way. It returns DESTDIR.
func makeInstall(t *testing.T, prefix string) string {
	t.Helper()
	tree, dest := t.TempDir(), t.TempDir()
	for _, name := range []string{"Makefile", ".ci", "init", "examples", "dbusapi", "handlers/swupdate"} {
		into := filepath.Join(tree, filepath.Dir(name))
		if err := os.MkdirAll(into, 0o755); err != nil {
			t.Fatal(err)
		}
		outputOf(t, exec.Command("cp", "-r", filepath.Join("..", name), into))
	}
	putText(t, filepath.Join(tree, "build/tegra-ota"), "#!/bin/sh\n")
	outputOf(t, exec.Command("make", "--no-print-directory", "-C", tree, "install", "DESTDIR="+dest, "PREFIX="+prefix, "GO=none", "GOBUILD=:"))
	return dest
}

// TestMakeInstallBus: every file is where D-Bus, systemd and polkit look for it, and names the executable where it is.
func TestMakeInstallBus(t *testing.T) {
	dest := makeInstall(t, "/opt/ota")
	for _, file := range []string{unitFile, policyFile, activationFile, interfaceFile, "share/dbus-1/interfaces/io.github.tegra_ota.Slot.xml",
		sysusersFile, actionsFile, polkitExample, oldL4TExample} {
		path := filepath.Join(dest, "opt/ota", file)
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Mode().Perm(); got != 0o644 {
			t.Errorf("%s has mode %o, want 644", file, got)
		}
		if strings.Contains(textOf(t, path), "/usr/libexec") {
			t.Errorf("%s names /usr/libexec, though PREFIX is /opt/ota", file)
		}
	}
	for file, source := range map[string]string{policyFile: shippedPolicy, polkitExample: shippedExample} {
		if d := cmp.Diff(textOf(t, source), textOf(t, filepath.Join(dest, "opt/ota", file))); d != "" {
			t.Errorf("%s (-source +installed):\n%s", file, d)
		}
	}
	if to, err := os.Readlink(filepath.Join(dest, "opt/ota/libexec/tegra-ota/tegra-slotd")); err != nil || to != "tegra-ota" {
		t.Errorf("tegra-slotd leads to %q, %v; want the relative tegra-ota", to, err)
	}
}

// TestUnit lets systemd judge the unit, as it is and with the drop-in for old releases.
func TestUnit(t *testing.T) {
	prefix := filepath.Join(makeInstall(t, "/usr"), "usr")
	path := filepath.Join(prefix, unitFile)
	// systemd-analyze looks for the program on this machine.
	putText(t, path, strings.Replace(textOf(t, path), "ExecStart=/usr/", "ExecStart="+prefix+"/", 1))
	verify := func() {
		t.Helper()
		c := exec.Command("systemd-analyze", "verify", "--man=no", path)
		c.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+filepath.Dir(path)+":")
		if said := outputOf(t, c); said != "" {
			t.Errorf("systemd-analyze verify: %s", said)
		}
	}
	verify()
	said := outputOf(t, exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold="+threshold, path))
	t.Log(lastLine(said))
	putText(t, path+".d/nvbootctrl.conf", textOf(t, filepath.Join(prefix, oldL4TExample)))
	verify()
}

// TestNamesAgree: XML, unit, activation, policies, README and polkit's actions speak of the same things.
func TestNamesAgree(t *testing.T) {
	prefix := filepath.Join(makeInstall(t, "/usr"), "usr")
	service, activation := settings(t, filepath.Join(prefix, unitFile)), settings(t, filepath.Join(prefix, activationFile))
	program := strings.Fields(service["ExecStart"] + " ")[0]
	want := map[string]string{"Name": busName, "SystemdService": unit, "User": "root", "Exec": program}
	if d := cmp.Diff(want, activation); d != "" {
		t.Errorf("the activation file (-want +got):\n%s", d)
	}
	if service["Type"] != "dbus" || service["BusName"] != busName || service["ExecStart"] != program+" --log-format journal" {
		t.Errorf("the unit says Type=%s BusName=%s ExecStart=%s", service["Type"], service["BusName"], service["ExecStart"])
	}
	if program != "/usr/libexec/tegra-ota/tegra-slotd" {
		t.Errorf("the unit starts %s", program)
	}
	if got := interfaces(t)[busName]; len(got) == 0 {
		t.Errorf("the XML has no interface %s with methods", busName)
	}
	for _, file := range []string{policyFile, polkitExample} {
		for _, r := range rules(t, filepath.Join(prefix, file)) {
			if r.Own != busName && r.SendDestination != busName {
				t.Errorf("%s: a rule is about %q: %+v", file, r.Own+r.SendDestination, r)
			}
		}
	}
	if readme := textOf(t, "../README.md"); !strings.Contains(readme, busName) || !strings.Contains(readme, unit) {
		t.Errorf("README.md names not both %s and %s", busName, unit)
	}

	var ids []string
	for _, m := range regexp.MustCompile(`\baction\w+ += "([^"]+)"`).FindAllStringSubmatch(textOf(t, "polkit.go"), -1) {
		ids = append(ids, m[1])
	}
	if d := cmp.Diff(ids, actions(t, filepath.Join(prefix, actionsFile))); d != "" || len(ids) == 0 {
		t.Errorf("polkit's actions (-code +file):\n%s", d)
	}
}

// actions returns the ids in a file of polkit's. None may be had without a password, and each says what it is for.
func actions(t *testing.T, path string) (ids []string) {
	t.Helper()
	var file struct {
		Action []struct {
			ID          string `xml:"id,attr"`
			Description string `xml:"description"`
			Message     string `xml:"message"`
			Defaults    struct {
				Any      string `xml:"allow_any"`
				Inactive string `xml:"allow_inactive"`
				Active   string `xml:"allow_active"`
			} `xml:"defaults"`
		} `xml:"action"`
	}
	if err := xml.Unmarshal([]byte(textOf(t, path)), &file); err != nil {
		t.Fatal(err)
	}
	for _, a := range file.Action {
		ids = append(ids, a.ID)
		if a.Description == "" || a.Message == "" {
			t.Errorf("polkit's action %s lacks description or message", a.ID)
		}
		for _, answer := range []string{a.Defaults.Any, a.Defaults.Inactive, a.Defaults.Active} {
			if answer != "auth_admin" && answer != "auth_admin_keep" {
				t.Errorf("polkit's action %s is answered with %q", a.ID, answer)
			}
		}
	}
	return ids
}

// TestSysusers: systemd-sysusers makes the group that the policy names, and the second run changes nothing.
func TestSysusers(t *testing.T) {
	dest := makeInstall(t, "/usr")
	var first string
	for range 2 {
		outputOf(t, exec.Command("systemd-sysusers", "--root="+dest, "tegra-ota.conf"))
		group := textOf(t, filepath.Join(dest, "etc/group"))
		if !regexp.MustCompile(`(?m)^tegra-ota:x:\d+:$`).MatchString(group) || first != "" && group != first {
			t.Errorf("systemd-sysusers leaves as groups:\n%s", group)
		}
		first = group
	}
	if _, err := os.Stat(filepath.Join(dest, "etc/passwd")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("systemd-sysusers made a user: %v", err)
	}
	named := slices.ContainsFunc(policies(t, filepath.Join(dest, "usr", policyFile)), func(p policy) bool { return p.Group == "tegra-ota" })
	if !named {
		t.Error("the policy does not name the group")
	}
}

// TestWellFormed reads every XML file that is shipped to its end.
func TestWellFormed(t *testing.T) {
	dest := makeInstall(t, "/usr")
	count := 0
	err := filepath.WalkDir(dest, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !slices.Contains([]string{".xml", ".policy", ".conf"}, filepath.Ext(path)) {
			return err
		}
		text := textOf(t, path)
		if !strings.HasPrefix(text, "<") {
			return nil // tmpfiles.d, sysusers.d, drop-ins
		}
		count++
		d := xml.NewDecoder(strings.NewReader(text))
		for err == nil {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", path, err)
		}
		return nil
	})
	if err != nil || count != 5 { // two interfaces, two policies, polkit's actions
		t.Errorf("%d XML files, want 5; %v", count, err)
	}
}
