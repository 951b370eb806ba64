package engine

import (
	"context"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/nvbootctrl"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// shortly is how long a question may take: nvbootctrl reads a block of metadata, -h prints a text.
const shortly = 10 * time.Second

// slots is one reading of nvbootctrl.
type slots struct {
	current backends.Slot
	dump    nvbootctrl.Dump
}

// slots reads which slot runs and what the metadata says of both.
func (s *Stager) slots(ctx context.Context) (slots, error) {
	var now slots
	var err error
	if now.current, now.dump, err = s.nvbootctrl().Slots(ctx); err != nil {
		return slots{}, fail.New(fail.CodeOf(err), "cannot judge %s: %w", program, err)
	}
	if now.dump.Magic == nil {
		return slots{}, fail.New(fail.Unavailable, "cannot install firmware with %s: nvbootctrl is that of a later release than L4T R32",
			program).
			Then(`set method = "capsule" in [firmware]`)
	}
	return now, nil
}

func (s *Stager) nvbootctrl() *nvbootctrl.Backend {
	return nvbootctrl.New(s.m, s.chip, nvbootctrl.Options{Program: s.opts.NVBootctrl})
}

// refuseTarget refuses a target that runs: the program writes the slot that does not run, whatever we want.
func (now slots) refuseTarget(target backends.Slot) error {
	if target != now.current.Other() {
		return fail.New(fail.Unavailable, "cannot install firmware to slot %s: slot %s runs, and %s writes the other one",
			target, now.current, program).
			Then("reboot, and install again")
	}
	return nil
}

// bootable says whether the loader would try a slot.
func (now slots) bootable(s backends.Slot) bool {
	d := now.dump.Slots[s.Index()]
	return d.Priority != nil && *d.Priority > 0 && d.Retry != nil && *d.Retry > 0
}

// compare judges the slots after a run that says it succeeded. The program ends by making the slot that it wrote the active one, with
// full retries and not yet successful (inferred from tegra-bootloader-update.c of tegra-boot-tools, which does so on the same metadata,
// and from public threads in which the next boot tries the new slot). So the record of the target is expected to have changed, and to be
// bootable. Control made it unbootable before, so one that did not change was not written.
//
// Which slot is active is not judged: Control selects the running one again in any case.
func (now slots) compare(before slots, target backends.Slot) error {
	next := "run `" + program + " --install no-reboot` by hand and read its output; the chain is not used meanwhile"
	was, is := before.dump.Slots[target.Index()], now.dump.Slots[target.Index()]
	switch {
	case now.current != before.current:
		return fail.New(fail.IO, "cannot trust %s: slot %s ran before it, and nvbootctrl now says %s",
			program, before.current, now.current).Then("reboot, and install again")
	case equal(was.Priority, is.Priority) && equal(was.Retry, is.Retry) && equal(was.Successful, is.Successful):
		return fail.New(fail.IO, "cannot trust %s: it says success, but the slots did not change", program).Then("%s", next)
	case !now.bootable(target):
		return fail.New(fail.IO, "cannot trust %s: it says success, but slot %s is not bootable", program, target).Then("%s", next)
	}
	return nil
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }
