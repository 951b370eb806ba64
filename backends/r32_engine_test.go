package backends_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Before nv_update_engine writes its first byte the journal calls the target dirty, and MB1 would pass it over.
func TestR32TargetIsDirtyAndUnbootableBeforeTheEngineRuns(t *testing.T) {
	for _, module := range r32Modules {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t, r32Of(module))
			ran := 0
			d.watch = func(call string) {
				if !strings.HasPrefix(call, "nv_update_engine -i") {
					return
				}
				ran++
				if d.mark(backends.B) != "dirty" || !d.isUnbootable(backends.B) || d.slot(backends.A) != r32Running {
					t.Errorf("as the engine starts: B is %q in the journal, %s in the metadata; A is %s", d.mark(backends.B), d.slot(backends.B), d.slot(backends.A))
				}
			}
			d.must(t, r32Stage("u"))
			if ran != 1 {
				t.Errorf("the engine was run %d times", ran)
			}
			if c, err := d.Chain(virtual.B); err != nil || !c.Whole || c.VersionText != r32NewL4T {
				t.Errorf("chain B: %+v, %v", c, err)
			}
		})
	}
}

// The slot is not selected before nv_update_engine has finished and its result was checked: what it left in the slots is read
// before anything else, install selects nothing but the running slot, and activate is the first to select the target.
func TestR32SlotIsSelectedAfterTheEngineHasFinishedAndWasChecked(t *testing.T) {
	for _, module := range r32Modules {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t, r32Of(module))
			var all []string
			for _, v := range []r32Verb{r32Install("u", "APP", "one"), r32Stage("u")} {
				d.must(t, v)
				all = append(all, d.calls...)
			}
			installed := len(all)
			d.must(t, r32Activate(backends.None))
			all = append(all, d.calls...)
			engine, selected := -1, -1
			for i, c := range all {
				switch {
				case strings.HasPrefix(c, "nv_update_engine -i"):
					if engine >= 0 || !strings.HasSuffix(c, ": exit 0") || !strings.Contains(c, "--no-reboot") {
						t.Errorf("call %d: %s", i, c)
					}
					engine = i
				case strings.Contains(c, "set-active-boot-slot 1") && selected < 0:
					selected = i
				}
			}
			if engine < 0 || selected < installed {
				t.Fatalf("the engine is call %d, the target is selected by call %d, activate begins with call %d, in:\n%s", engine, selected, installed, strings.Join(all, "\n"))
			}
			checked := false
			for _, c := range all[engine+1:] {
				if strings.Contains(c, "set-active-boot-slot") {
					break
				}
				checked = checked || strings.Contains(c, "dump-slots-info: exit 0")
			}
			if !checked {
				t.Errorf("the slots are not read before one is selected:\n%s", strings.Join(all[engine:], "\n"))
			}
		})
	}
}

// nv_update_engine makes the slot that it wrote the active one. That is activate's business, and install takes it back.
func TestR32SwitchByTheEngineIsTakenBack(t *testing.T) {
	for _, module := range r32Modules {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t, r32Of(module))
			d.must(t, r32Stage("u"))
			calls := d.changing()
			want := []string{"mark-boot-successful", "set-slot-as-unbootable 1", "nv_update_engine", "set-active-boot-slot 0", "mark-boot-successful", "set-slot-as-unbootable 1"}
			for i, w := range want {
				if len(calls) != len(want) || !strings.Contains(calls[i], w) {
					t.Fatalf("calls %q, want %q", calls, want)
				}
			}
			d.wantSlots(t, r32Running, r32Unbootable)
			if st := d.mustStatus(t); *st.Next != backends.A || st.Update.State != backends.StagedAll || st.Slots[backends.B].FirmwareDirty || st.Method != backends.ByEngine {
				t.Errorf("next %s, update %s, dirty %t", *st.Next, st.Update.State, st.Slots[backends.B].FirmwareDirty)
			}
			d.arrive(t, backends.A)
			d.wantSlots(t, r32Running, r32Refilled) // given up unbooted, and whole: a way back again
		})
	}
}

// Whatever nv_update_engine answers: if it is not proved to have succeeded, the chain is dirty, no way back and not to be selected; the
// running slot stays the active one, and the same payload again is the cure.
func TestR32EngineThatFailsLeavesTheSlotDirtyAndUnbootable(t *testing.T) {
	for _, failure := range virtual.UpdateEngineFailures {
		t.Run(string(failure), func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t)
			d.programs.EngineFailure = failure
			d.longest = 2 * time.Second
			if failure == virtual.EngineHangs {
				d.watch = func(call string) { // asking for its options must not take the time that is tested
					if strings.HasPrefix(call, "nv_update_engine -h") {
						d.programs.EngineFailure = ""
					} else if strings.HasPrefix(call, "nv_update_engine -i") {
						d.programs.EngineFailure = failure
					}
				}
				d.longest = 50 * time.Millisecond
			}
			d.must(t, r32Install("u", "APP", "one"))
			err := d.do(nil, r32Stage("u"))
			r32Refused(t, err, "nv_update_engine")
			for _, c := range d.calls {
				if strings.Contains(c, "set-active-boot-slot 1") {
					t.Errorf("the target is selected: %s", c)
				}
			}
			d.watch, d.programs = nil, virtual.ProgramOptions{}
			d.wantSlots(t, r32Running, r32Unbootable)
			st := d.mustStatus(t)
			if !st.Slots[backends.B].FirmwareDirty || *st.Slots[backends.B].Bootable || st.Update.State != backends.Failed || *st.Next != backends.A {
				t.Errorf("dirty %t, bootable %t, update %s, next %s", st.Slots[backends.B].FirmwareDirty, *st.Slots[backends.B].Bootable, st.Update.State, *st.Next)
			}
			for name, slot := range map[string]backends.Slot{"the update": backends.None, "by hand": backends.B} {
				if err := d.do(nil, r32Activate(slot)); fail.CodeOf(err) != fail.Unavailable {
					t.Errorf("activate %s: %v", name, err)
				}
			}
			d.arrive(t, backends.A)
			d.wantSlots(t, r32Running, r32Unbootable)
			if err := d.do(nil, r32All(r32Install("v", "APP", "one"), r32Activate(backends.None))); !errors.Is(err, backends.ErrDirtyFirmware) {
				t.Errorf("a root file system alone over a dirty chain: %v", err)
			}
			d.cured(t)
		})
	}
}

// A device before R32.6 knows no --payload: the fixed path is used, and is free again afterwards.
func TestR32FixedPathOfTheEngineIsFreedAgain(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]virtual.UpdateEngineFailure{"success": "", "failure": "status-4"} {
		d := newR32Rule(t, func(o *virtual.CreateOptions) { o.L4T = "32.5.1" })
		d.programs.EngineFailure = failure
		if err := d.do(nil, r32Stage("u")); (err == nil) != (failure == "") {
			t.Fatalf("%s: %v", name, err)
		}
		if calls := strings.Join(d.changing(), "\n"); !strings.Contains(calls, "nv_update_engine --install no-reboot") {
			t.Errorf("%s: %s", name, calls)
		}
		for _, p := range []string{"opt/ota_package/bl_update_payload", "opt/ota_package/bl_update_payload.tegra-ota", "data/tegra-ota/firmware.bup"} {
			if (&ruleDevice{Orin: d.Orin}).has(p) {
				t.Errorf("%s: %s is left behind", name, p)
			}
		}
		d.wantSlots(t, r32Running, r32Unbootable)
		d.cured(t)
	}
}
