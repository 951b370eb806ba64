package rauc_test

import (
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// observer stands where RAUC expects the boot handler. It writes down what it is asked, does to the call what the case wants,
// and becomes the real one.
const observer = `real=$TEGRA_OTA_ROOT/usr/libexec/tegra-ota/real/tegra-boot-handler
beside=${TEGRA_OTA_ROOT%/*}
echo "$*" >>"$beside/calls"
if [ -e "$beside/at-$1" ]; then . "$beside/at-$1"; fi
exec "$real" "$@"`

// observed puts the observer in front of the boot handler.
func (o *orin) observed(t *testing.T) {
	t.Helper()
	name := o.path(libexec, "tegra-boot-handler")
	to, err := os.Readlink(name)
	if err != nil || to != "tegra-ota" {
		t.Fatalf("make install makes %s a link to %q, %v; want the relative tegra-ota", name, to, err)
	}
	if err := os.Mkdir(o.path(libexec, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../tegra-ota", o.path(libexec, "real/tegra-boot-handler")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	program(t, name, observer)
}

// unobserved puts the boot handler back in its place.
func (o *orin) unobserved(t *testing.T) {
	t.Helper()
	name := o.path(libexec, "tegra-boot-handler")
	if err := errors.Join(os.Remove(name), os.Symlink("tegra-ota", name)); err != nil {
		t.Fatal(err)
	}
}

// at runs a line of shell whenever RAUC calls a verb, before the real handler; "$real" "$@" is the real call.
func (o *orin) at(t *testing.T, verb, script string) {
	t.Helper()
	write(t, filepath.Join(o.tmp, "at-"+verb), []byte(script+"\n"))
}

// undisturbed ends what at began.
func (o *orin) undisturbed(t *testing.T, verb string) {
	t.Helper()
	if err := os.Remove(filepath.Join(o.tmp, "at-"+verb)); err != nil {
		t.Fatal(err)
	}
}

// traced returns the calls of the boot handler that something causes. RAUC asks the states in the order of a hash table: those
// in a row are sorted.
func (o *orin) traced(t *testing.T, cause func()) []string {
	t.Helper()
	calls := filepath.Join(o.tmp, "calls")
	_ = os.Remove(calls)
	cause()
	b, err := os.ReadFile(calls)
	if err != nil {
		return nil
	}
	list := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := 0; i < len(list); {
		end := i
		for end < len(list) && strings.HasPrefix(list[end], "get-state ") {
			end++
		}
		sort.Strings(list[i:end])
		i = max(end, i+1)
	}
	return list
}
