// Package nvbootctrl controls the slots of devices that UEFI variables alone do not control, by running NVIDIA's nvbootctrl:
// T186 and T194 on JetPack 4 (R32), where it changes the slot metadata (SMD) that MB1 reads, and whatever runs R35 and later
// where efivarfs cannot be read or written.
//
// The program is closed. What is said about it comes from public threads and logs; what its commands do to SMD is inferred
// from OE4T/tegra-boot-tools (smd.c), which does the same on the same metadata. So every change is read back, and nothing
// relies on an exit code alone.
package nvbootctrl

import (
	"context"
	"errors"
	"fmt"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Options adapt the backend to a system.
type Options struct {
	Program       string // nvbootctrl's absolute path; "" looks for it (nvidia.Find)
	ESPMountPoint string // the only place to look for the ESP at; "" looks at all (esp.Options)
}

// Backend is boot control through nvbootctrl.
type Backend struct {
	m    *device.Machine
	chip chip.Chip
	opts Options
	run  *runner
	told told
}

var _ backends.Backend = (*Backend)(nil)

// New returns the backend of a chip on a machine. It touches nothing.
func New(m *device.Machine, c chip.Chip, opts Options) *Backend {
	return &Backend{m: m, chip: c, opts: opts, run: &runner{m: m, configured: opts.Program}}
}

// Name is "nvbootctrl".
func (b *Backend) Name() string { return "nvbootctrl" }

// Read reads both views of the slots, and the UEFI variables where there are any. Exit codes: 69 where the program, or what
// it needs, is missing, or where two sources contradict each other; 74 where it does not end.
func (b *Backend) Read(ctx context.Context) (backends.State, error) {
	st, _, err := b.read(ctx)
	return st, err
}

// read also says how the device is controlled, for those that change it.
func (b *Backend) read(ctx context.Context) (backends.State, control, error) {
	if vars := b.readable(); vars != nil {
		c := &uefi{b: b, vars: vars}
		st, err := c.read(ctx)
		return st, c, err
	}
	d, err := b.dump(ctx, bootloader)
	switch {
	case errors.Is(err, ErrMissing):
		if st, metaErr := b.readMetadata(); metaErr == nil {
			return st, nil, nil
		}
		return backends.State{}, nil, err
	case err == nil && d.Magic != nil:
		c := r32{b, d.Features}
		st, err := c.read(ctx, d)
		return st, c, err
	case err == nil:
		c := &uefi{b: b}
		st, err := c.readDumps(ctx, d)
		return st, c, err
	}
	return backends.State{}, nil, err
}

// control is one kind of boot control below nvbootctrl. Each verb gets the state it starts from, and reads back.
type control interface {
	markBootable(ctx context.Context, st backends.State, s backends.Slot) error
	markUnbootable(ctx context.Context, st backends.State, s backends.Slot) error
	clearTrial(ctx context.Context) error
	setNext(ctx context.Context, st backends.State, s backends.Slot) error
	cancelNext(ctx context.Context, st backends.State) error
}

// Writable says whether the program is there and answers.
func (b *Backend) Writable(ctx context.Context) error {
	if _, err := b.run.find(); err != nil {
		return err
	}
	_, err := b.running(ctx)
	return err
}

// MarkBootable makes a slot bootable and refills its retries, as far as the release can: backends.Backend, r32, uefi.
func (b *Backend) MarkBootable(ctx context.Context, s backends.Slot) error {
	return b.change(ctx, func(st backends.State, c control) error { return c.markBootable(ctx, st, s) })
}

// MarkUnbootable makes a slot unbootable; 69 where the release cannot.
func (b *Backend) MarkUnbootable(ctx context.Context, s backends.Slot) error {
	return b.change(ctx, func(st backends.State, c control) error { return c.markUnbootable(ctx, st, s) })
}

// ClearTrial removes what the last switch left over; SMD keeps nothing of that kind.
func (b *Backend) ClearTrial(ctx context.Context) error {
	return b.change(ctx, func(_ backends.State, c control) error { return c.clearTrial(ctx) })
}

// SetNext selects a slot for the next boot, in both views where they are separate. The program succeeds also where it
// does nothing, so a selection that is not there afterwards is an error (69).
func (b *Backend) SetNext(ctx context.Context, s backends.Slot) error {
	return b.change(ctx, func(st backends.State, c control) error { return c.setNext(ctx, st, s) })
}

// CancelNext selects the running slot, if another one is selected.
func (b *Backend) CancelNext(ctx context.Context) error {
	return b.change(ctx, func(st backends.State, c control) error {
		if !st.NextPending {
			return nil
		}
		return c.cancelNext(ctx, st)
	})
}

// change reads, and lets a verb change what was read.
func (b *Backend) change(ctx context.Context, do func(backends.State, control) error) error {
	st, c, err := b.read(ctx)
	if err != nil {
		return err
	}
	if c == nil {
		_, err := b.run.find()
		return err
	}
	return do(st, c)
}

// The views that nvbootctrl has: of the boot chain, which is its default, and of the root file system.
const (
	bootloader = ""
	rootfs     = "rootfs"
)

// in returns a command's arguments in a view. The option stands in front: R32 takes it nowhere else.
func in(view string, args ...string) []string {
	if view == bootloader {
		return args
	}
	return append([]string{"-t", view}, args...)
}

func (b *Backend) dump(ctx context.Context, view string) (Dump, error) {
	return ask(ctx, b.run, Parse, in(view, "dump-slots-info")...)
}

func (b *Backend) current(ctx context.Context, view string) (backends.Slot, error) {
	return ask(ctx, b.run, parseSlot, in(view, "get-current-slot")...)
}

// readable returns the UEFI variables if they say which chain runs, else nil.
func (b *Backend) readable() *efivarfs.Store {
	vars := efivarfs.New(b.m)
	if vars.Available() != nil {
		return nil
	}
	if _, err := vars.Read(efivarfs.BootChainFwCurrent); err != nil {
		return nil
	}
	return vars
}

// efivar is the other backend, for what it can do here.
func (b *Backend) efivar() *efivar.Backend {
	return efivar.New(b.m, b.chip).WithNVBootctrl(b.opts.Program)
}

func index(s backends.Slot) string { return fmt.Sprint(s.Index()) }

// contradiction is the error of two sources that name different running slots.
func contradiction(oneSays string, one backends.Slot, otherSays string, other backends.Slot) error {
	return fail.New(fail.Unavailable, "cannot tell the running slot: %s says %s, %s says %s", oneSays, one, otherSays, other).
		Then("reboot; if they still contradict each other, report what `nvbootctrl dump-slots-info` prints")
}
