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

func r32Install(id, part, name string) r32Verb {
	return func(ctx context.Context, d *r32Device, c *backends.Control, m *device.Machine) error {
		content := d.images[name]
		if part != "APP" {
			content = content[:8<<10]
		}
		_, err := image.Install(ctx, m, c, &source.Source{Reader: bytes.NewReader(content), Size: int64(len(content))}, image.Options{Partition: part, Size: -1, ID: id})
		return err
	}
}

func r32Stage(id string) r32Verb {
	return func(ctx context.Context, d *r32Device, c *backends.Control, _ *device.Machine) error {
		_, err := c.Stage(ctx, id, bytes.NewReader(d.payload), false)
		return err
	}
}

func r32Activate(slot backends.Slot) r32Verb {
	return func(ctx context.Context, _ *r32Device, c *backends.Control, _ *device.Machine) error {
		_, err := c.Activate(ctx, "", slot)
		return err
	}
}

func r32Abort(ctx context.Context, _ *r32Device, c *backends.Control, _ *device.Machine) error {
	return c.Abort(ctx)
}

func r32Commit(ctx context.Context, _ *r32Device, c *backends.Control, _ *device.Machine) error {
	_, err := c.Commit(ctx)
	return err
}

func r32Rollback(ctx context.Context, _ *r32Device, c *backends.Control, _ *device.Machine) error {
	_, _, err := c.Rollback(ctx)
	return err
}

func r32Count(ctx context.Context, d *r32Device, c *backends.Control, _ *device.Machine) (err error) {
	d.last, err = c.CountBoot(ctx)
	return err
}

func r32Verify(ctx context.Context, d *r32Device, c *backends.Control, _ *device.Machine) (err error) {
	d.last, err = c.VerifyBoot(ctx)
	return err
}

// r32All calls verbs until one fails.
func r32All(verbs ...r32Verb) r32Verb {
	return func(ctx context.Context, d *r32Device, c *backends.Control, m *device.Machine) error {
		for i, v := range verbs {
			if err := v(ctx, d, c, m); err != nil {
				return fmt.Errorf("verb %d: %w", i+1, err)
			}
		}
		return nil
	}
}
