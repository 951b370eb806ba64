package swupdate_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDaemon updates as a device in the field does: swupdate runs all the time and clients send it updates, first one that
// is cut off on its way, then a good one, from and to each slot.
func TestDaemon(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	ctx, cancel := context.WithTimeout(context.Background(), hung)
	var log bytes.Buffer
	daemon := o.command(ctx)
	daemon.Stdout, daemon.Stderr = &log, &log
	daemon.WaitDelay = 5 * time.Second
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = daemon.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(o.tmp, "sockinstctrl")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("swupdate does not open its socket")
		}
	}
	send := func(swu string) error {
		c := exec.CommandContext(ctx, "swupdate-client", swu)
		c.Env = append(os.Environ(), "TMPDIR="+o.tmp)
		return c.Run()
	}

	b := o.snapshot(t)
	bad := o.good(t, o.image(t)).pack(t)
	truncate(t, bad, 2<<20)
	if err := send(bad); err == nil {
		t.Error("a truncated update was accepted")
	}
	o.untouched(t, b)
	o.cannotBoot(t, other(b.slot))
	for round := 0; round < 2; round++ {
		image := o.image(t)
		if err := send(o.good(t, image).pack(t)); err != nil {
			t.Fatalf("swupdate-client: %v", err)
		}
		o.arrives(t, image)
	}
	if err := ctx.Err(); err != nil || strings.Contains(log.String(), "panic") {
		t.Errorf("%v", err)
	}
}
