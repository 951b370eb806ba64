package engine

import (
	"context"
	"strings"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/nvbootctrl"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/nvidia"
)

// shortly is how long a question may take: nvbootctrl reads a block of metadata, -h prints a text.
const shortly = 10 * time.Second

// slots is one reading of nvbootctrl.
type slots struct {
	current backends.Slot
	dump    nvbootctrl.Dump
}

// ask runs nvbootctrl, which only reads here.
func (s *Stager) ask(ctx context.Context, args ...string) (device.Result, error) {
	path := nvidia.Find(s.m, "nvbootctrl", s.opts.NVBootctrl)
	if path == "" {
		return device.Result{}, fail.New(fail.Unavailable, "cannot judge %s: nvbootctrl, which lists the slots, is missing", program).
			Then("install nvidia-l4t-tools (tegra-redundant-boot with meta-tegra)")
	}
	res, err := s.m.Run(ctx, device.Command{Path: path, Args: args, Timeout: shortly})
	if err != nil {
		return res, fail.New(fail.CodeOf(err), "cannot ask nvbootctrl %s: %w", strings.Join(args, " "), err)
	}
	return res, nil
}

// slots reads which slot runs and what the metadata says of both.
func (s *Stager) slots(ctx context.Context) (slots, error) {
	res, err := s.ask(ctx, "get-current-slot")
	if err != nil {
		return slots{}, err
	}
	var now slots
	switch strings.TrimSpace(res.Stdout) {
	case "0":
		now.current = backends.A
	case "1":
		now.current = backends.B
	default:
		return slots{}, fail.New(fail.Unavailable, "cannot tell the running slot: nvbootctrl get-current-slot prints %.60q, exit %d",
			strings.TrimSpace(res.Stdout+res.Stderr), res.ExitCode).Then("run nvbootctrl dump-slots-info by hand")
	}
	if res, err = s.ask(ctx, "dump-slots-info"); err != nil {
		return slots{}, err
	}
	if now.dump, err = nvbootctrl.Parse(res.Stdout); err != nil {
		return slots{}, err
	}
	if now.dump.Magic == nil {
		return slots{}, fail.New(fail.Unavailable, "cannot install firmware with %s: nvbootctrl is that of a later release than L4T R32",
			program).
			Then(`set method = "capsule" in [firmware]`)
	}
	return now, nil
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
