package rauc

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Patience is how long one call of the backend may take in all. RAUC sets no limit: its service hangs with the backend,
// and its clients give up after 25 s (RAUC 1.8, run). A changing call waits at most 5 s of it for the lock, and a program
// that is killed then may take another second to go: 10 s is what is promised, unless a file system stalls.
const Patience = 7 * time.Second

// Backend answers RAUC's bootloader-custom-backend calls: get-primary, set-primary, get-state, set-state (since RAUC 1.4)
// and get-current (since 1.11).
type Backend struct {
	Control *backends.Control
	Machine *device.Machine
	Names   Names
	// Stdout gets an answer in one write, the name and a newline: RAUC takes blanks before a get-current's name literally.
	Stdout io.Writer
	// Warn gets what is worth knowing and stops nothing.
	Warn func(string)
}

// GetPrimary names the slot that boots next; nothing where that one is bad, because RAUC takes a failing call for a broken
// backend and an empty answer for no primary (RAUC, test/bootchooser.c).
func (b Backend) GetPrimary(ctx context.Context) error {
	slot, err := b.Control.Primary(ctx)
	if err != nil || slot == backends.None {
		return err
	}
	return b.answer(b.Names.Bootname(slot))
}

// GetCurrent names the slot whose root file system is mounted.
func (b Backend) GetCurrent(ctx context.Context) error {
	slot, err := b.Control.Booted(ctx)
	if err != nil {
		return err
	}
	return b.answer(b.Names.Bootname(slot))
}

// GetState answers good or bad.
func (b Backend) GetState(ctx context.Context, name string) error {
	slot, err := b.Names.Slot(name)
	if err != nil {
		return err
	}
	good, err := b.Control.Good(ctx, slot)
	if err != nil {
		return err
	}
	if good {
		return b.answer("good")
	}
	return b.answer("bad")
}

// SetPrimary makes a slot bootable and boot next: RAUC never calls set-state good after an install.
func (b Backend) SetPrimary(ctx context.Context, name string) error {
	slot, err := b.Names.Slot(name)
	if err != nil {
		return err
	}
	a, err := b.Control.SetPrimary(ctx, UpdateID, slot, installing(b.Machine))
	return b.warn(a.Warnings, err)
}

// SetState marks a slot good or bad.
func (b Backend) SetState(ctx context.Context, name, state string) error {
	slot, err := b.Names.Slot(name)
	if err != nil {
		return err
	}
	switch state {
	case "good":
		_, err = b.Control.SetGood(ctx, slot)
		return err
	case "bad":
		warnings, err := b.Control.SetBad(ctx, UpdateID, slot, installing(b.Machine))
		return b.warn(warnings, err)
	}
	return fail.New(fail.Usage, "cannot set slot %s to %q: the states are good and bad", name, state)
}

func (b Backend) warn(warnings []string, err error) error {
	for _, w := range warnings {
		b.Warn(w)
	}
	return err
}

func (b Backend) answer(word string) error {
	if _, err := fmt.Fprintln(b.Stdout, word); err != nil {
		return fail.New(fail.IO, "cannot print the answer %s: %w", word, err)
	}
	return nil
}
