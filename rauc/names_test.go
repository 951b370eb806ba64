package rauc_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/config"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/rauc"
)

// aliases are the names that tegra-bootctl has for a slot, in small letters.
var aliases = map[backends.Slot][]string{
	backends.A: {"a", "0", "_a", "app", "app_a", "a_app"},
	backends.B: {"b", "1", "_b", "app_b", "b_app"},
}

// defaultNames are those of a device without a configuration.
func defaultNames(t *testing.T) rauc.Names {
	t.Helper()
	n, err := rauc.NewNames(config.Default().RAUC)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNames(t *testing.T) {
	type want struct {
		a, b    string   // bootnames, which RAUC compares exactly
		meansA  []string // besides tegra-bootctl's names
		meansB  []string
		unknown []string
	}
	for _, tt := range []struct {
		name  string
		names config.RAUC
		want  want
	}{
		{"default", config.Default().RAUC, want{
			a: "A", b: "B", meansA: []string{"rootfs.0"}, meansB: []string{"rootfs.1"},
			unknown: []string{"", "C", "2", "rootfs", "rootfs.2", "Rootfs.0", "bootloader.1", " A", "A ", "A\n", "A B",
				"/dev/nvme0n1p1", "APP_c", "-", "--help"},
		}},
		{"configured", config.RAUC{Bootnames: []string{"system0", "system1"}, Slots: []string{"os.0", "os.1"}}, want{
			a: "system0", b: "system1", meansA: []string{"system0", "os.0"}, meansB: []string{"system1", "os.1"},
			unknown: []string{"System0", "rootfs.0", "rootfs.1", "system", "system2", ""},
		}},
		{"small letters", config.RAUC{Bootnames: []string{"a", "b"}, Slots: []string{"rootfs.0", "rootfs.1"}}, want{a: "a", b: "b"}},
		{"as the firmware counts", config.RAUC{Bootnames: []string{"0", "1"}, Slots: []string{"rootfs.0", "rootfs.1"}}, want{a: "0", b: "1"}},
		{"as the labels", config.RAUC{Bootnames: []string{"APP", "APP_b"}, Slots: []string{"APP", "APP_b"}}, want{a: "APP", b: "APP_b"}},
		{"as boot.slot_suffix", config.RAUC{Bootnames: []string{"_a", "_b"}, Slots: []string{"rootfs.0", "rootfs.1"}}, want{a: "_a", b: "_b"}},
		// Legal in RAUC, and then get-primary may print what looks like a slot's name.
		{"as the slots", config.RAUC{Bootnames: []string{"rootfs.0", "rootfs.1"}, Slots: []string{"rootfs.0", "rootfs.1"}},
			want{a: "rootfs.0", b: "rootfs.1"}},
		{"slots counted the other way", config.RAUC{Bootnames: []string{"A", "B"}, Slots: []string{"rootfs.1", "rootfs.0"}}, want{
			a: "A", b: "B", meansA: []string{"rootfs.1"}, meansB: []string{"rootfs.0"},
		}},
	} {
		n, err := rauc.NewNames(tt.names)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		a, b, none := n.Bootname(backends.A), n.Bootname(backends.B), n.Bootname(backends.None)
		if a != tt.want.a || b != tt.want.b || none != "" {
			t.Errorf("%s: the bootnames are %q and %q, of no slot %q; want %q, %q and nothing", tt.name, a, b, none, tt.want.a, tt.want.b)
		}
		for slot, list := range map[backends.Slot][]string{
			backends.A: append(append([]string{tt.want.a}, tt.want.meansA...), "A", "a", "0", "_a", "APP", "app", "APP_a", "A_APP"),
			backends.B: append(append([]string{tt.want.b}, tt.want.meansB...), "B", "b", "1", "_b", "APP_b", "app_b", "B_APP"),
		} {
			for _, name := range list {
				if got, err := n.Slot(name); got != slot || err != nil {
					t.Errorf("%s: %q is slot %q, %v; want %s", tt.name, name, got, err, slot)
				}
			}
		}
		for _, name := range tt.want.unknown {
			got, err := n.Slot(name)
			if got != backends.None || fail.CodeOf(err) != fail.Usage || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %q is slot %q, %v; want a usage error of one line", tt.name, name, got, err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.want.a+" and "+tt.want.b) {
				t.Errorf("%s: %q: %v; it does not name the bootnames", tt.name, name, err)
			}
		}
	}
}

// A configuration in which a name means both slots would let an install write the running one.
func TestAmbiguousNames(t *testing.T) {
	slots := []string{"rootfs.0", "rootfs.1"}
	for _, tt := range []struct {
		name  string
		names config.RAUC
	}{
		{"swapped letters", config.RAUC{Bootnames: []string{"B", "A"}, Slots: slots}},
		{"swapped numbers", config.RAUC{Bootnames: []string{"1", "0"}, Slots: slots}},
		{"swapped labels", config.RAUC{Bootnames: []string{"APP_b", "APP"}, Slots: slots}},
		{"swapped suffixes among the slots", config.RAUC{Bootnames: []string{"A", "B"}, Slots: []string{"_b", "_a"}}},
		{"A is called b, in small letters", config.RAUC{Bootnames: []string{"b", "x"}, Slots: slots}},
		{"B is called APP", config.RAUC{Bootnames: []string{"x", "APP"}, Slots: slots}},
		{"one bootname", config.RAUC{Bootnames: []string{"x", "x"}, Slots: slots}},
		{"one slot", config.RAUC{Bootnames: []string{"x", "y"}, Slots: []string{"r", "r"}}},
		{"A's bootname is B's slot", config.RAUC{Bootnames: []string{"rootfs.1", "y"}, Slots: slots}},
		{"B's bootname is A's slot", config.RAUC{Bootnames: []string{"x", "rootfs.0"}, Slots: slots}},
		{"A's slot is called B", config.RAUC{Bootnames: []string{"x", "y"}, Slots: []string{"B", "r"}}},
	} {
		_, err := rauc.NewNames(tt.names)
		if fail.CodeOf(err) != fail.Usage || fail.NextOf(err) == "" || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want a usage error of one line with a next step", tt.name, err)
		}
	}
}

// meanings are the slots that a name stands for, by the rule in the documentation and not by the code under test.
func meanings(names config.RAUC, name string) []backends.Slot {
	var found []backends.Slot
	for _, s := range backends.Slots {
		means := name == names.Bootnames[s.Index()] || name == names.Slots[s.Index()]
		for _, alias := range aliases[s] {
			means = means || strings.ToLower(name) == alias
		}
		if means {
			found = append(found, s)
		}
	}
	return found
}

// For every configuration: either some name means two slots, and it is refused; or each bootname leads back to its slot, and
// every name there is means one slot or none.
func TestNamesAreUnambiguous(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known := []string{"A", "B", "a", "b", "0", "1", "_a", "_b", "APP", "App_B", "app_a", "b_app",
			"rootfs.0", "rootfs.1", "x", "y", "system0", "é"}
		name := rapid.OneOf(rapid.SampledFrom(known), rapid.StringN(1, 4, -1))
		pair := rapid.SliceOfN(name, 2, 2)
		names := config.RAUC{Bootnames: pair.Draw(t, "bootnames"), Slots: pair.Draw(t, "slots")}
		ambiguous := false
		for _, each := range append(append([]string{}, names.Bootnames...), names.Slots...) {
			ambiguous = ambiguous || len(meanings(names, each)) > 1
		}
		n, err := rauc.NewNames(names)
		if (err != nil) != ambiguous || err != nil && fail.CodeOf(err) != fail.Usage {
			t.Fatalf("%q: ambiguous %t, and the answer is %v", names, ambiguous, err)
		}
		if err != nil {
			return
		}
		for _, s := range backends.Slots {
			if got, err := n.Slot(n.Bootname(s)); got != s || err != nil {
				t.Fatalf("%q: slot %s is called %q, which is slot %q, %v", names, s, n.Bootname(s), got, err)
			}
		}
		word := rapid.OneOf(name, rapid.String()).Draw(t, "word")
		got, err := n.Slot(word)
		switch want := meanings(names, word); {
		case len(want) > 1:
			t.Fatalf("%q: %q means both slots, and the configuration was taken", names, word)
		case len(want) == 1 && (got != want[0] || err != nil):
			t.Fatalf("%q: %q is slot %q, %v; want %s", names, word, got, err, want[0])
		case len(want) == 0 && (got != backends.None || fail.CodeOf(err) != fail.Usage):
			t.Fatalf("%q: %q is slot %q, %v; want a usage error", names, word, got, err)
		}
	})
}
