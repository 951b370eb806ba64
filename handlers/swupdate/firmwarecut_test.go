package swupdate_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestFirmwareCut kills the installer while it writes firmware, as a power cut does, and reboots: the old slot runs, and the same
// update again succeeds. A capsule is cut while it is put on the ESP, for TestCapsuleCut has what the firmware does with it;
// nv_update_engine is cut when half of the chain is written.
func TestFirmwareCut(t *testing.T) {
	everywhere(t, func(t *testing.T, k kind) {
		o := newDevice(t, k, k.boards[:2]...)
		b := o.snapshot(t)
		version, image := o.nextVersion(t), o.image(t)
		bl := k.payload.of(t, version, k.boards...)
		swu := update{members: []member{rootfs("1", image), k.firmware("1", bl).streamed(), activate("1")}}.pack(t)

		var s *stall
		if k.jetPack4() {
			o.pauseEngine(t)
			s = o.stall(t, swu, "tegra-bup", len(read(t, swu)))
			o.paused(t)
		} else {
			s = o.stall(t, swu, "tegra-bup", len(read(t, swu))-len(bl)/2)
		}
		for _, pid := range s.workers() {
			kill(t, pid)
		}
		if k.jetPack4() {
			o.killEngine(t)
			if o.hardware(t).Chains["B"].Whole {
				t.Error("chain B is whole: the engine was not cut")
			}
		}
		if r := s.finish(); r.code != 1 && r.code != -1 {
			t.Fatalf("swupdate exits %d:\n%s", r.code, r.log)
		}
		o.sweep(t)

		o.untouched(t, b)
		o.chosen(t, b.slot)
		o.cannotBoot(t, other(b.slot))
		o.mustBoot(t, b.slot, "--cold")
		if s := o.status(t); s.Update.State != "failed" {
			t.Errorf("the update is %q, want failed: %s", s.Update.State, o.verdict())
		}
		o.install(t, swu).want(t, 0)
		o.arrives(t, image)
		o.chain(t, other(b.slot), version)
	})
}

// TestEngineOutlivesItsCaller kills tegra-bup's worker alone. Whoever is left of nv_update_engine must not make the slot the active
// one afterwards: nobody would take that back.
func TestEngineOutlivesItsCaller(t *testing.T) {
	parallel(t)
	o := newDevice(t, onJetPack4)
	b := o.snapshot(t)
	o.pauseEngine(t)
	u := o.good(t, o.image(t))
	u.members[2] = u.members[2].streamed()
	swu := u.pack(t)
	s := o.stall(t, swu, "tegra-bup", len(read(t, swu)))
	o.paused(t)
	pids := s.workers()
	kill(t, pids[len(pids)-1])
	s.finish().want(t, 1).says(t, `tegra-bup bl_update_payload: .*(signal|killed)`)
	o.resumeEngine(t)
	o.chosen(t, b.slot)
	o.unharmed(t, b)
}

// TestEngineHangs: an engine that does not end is ended, with all that it started.
func TestEngineHangs(t *testing.T) {
	parallel(t)
	k := onJetPack4
	k.config = "[firmware]\nupdate_timeout = \"3s\"\n"
	o := newDevice(t, k)
	b := o.snapshot(t)
	o.pauseEngine(t)
	o.install(t, o.good(t, o.image(t)).pack(t)).want(t, 1).says(t, `tegra-bup bl_update_payload: .*did not end in time.*exit 74, io`)
	if o.alive(t) {
		t.Error("nv_update_engine still runs")
	}
	o.killEngine(t)
	o.unharmed(t, b)
}

// paused is made by pausedEngine when half of the images are written, and holds its process; resumed lets it go on.
const (
	pausedFile  = "qspi/paused"
	resumedFile = "qspi/resumed"
)

// pausedEngine writes half of the payload, waits, and then writes all of it.
const pausedEngine = `#!/bin/sh
dir=${0%%/usr/sbin/*}
case "$*" in *--payload*no-reboot) ;; *) exec "$0.real" "$@" ;; esac
[ -e "$dir/` + resumedFile + `" ] && exec "$0.real" "$@"
cp "$dir$4" "$dir/qspi/open" # a file that is open stays, whoever removes it
'%[1]s' programs "$dir" --engine-fail dies >/dev/null
"$0.real" "$@"
'%[1]s' programs "$dir" --engine-fail '' >/dev/null
echo $$ >"$dir/` + pausedFile + `.tmp" && mv "$dir/` + pausedFile + `.tmp" "$dir/` + pausedFile + `"
until [ -e "$dir/` + resumedFile + `" ]; do sleep 0.05; done
"$0.real" -i "$2" --payload /qspi/open --no-reboot
echo $? >"$dir/qspi/ended"
`

// replace puts a script in the place of one of NVIDIA's programs, which it finds as "$0.real".
func (o *orin) replace(t *testing.T, program, script string) {
	t.Helper()
	path := o.path("usr/sbin", program)
	if err := os.Rename(path, path+".real"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (o *orin) pauseEngine(t *testing.T) {
	t.Helper()
	o.replace(t, "nv_update_engine", fmt.Sprintf(pausedEngine, suite.orin))
}

// paused waits until the engine has written half of the chain, and returns its process.
func (o *orin) paused(t *testing.T) (pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if b, err := os.ReadFile(o.path(pausedFile)); err == nil {
			if _, err := fmt.Sscan(string(b), &pid); err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatal("nv_update_engine was not run")
	return 0
}

// alive says whether the paused engine still runs.
func (o *orin) alive(t *testing.T) bool {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", o.paused(t)))
	return err == nil && strings.Contains(string(b), o.dir)
}

// killEngine ends the paused engine, unless its caller's end has ended it, and lets later ones run through.
func (o *orin) killEngine(t *testing.T) {
	t.Helper()
	if o.alive(t) {
		kill(t, o.paused(t))
	}
	write(t, o.path(resumedFile), nil)
}

// resumeEngine lets what is left of the engine finish.
func (o *orin) resumeEngine(t *testing.T) {
	t.Helper()
	write(t, o.path(resumedFile), nil)
	for end := time.Now().Add(time.Minute); o.alive(t); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nv_update_engine does not end")
		}
	}
}
