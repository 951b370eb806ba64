package nvbootctrl

import (
	"context"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// markBootable writes the variables, or, where it cannot, refills the running slot's retries with `verify`; another slot
// is left as it is if nothing keeps it from booting.
func (c *uefi) markBootable(ctx context.Context, st backends.State, s backends.Slot) error {
	if marks := c.writable(); marks != nil {
		return marks.MarkBootable(ctx, s)
	}
	have := st.Slots[s]
	if have.Status != nil && *have.Status == backends.StatusUnbootable {
		return fail.New(fail.Unavailable, "cannot make slot %s bootable: %w", s, c.why)
	}
	running := st.RootCurrent
	if running == backends.None {
		running = st.Current
	}
	if s != running {
		return nil
	}
	return c.b.run.do(ctx, "verify")
}

// markUnbootable writes the variables. On AGX Xavier it takes effect at the next boot, before the launcher chooses.
func (c *uefi) markUnbootable(ctx context.Context, _ backends.State, s backends.Slot) error {
	if marks := c.writable(); marks != nil {
		return marks.MarkUnbootable(ctx, s)
	}
	return fail.New(fail.Unavailable, "cannot mark slot %s unbootable: %w", s, c.why)
}

// clearTrial deletes BootChainFwStatus: by itself where the variables can be written, else by `verify`, which also refills
// the running slot's retries.
func (c *uefi) clearTrial(ctx context.Context) error {
	if marks := c.writable(); marks != nil {
		return marks.ClearTrial(ctx)
	}
	return c.b.run.do(ctx, "verify")
}

// setNext has the program select a slot, which removes what the last switch left over, too (inferred from the variables
// before and after). AGX Xavier gets the request from the ESP: what the closed program does there is not known.
func (c *uefi) setNext(ctx context.Context, st backends.State, s backends.Slot) error {
	if st.Next == s || s == st.Current && !st.NextPending {
		return nil
	}
	if marks := c.writable(); marks != nil && c.b.bootsFromEMMC() {
		return marks.SetNext(ctx, s)
	}
	if err := c.b.run.change(ctx, "set-active-boot-slot", index(s)); err != nil {
		return err
	}
	return c.selected(ctx, s)
}

// cancelNext deletes the request, or has the program select the running slot.
func (c *uefi) cancelNext(ctx context.Context, st backends.State) error {
	if marks := c.writable(); marks != nil {
		return marks.CancelNext(ctx)
	}
	if err := c.b.run.change(ctx, "set-active-boot-slot", index(st.Current)); err != nil {
		return err
	}
	return c.selected(ctx, st.Current)
}

// selected says whether a slot boots next, by the variables where they can be read, else by the program's Active line.
func (c *uefi) selected(ctx context.Context, s backends.Slot) error {
	active := backends.None
	if c.vars != nil {
		st, err := c.read(ctx)
		if err != nil {
			return err
		}
		if active = st.Current; st.NextPending {
			active = st.Next
		}
	} else {
		d, err := c.b.dump(ctx, bootloader)
		if err != nil {
			return err
		}
		active = d.Active
	}
	if active != s {
		return fail.New(fail.Unavailable, "cannot select slot %s: `nvbootctrl set-active-boot-slot %s` succeeded and changed nothing",
			s, index(s)).Then("look at the UEFI variable RootfsRedundancyLevel: where it is 0 or missing the program does nothing; " +
			"flash the device with ROOTFS_AB=1")
	}
	return nil
}
