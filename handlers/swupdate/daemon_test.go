package swupdate_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// TestDaemon updates as a device in the field does: swupdate runs all the time and clients send it updates, first one that
// is cut off on its way, then a good one, from and to each slot.
func TestDaemon(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	d := o.daemon(t)

	b := o.snapshot(t)
	bad := o.good(t, o.image(t)).pack(t)
	truncate(t, bad, 2<<20)
	if err := d.send(bad); err == nil {
		t.Error("a truncated update was accepted")
	}
	o.untouched(t, b)
	o.cannotBoot(t, other(b.slot))
	for round := 0; round < 2; round++ {
		image := o.image(t)
		if err := d.send(o.good(t, image).pack(t)); err != nil {
			t.Fatalf("swupdate-client: %v", err)
		}
		o.arrives(t, image)
	}
	if err := d.ctx.Err(); err != nil || strings.Contains(d.log.String(), "panic") {
		t.Errorf("%v", err)
	}
}

// daemon is a swupdate that runs until the test ends.
type daemon struct {
	o   *orin
	ctx context.Context // of the whole test
	log orintest.Log
}

// daemon starts one, and returns when it takes updates.
func (o *orin) daemon(t *testing.T) *daemon {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hung)
	d := &daemon{o: o, ctx: ctx}
	c := o.command(ctx)
	c.Stdout, c.Stderr = &d.log, &d.log
	c.WaitDelay = 5 * time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait()
		if t.Failed() {
			t.Log(d.log.String())
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(o.tmp, "sockinstctrl")); err == nil {
			return d
		}
		if time.Now().After(end) {
			t.Fatal("swupdate does not open its socket")
		}
	}
}

// send sends an update as a client does, and says how that ended.
func (d *daemon) send(swu string) error {
	c := exec.CommandContext(d.ctx, "swupdate-client", swu)
	c.Env = append(os.Environ(), "TMPDIR="+d.o.tmp)
	return c.Run()
}
