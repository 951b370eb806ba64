package rauc_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hold stops a call, so that the power can be cut there.
const hold = `touch "$beside/held"; sleep 60; exit 1`

// TestPowerCut takes the power from the device during an install. Until set-primary the old slot runs and the other one does not
// boot; behind it the new one runs. Then an install works.
func TestPowerCut(t *testing.T) {
	for _, tt := range []struct {
		name    string
		at      [2]string // verb, and what happens there
		early   bool      // the cut comes before that, once RAUC writes
		arrives bool
	}{
		{name: "before set-state bad", at: [2]string{"set-state", hold}},
		{name: "after set-state bad", at: [2]string{"set-state", `"$real" "$@" || exit; ` + hold}},
		{name: "while RAUC writes", at: [2]string{"set-primary", hold}, early: true},
		{name: "before set-primary", at: [2]string{"set-primary", hold}},
		{name: "after set-primary", at: [2]string{"set-primary", `"$real" "$@" || exit; ` + hold}, arrives: true},
	} {
		for _, power := range []string{"--cold", "--warm"} {
			t.Run(tt.name+" "+power[2:], func(t *testing.T) {
				parallel(t)
				o := newOrin(t)
				o.start(t)
				a, b := o.contents(t, "A"), o.contents(t, "B")
				bundle, image := o.release(t)
				o.cut(t, bundle, tt.at, tt.early)
				o.untouched(t, "A", a)

				if tt.arrives {
					o.mustBoot(t, "B", power)
					o.holds(t, "B", image)
					o.tells(t, truth{Booted: "B", Primary: "B", Good: "AB"})
					o.untouched(t, "A", a)
					o.updates(t)
					return
				}
				begun := tt.name != "before set-state bad"
				if begun {
					o.cannotBoot(t, "B")
				}
				o.mustBoot(t, "A", power)
				if !o.committed() {
					t.Errorf("slot A is not committed: %s", o.verdict())
				}
				o.untouched(t, "A", a)
				if begun {
					o.tells(t, truth{Booted: "A", Primary: "A", Good: "A"})
					o.torn(t, "B")
					o.rauc(t, "status", "mark-active", "other").want(t, 1)
					o.tells(t, truth{Booted: "A", Primary: "A", Good: "A"})
				} else {
					o.tells(t, truth{Booted: "A", Primary: "A", Good: "AB"})
					o.untouched(t, "B", b)
				}
				o.updates(t)
			})
		}
	}
}

// cut begins an install and switches the device off.
func (o *orin) cut(t *testing.T, bundle string, at [2]string, early bool) {
	t.Helper()
	o.at(t, at[0], at[1])
	c := exec.Command(o.path("usr/bin/rauc"), "install", bundle)
	c.Env = o.env()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	wait(t, "the cut", func() bool {
		if early {
			return strings.Contains(o.log(t), "writing data to device")
		}
		_, err := os.Stat(filepath.Join(o.tmp, "held"))
		return err == nil
	})
	o.off()
	o.undisturbed(t, at[0])
}
