package nvbootctrl

import (
	"context"
	"errors"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// markBootable confirms the running slot, or refills the other one.
//
// The running slot: mark-boot-successful, even if the metadata says that it is confirmed: cboot counts the kernels that it
// started in a scratch register besides, nothing shows that register, and after two without a word it prefers the other slot
// (cboot of R32, check_user_redundancy_status; that the program clears the register is inferred). The command selects the
// slot as well (tegra-boot-tools smd_slot_mark_successful), so a switch that waits is asked for again; cut between the two
// it is lost, and the running slot boots, which is whole.
//
// The other slot: only set-active-boot-slot refills, so it is selected, and then the running one again. A cut between the
// two boots the other slot, which Control has judged to be whole before it asked; asked again instead, it stays selected,
// because that cannot be told from a switch that was ordered. The last step confirms the running slot again, because
// set-active-boot-slot takes that back and MB1 would count its boots.
func (c r32) markBootable(ctx context.Context, st backends.State, s backends.Slot) error {
	bootable := isBootable(st, s)
	if s != st.Current {
		if bootable {
			return nil
		}
		if err := c.choose(ctx, s); err != nil {
			return err
		}
		return c.refillOther(ctx, st, s)
	}
	if !bootable { // mark-boot-successful gives no priority back that somebody took
		if err := c.choose(ctx, s); err != nil {
			return err
		}
	}
	if err := c.confirm(ctx, s); err != nil {
		return err
	}
	if bootable && st.NextPending && st.Next != s {
		after, _, err := c.reread(ctx)
		if err != nil {
			return err
		}
		return c.setNext(ctx, after, st.Next)
	}
	return nil
}

// refillOther goes back to the running slot after the other one was selected, unless that one was to boot next anyway.
func (c r32) refillOther(ctx context.Context, st backends.State, s backends.Slot) error {
	if st.NextPending {
		return nil
	}
	if err := c.choose(ctx, st.Current); err != nil {
		return err
	}
	if err := c.confirm(ctx, st.Current); err != nil {
		return err
	}
	after, _, err := c.reread(ctx)
	if err != nil {
		return err
	}
	if !isBootable(after, s) {
		return fail.New(fail.IO, "cannot make slot %s bootable: read back, it still is not", s)
	}
	return nil
}

// choose makes a slot the active one. Nothing is read back.
func (c r32) choose(ctx context.Context, s backends.Slot) error {
	return c.both(ctx, "set-active-boot-slot", index(s))
}

// both runs a command for the boot chain, and for the root file systems where they are separate.
func (c r32) both(ctx context.Context, args ...string) error {
	if err := c.b.run.change(ctx, args...); err != nil {
		return err
	}
	separate, _, err := c.roots(ctx)
	if err != nil || !separate {
		return err
	}
	if err := c.b.run.change(ctx, in(rootfs, args...)...); !errors.Is(err, ErrUnknownCommand) {
		return err
	}
	return nil
}

// confirm says that the running slot booted well, and reads that back.
func (c r32) confirm(ctx context.Context, s backends.Slot) error {
	if err := c.both(ctx, "mark-boot-successful"); err != nil {
		return err
	}
	after, d, err := c.reread(ctx)
	if err != nil {
		return err
	}
	if have := d.Slots[s.Index()]; !*have.Successful || !isBootable(after, s) {
		return fail.New(fail.IO, "cannot confirm slot %s: `nvbootctrl mark-boot-successful` succeeded, "+
			"and read back the slot is not confirmed", s)
	}
	return nil
}

// markUnbootable takes a slot's priority and retries, in both views where they are separate.
func (c r32) markUnbootable(ctx context.Context, st backends.State, s backends.Slot) error {
	if have := st.Slots[s]; !isBootable(st, s) && have.Retries != nil && *have.Retries == 0 {
		return nil
	}
	if err := c.both(ctx, "set-slot-as-unbootable", index(s)); err != nil {
		return err
	}
	after, _, err := c.reread(ctx)
	if err != nil {
		return err
	}
	if isBootable(after, s) {
		return fail.New(fail.IO, "cannot mark slot %s unbootable: `nvbootctrl set-slot-as-unbootable` succeeded, "+
			"and read back the slot is bootable", s)
	}
	return nil
}

// clearTrial does nothing: SMD keeps no result of a switch.
func (c r32) clearTrial(context.Context) error { return nil }

// setNext selects a slot. One that is selected already, with all retries, is left alone.
func (c r32) setNext(ctx context.Context, st backends.State, s backends.Slot) error {
	if s == st.Current {
		if apart := st.Separate && st.RootCurrent != s; !st.NextPending && !apart {
			return nil
		}
		return c.cancelNext(ctx, st)
	}
	if r := st.Slots[s].Retries; st.Next == s && r != nil && *r == retryMaxR32 {
		if selected, err := c.selected(ctx, s); err != nil || selected == nil {
			return err
		}
	}
	if err := c.choose(ctx, s); err != nil {
		return err
	}
	not, err := c.selected(ctx, s)
	if err != nil {
		return err
	}
	return not
}

// selected returns why a slot does not boot next, nil if it does in every view.
func (c r32) selected(ctx context.Context, s backends.Slot) (not, err error) {
	after, d, err := c.reread(ctx)
	if err != nil {
		return nil, err
	}
	if next(d, after) != s {
		return refusedSelection(s, "bootloader"), nil
	}
	separate, _, err := c.roots(ctx)
	if err != nil || !separate {
		return nil, err
	}
	root, err := c.b.dump(ctx, rootfs)
	if err != nil {
		return nil, err
	}
	if root.Active != backends.None && root.Active != s {
		return refusedSelection(s, "rootfs"), nil
	}
	return nil, nil
}

func refusedSelection(s backends.Slot, view string) error {
	return fail.New(fail.Unavailable, "cannot select slot %s: `nvbootctrl -t %s set-active-boot-slot %s` succeeded, "+
		"and read back another slot boots next", s, view, index(s)).Then("look at `nvbootctrl dump-slots-info`, and whether redundancy is enabled (nv_update_engine --enable-ab)")
}

// cancelNext selects the running slot again, and confirms it, because selecting takes that back.
func (c r32) cancelNext(ctx context.Context, st backends.State) error {
	if err := c.choose(ctx, st.Current); err != nil {
		return err
	}
	not, err := c.selected(ctx, st.Current)
	if err != nil {
		return err
	}
	if not != nil {
		return not
	}
	return c.confirm(ctx, st.Current)
}
