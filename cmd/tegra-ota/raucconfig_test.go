package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// keyFile reads a GKeyFile as "section.key" and value.
func keyFile(t *testing.T, text string) map[string]string {
	t.Helper()
	keys, section := map[string]string{}, ""
	for _, line := range strings.Split(text, "\n") {
		key, value, isKey := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
		case isKey && section != "":
			keys[section+"."+key] = value
		default:
			t.Errorf("%q is neither comment, section nor key", line)
		}
	}
	return keys
}

// rauc-config prints for a stock device what the example says, key by key.
func TestRAUCConfigIsTheExample(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("../../examples/rauc/system.conf")
	if err != nil {
		t.Fatal(err)
	}
	printed := mustSucceed(t, nil, "tegra-bootctl", "--root", device(t), "rauc-config")
	if diff := cmp.Diff(keyFile(t, string(example)), keyFile(t, printed)); diff != "" {
		t.Errorf("examples/rauc/system.conf (-) and rauc-config (+) differ:\n%s", diff)
	}
}

// RAUC reads what is printed for each module, and would refuse what it does not know.
func TestRAUCReadsRAUCConfig(t *testing.T) {
	t.Parallel()
	for _, module := range []string{"p3767-0005", "p3701-0000"} {
		dir := device(t, "--module", module)
		text := mustSucceed(t, nil, "tegra-bootctl", "--root", dir, "rauc-config")
		for _, tt := range []struct{ name, text, says string }{
			{"as printed", text, "Connection to the system bus can't be made"},
			{"with another key", strings.Replace(text, "[keyring]", "nonsense=1\n[keyring]", 1), "Invalid key 'nonsense' in group '[system]'"},
		} {
			file := filepath.Join(t.TempDir(), "system.conf")
			// As README and examples have it, a folder stands in for the device.
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(tt.text, "=/", "="+dir+"/")), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("rauc", "--conf="+file, "service")
			cmd.Env = environment("DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + file + ".none")
			// There is no bus: the service ends as soon as it has read the file.
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), tt.says) {
				t.Errorf("%s, %s: rauc service says %v: %s", module, tt.name, err, out)
			}
		}
	}
}
