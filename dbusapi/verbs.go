package dbusapi

import (
	"context"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/backends"
)

// slotOf understands a slot as a method's argument: A, B, and from where the device stands.
func slotOf(ctx context.Context, control *backends.Control, name string) (backends.Slot, error) {
	if name != "other" && name != "current" {
		return backends.ParseSlot(name)
	}
	state, err := control.State(ctx)
	if err != nil {
		return backends.None, err
	}
	if name == "other" {
		return state.Current.Other(), nil
	}
	return state.Current, nil
}

func activate(ctx context.Context, control *backends.Control, c *call) (values, error) {
	slot := backends.None
	if name := c.text(0); name != "" {
		var err error
		if slot, err = slotOf(ctx, control, name); err != nil {
			return nil, err
		}
	}
	a, err := control.Activate(ctx, "", slot)
	if err != nil {
		return nil, err
	}
	result := values{
		"next": text(string(a.Slot)), "nothing_to_do": dbus.MakeVariant(a.Nothing), "warnings": dbus.MakeVariant(list(a.Warnings)),
	}
	if a.Firmware != nil {
		result["firmware"] = text(a.Firmware.String())
	}
	return result, nil
}

func commit(ctx context.Context, control *backends.Control, _ *call) (values, error) {
	message, err := control.Commit(ctx)
	return values{"message": text(message)}, err
}

func rollback(ctx context.Context, control *backends.Control, _ *call) (values, error) {
	reboot, message, err := control.Rollback(ctx)
	return values{"message": text(message), "reboot": dbus.MakeVariant(reboot)}, err
}

func markGood(ctx context.Context, control *backends.Control, c *call) (values, error) {
	slot, err := slotOf(ctx, control, c.text(0))
	if err != nil {
		return nil, err
	}
	message, err := control.SetGood(ctx, slot)
	return values{"message": text(message)}, err
}

func markBad(ctx context.Context, control *backends.Control, c *call) (values, error) {
	slot, err := slotOf(ctx, control, c.text(0))
	if err != nil {
		return nil, err
	}
	warnings, err := control.SetBad(ctx, "", slot, false)
	return values{"warnings": dbus.MakeVariant(list(warnings))}, err
}

// list is never null.
func list(texts []string) []string {
	all := []string{}
	for _, t := range texts {
		all = append(all, valid(t))
	}
	return all
}
