package nvbootctrl_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/nvbootctrl"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Outputs as public threads show them: meta-tegra 367, forum 346422, tier4/ota-client test data, forum 340715.
const (
	r32Old = "magic:0x43424e00,             version: 3             features: 3             num_slots: 2\n" +
		"slot: 0,             priority: 15,             suffix: _a,             retry_count: 7,             boot_successful: 1\n" +
		"slot: 1,             priority: 14,             suffix: _b,             retry_count: 7,             boot_successful: 1\n"
	r32New   = "Current bootloader slot: A\nActive bootloader slot: A\n" + r32Old
	r35Early = "Current version: 35.2.1\nCurrent bootloader slot: A\nActive bootloader slot: A\nnum_slots: 2\n" +
		"slot: 0,             status: normal\nslot: 1,             status: normal\n"
	r36 = "Current version: 36.4.0\nCapsule update status: 1\nCurrent bootloader slot: B\nActive bootloader slot: A\nnum_slots: 2\n" +
		"slot: 0,             status: normal\nslot: 1,             status: unbootable\n"
	r36Rootfs = "Current rootfs slot: B\nActive rootfs slot: B\nnum_slots: 2\n" +
		"slot: 0,             retry_count: 0,             status: unbootable\nslot: 1,             retry_count: 3,             status: normal\n"
)

var (
	r32Slots = [2]nvbootctrl.SlotDump{
		{Priority: ptr(15), Retry: ptr(7), Successful: ptr(true), Suffix: "_a"}, {Priority: ptr(14), Retry: ptr(7), Successful: ptr(true), Suffix: "_b"},
	}
	normal, unbootable = ptr("normal"), ptr("unbootable")
)

func TestParse(t *testing.T) {
	magic := ptr(uint32(0x43424e00))
	for _, tt := range []struct {
		name, text string
		want       nvbootctrl.Dump
	}{
		{"R32.3", r32Old, nvbootctrl.Dump{Magic: magic, Features: ptr(3), Slots: r32Slots}},
		{"later R32", r32New, nvbootctrl.Dump{Magic: magic, Features: ptr(3), Current: backends.A, Active: backends.A, Slots: r32Slots}},
		{"early R35", r35Early, nvbootctrl.Dump{Version: "35.2.1", Current: backends.A, Active: backends.A, Slots: [2]nvbootctrl.SlotDump{{Status: normal}, {Status: normal}}}},
		{"R36", r36, nvbootctrl.Dump{Version: "36.4.0", CapsuleStatus: ptr(1), Current: backends.B, Active: backends.A,
			Slots: [2]nvbootctrl.SlotDump{{Status: normal}, {Status: unbootable}}}},
		{"R36 rootfs", r36Rootfs, nvbootctrl.Dump{Current: backends.B, Active: backends.B,
			Slots: [2]nvbootctrl.SlotDump{{Retry: ptr(0), Status: unbootable}, {Retry: ptr(3), Status: normal}}}},
		{"slots as digits, other blanks, unknown keys, other lines", "Info: variable BootChainFwStatus is not found.\r\n current  ROOTFS slot :0\n" +
			"Active rootfs slot:1\nError: can not open /dev/mem\nmood: fine\nslot:B,status:Normal\n  slot: A , color: red, status: unbootable",
			nvbootctrl.Dump{Current: backends.A, Active: backends.B, Slots: [2]nvbootctrl.SlotDump{{Status: unbootable}, {Status: normal}}}},
	} {
		got, err := nvbootctrl.Parse(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

// What is not whole is no answer: a program that died half-way must not look like one that said something else.
func TestParseSaysWhatIsMissing(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "slot A is missing"},
		{"no slots", "Current version: 36.4.0\nCurrent bootloader slot: A\nActive bootloader slot: A\nnum_slots: 2\nError: memory map failed\n", "slot A is missing"},
		{"one slot", r36[:strings.Index(r36, "slot: 1")], "slot B is missing"},
		{"half a record", strings.TrimSuffix(r32Old, ",             boot_successful: 1\n"), "boot_successful of slot B"},
		{"half a rootfs record", strings.TrimSuffix(r36Rootfs, ",             status: normal\n"), "status of slot B"},
		{"a status that is none", strings.TrimSuffix(r36, "bootable\n"), `status is "un"`},
		{"no current slot", strings.Replace(r36, "Current bootloader", "Former", 1), "current or of the active"},
		{"no active slot", strings.Replace(r32New, "Active bootloader", "Former", 1), "current or of the active"},
		{"a slot twice", strings.Replace(r36, "slot: 1", "slot: 0", 1), "slot A is listed twice"},
		{"a third slot", r36 + "slot: 2, status: normal\n", `slot is "2"`},
		{"redundancy off", "magic:0x43424e00,     version: 3     features: 0     num_slots: 1\nslot: 0,   priority: 15, suffix: , retry_count: 7, boot_successful: 1\n", "redundancy is off"},
		{"no number", strings.Replace(r32Old, "retry_count: 7", "retry_count: x", 1), `retry_count is "x"`},
		{"no magic", strings.Replace(r32Old, "0x43424e00", "zero", 1), `magic is "zero"`},
	} {
		_, err := nvbootctrl.Parse(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) || fail.CodeOf(err) != fail.Unavailable {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// No beginning of an output is taken for the whole, unless only the line's end is missing.
func TestParseRefusesEveryTornOutput(t *testing.T) {
	for name, text := range map[string]string{"R32": r32New, "R36": r36, "R36 rootfs": r36Rootfs} {
		whole, err := nvbootctrl.Parse(text)
		must(t, err)
		for n := range len(text) - 1 {
			if got, err := nvbootctrl.Parse(text[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes are taken: %s", name, n, len(text), cmp.Diff(whole, got))
			}
		}
	}
}

func TestParseDoesNotDependOnBlanks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blank := func() string {
			return rapid.SampledFrom([]string{"", " ", "   ", "\t", "             "}).Draw(t, "blank")
		}
		newline := func() string {
			return rapid.SampledFrom([]string{"\n", "\r\n", "\n\n", "\nInfo: x: y, slot: 7\n"}).Draw(t, "newline")
		}
		var want nvbootctrl.Dump
		var out strings.Builder
		field := func(key string, value any) {
			fmt.Fprintf(&out, "%s%s%s:%s%v%s", blank(), key, blank(), blank(), value, blank())
		}
		record := func(fields ...any) {
			for i := 0; i < len(fields); i += 2 {
				if i > 0 {
					out.WriteString(",")
				}
				field(fields[i].(string), fields[i+1])
			}
			out.WriteString(newline())
		}
		view := rapid.SampledFrom([]string{"bootloader", "rootfs"}).Draw(t, "view")
		if smd := rapid.Bool().Draw(t, "smd"); smd {
			want.Magic = ptr(rapid.Uint32().Draw(t, "magic"))
			record("magic", fmt.Sprintf("%#x", *want.Magic))
			want.Current, want.Active = slotLines(t, view, rapid.Bool().Draw(t, "lines"), record)
			for i := range want.Slots {
				s := nvbootctrl.SlotDump{Priority: ptr(rapid.IntRange(0, 15).Draw(t, "priority")), Retry: ptr(rapid.IntRange(0, 7).Draw(t, "retry")),
					Successful: ptr(rapid.Bool().Draw(t, "successful")), Suffix: rapid.SampledFrom([]string{"", "_a", "_b"}).Draw(t, "suffix")}
				want.Slots[i] = s
				record("slot", i, "priority", *s.Priority, "suffix", s.Suffix, "retry_count", *s.Retry, "boot_successful", map[bool]int{true: 1}[*s.Successful])
			}
		} else {
			want.Current, want.Active = slotLines(t, view, true, record)
			for i := range want.Slots {
				want.Slots[i] = nvbootctrl.SlotDump{Status: rapid.SampledFrom([]*string{normal, unbootable}).Draw(t, "status")}
				record("slot", i, "unknown", "x", "status", *want.Slots[i].Status)
			}
		}
		got, err := nvbootctrl.Parse(out.String())
		if err != nil {
			t.Fatalf("%v in %q", err, out.String())
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

func slotLines(t *rapid.T, view string, print bool, record func(...any)) (current, active backends.Slot) {
	if !print {
		return backends.None, backends.None
	}
	names := []string{"A", "B", "0", "1"}
	c, a := rapid.SampledFrom(names).Draw(t, "current"), rapid.SampledFrom(names).Draw(t, "active")
	record("Current "+view+" slot", c)
	record("Active "+view+" slot", a)
	current, _ = backends.ParseSlot(c)
	active, _ = backends.ParseSlot(a)
	return current, active
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{r32Old, r32New, r35Early, r36, r36Rootfs, "slot:1,status:normal", "magic:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := nvbootctrl.Parse(text)
		if err != nil {
			return
		}
		for i, s := range d.Slots {
			if d.Magic != nil && (s.Priority == nil || s.Retry == nil || s.Successful == nil) || d.Magic == nil && s.Status == nil && s.Retry == nil {
				t.Errorf("slot %d is not whole: %+v", i, s)
			}
		}
		if d.Magic == nil && (d.Current == backends.None || d.Active == backends.None) {
			t.Errorf("no slot runs: %+v", d)
		}
	})
}
