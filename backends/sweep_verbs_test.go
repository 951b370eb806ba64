package backends_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/handlers/image"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/source"
)

// sweepVerb is one call of a front end.
type sweepVerb func(ctx context.Context, d *sweepDevice, c *backends.Control, m *device.Machine) error

// do calls a verb, with a fault or without.
func (d *sweepDevice) do(f *device.Fault, v sweepVerb) error {
	c, m := d.control(f)
	return v(context.Background(), d, c, m)
}

func sweepInstall(id, part, name string, unconfirmed bool) sweepVerb {
	return func(ctx context.Context, d *sweepDevice, c *backends.Control, m *device.Machine) error {
		content := d.rig.images[name]
		if part != "APP" {
			content = content[:8<<10]
		}
		src := &source.Source{Reader: bytes.NewReader(content), Size: int64(len(content))}
		_, err := image.Install(ctx, m, c, src, image.Options{Partition: part, Size: -1, ID: id, Unconfirmed: unconfirmed})
		return err
	}
}

func sweepStage(id string, unsigned bool) sweepVerb {
	return func(ctx context.Context, d *sweepDevice, c *backends.Control, _ *device.Machine) error {
		content := d.rig.capsule
		if unsigned {
			content = d.rig.unsigned
		}
		_, err := c.Stage(ctx, id, bytes.NewReader(content), false)
		return err
	}
}

func sweepConfirm(id, part string) sweepVerb {
	return func(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
		return c.Confirm(ctx, id, part)
	}
}

func sweepActivate(id string, slot backends.Slot) sweepVerb {
	return func(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
		_, err := c.Activate(ctx, id, slot)
		return err
	}
}

func sweepAbort(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
	return c.Abort(ctx)
}

func sweepCommit(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
	_, err := c.Commit(ctx)
	return err
}

func sweepRollback(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
	_, _, err := c.Rollback(ctx)
	return err
}

func sweepCount(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
	_, err := c.CountBoot(ctx)
	return err
}

func sweepVerify(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
	_, err := c.VerifyBoot(ctx)
	return err
}

func sweepRefill(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
	return c.Refill(ctx)
}

func sweepMarkBad(slot backends.Slot) sweepVerb {
	return func(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
		return c.SetUnbootable(ctx, slot)
	}
}

// run calls verbs one after the other.
func (d *sweepDevice) run(verbs ...sweepVerb) error {
	for i, v := range verbs {
		c, m := d.control(nil)
		if err := v(context.Background(), d, c, m); err != nil {
			return fmt.Errorf("verb %d: %w", i+1, err)
		}
	}
	return nil
}
