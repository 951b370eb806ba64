package dbusapi_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi"
)

const (
	busy       = dbusapi.BusName + ".Error.Busy"
	unfinished = dbusapi.BusName + ".Error.Unfinished"
)

// Another process has the lock: every method that changes something says so in time, and none has changed anything. Reading,
// Check and Refresh go on.
func TestLocked(t *testing.T) {
	r := started(t)
	before := r.tree()
	r.hold(func() {
		said := make(chan string, 1) // the command line waits longer
		go func() {
			_, _, log := r.try("tegra-bootctl", "activate", "b")
			said <- log
		}()
		const sentence = "cannot lock /run/tegra-ota/lock: another process holds the lock; wait for the other update or slot change to end"
		for _, call := range [][]any{{"Activate", "B"}, {"Commit"}, {"Rollback"}, {"MarkGood", "B"}, {"MarkBad", "B"}} {
			r.fails("Busy", sentence, call[0].(string), call[1:]...)
		}
		if log := <-said; !strings.Contains(log, sentence) {
			t.Errorf("the command line says %s", log)
		}
		for _, name := range []string{"Check", "Refresh"} {
			if _, e := r.timed(name); e.Name != "" {
				t.Errorf("%s: %v", name, e)
			}
		}
	})
	same(t, "the device", before, r.tree())
	r.answers("Activate", "B")
}

// Errors have names, and the command line's sentence, word by word.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		what    string
		prepare func(r *rig)
		name    string
		method  []any
		cli     []string // that says the same
		text    string   // where no command line says it
	}{
		{"no update", func(*rig) {}, "Unavailable", []any{"Activate", ""}, []string{"tegra-bootctl", "activate"}, ""},
		{"no such slot", func(*rig) {}, "InvalidSlot", []any{"Activate", "C"}, []string{"tegra-bootctl", "activate", "C"}, ""},
		{"no name of a slot", func(*rig) {}, "InvalidSlot", []any{"MarkGood", ""}, nil, `cannot name slot "": the slots are A and B`},
		{"no number of a slot", func(*rig) {}, "InvalidSlot", []any{"MarkBad", "2"}, nil, `cannot name slot "2": the slots are A and B`},
		{"torn", torn, "NotBootable", []any{"Activate", "B"}, []string{"tegra-bootctl", "activate", "b"}, ""},
		{"torn, called good", torn, "NotBootable", []any{"MarkGood", "other"}, nil,
			"cannot mark slot B good: its root file system may be half written; install a complete update"},
		{"dirty", dirty, "DirtyFirmware", []any{"Activate", "other"}, []string{"tegra-bootctl", "activate", "other"}, ""},
		{"dirty, called good", dirty, "DirtyFirmware", []any{"MarkGood", "B"}, nil,
			"cannot mark slot B good: its firmware may be half written; install firmware for it; that is the cure"},
		{"one root file system", func(r *rig) {
			r.put("sys/firmware/efi/efivars/RootfsRedundancyLevel-781e084c-a330-417c-b678-38e696380cb9", "\x07\x00\x00\x00\x00\x00\x00\x00")
		}, "Unavailable", []any{"Activate", "B"}, []string{"tegra-bootctl", "activate", "b"}, ""},
		{"no journal", func(r *rig) {
			mounts := r.read("proc/self/mountinfo")
			var left []string
			for _, line := range strings.Split(mounts, "\n") {
				if !strings.Contains(line, " /data ") && !strings.Contains(line, " /boot/efi ") {
					left = append(left, line)
				}
			}
			r.put("proc/self/mountinfo", strings.Join(left, "\n"))
		}, "Unavailable", []any{"Commit"}, []string{"tegra-bootctl", "commit"}, ""},
		{"no variables", func(r *rig) { r.away("sys/firmware/efi/efivars") }, "Unavailable", []any{"Commit"},
			[]string{"tegra-bootctl", "commit"}, ""},
		{"a program that fails", func(r *rig) { r.oldKernel("echo 'Error: memory map failed' >&2; exit 1") }, "IO", []any{"Commit"},
			[]string{"tegra-bootctl", "commit"}, ""},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := newRig(t)
			tt.prepare(r)
			r.start()
			want := tt.text
			if tt.cli != nil {
				want = r.says(tt.cli[0], tt.cli[1:]...)
			}
			r.fails(tt.name, want, tt.method[0].(string), tt.method[1:]...)
		})
	}
}

// torn installs an image that is not what it should be.
func torn(r *rig) {
	if code, out, _ := r.try("tegra-image", "install", "--partition", "APP", "--sha256", strings.Repeat("0", 64), r.image()); code == 0 {
		r.t.Fatalf("an image with a wrong digest is installed: %s", out)
	}
}

// dirty loses power while the firmware writes the other chain, and starts again without it.
func dirty(r *rig) {
	r.run("tegra-bup", "install", r.capsule("36.4.3"))
	r.run("tegra-bootctl", "activate")
	if code, out, log := r.try("virtual-orin", "boot", r.dir, "--cut-phase", "capsule-mb1", "--after-cut", "both-cleared"); code != 1 {
		r.t.Fatalf("exit %d: %s%s", code, out, log)
	}
	r.boot("--cold")
}

// oldKernel takes the retry counts out of sysfs, so that NVIDIA's program refills them, and is that program.
func (r *rig) oldKernel(script string) {
	r.t.Helper()
	r.put("usr/sbin/nvbootctrl", "#!/bin/sh\n"+script+"\n")
	if err := os.Chmod(r.path("usr/sbin/nvbootctrl"), 0o755); err != nil {
		r.t.Fatal(err)
	}
	r.away("sys/devices/platform/bus@0/c360000.pmc/rootfs_retry_count_a")
	r.away("sys/devices/platform/bus@0/c360000.pmc/rootfs_retry_count_b")
}

// A verb that takes longer than its client waits goes on; Operation shows it, and nothing else may begin before it has ended.
func TestUnfinished(t *testing.T) {
	r := newRig(t)
	fifo := r.fifo()
	r.oldKernel("exec cat " + fifo + " > /dev/null") // for at most 4 s: then it is killed
	r.start()
	r.put("run/tegra-ota/committed", "")
	if err := os.Remove(r.path("run/tegra-ota/committed")); err != nil {
		t.Fatal(err)
	}
	r.is("Committed", "b false")
	ended := make(chan dbus.Error, 1)
	go func() {
		_, e := r.timed("Commit")
		ended <- e
	}()
	r.is("Operation", `s "committing"`)
	if _, e := r.timed("MarkBad", "B"); e.Name != busy {
		t.Errorf("two calls at once: %v", e)
	}
	if e := <-ended; e.Name != unfinished || !strings.Contains(e.Error(), "Operation") {
		t.Errorf("Commit: %v", e)
	}
	for _, c := range []struct{ name, want string }{{"Check", ""}, {"Refresh", ""}, {"Rollback", busy}} {
		if _, e := r.timed(c.name); e.Name != c.want {
			t.Errorf("%s meanwhile: %v, want %q", c.name, e, c.want)
		}
	}
	r.is("Operation", `s "committing"`)
	rec := r.record()
	r.must(exec.Command("sh", "-c", "timeout 5 sh -c ': > "+fifo+"'"))
	r.is("Operation", `s "idle"`)
	if got := r.property(manager, dbusapi.BusName, "Committed"); got != "b true" { // idle comes last
		t.Errorf("Operation is idle, and Committed %s", got)
	}
	same(t, "the end", []string{" changes Committed=true", "BootCommitted[A]", " changes Operation=idle"}, texts(rec.news()))
	r.answers("Rollback")
}

// A device that does not answer holds up nobody: what is known can be read, and what has to be read anew says that it takes long.
// LastError says it, too, and then how the verb failed whose caller has gone.
func TestStalledDevice(t *testing.T) {
	r := started(t)
	const file = "proc/sys/kernel/random/boot_id"
	r.away(file)
	if err := syscall.Mkfifo(r.path(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Refresh", "Check", "Commit"} {
		if _, e := r.timed(name); e.Name != unfinished || strings.Contains(e.Error(), "deadline") {
			t.Errorf("%s: %v, want Error.Unfinished and a sentence for people", name, e)
		}
	}
	began := time.Now()
	if got := r.property(manager, dbusapi.BusName, "CurrentSlot"); got != `s "A"` || time.Since(began) > patience {
		t.Errorf("CurrentSlot %s after %v", got, time.Since(began))
	}
	r.lastError("cannot read the device: it does not answer")
	// Let go of whoever reads it, with an identity that is none.
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				if f, err := os.OpenFile(r.path(file), os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil { // somebody reads
					_, _ = f.WriteString("\n")
					_ = f.Close()
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
	}()
	r.is("Operation", `s "idle"`)
	close(stop)
	r.back(file)
	r.done("Refresh")
	r.is("LastError", `s "cannot read the boot identity: /proc/sys/kernel/random/boot_id is empty"`)
	r.answers("Activate", "B")
	r.is("NextSlot", `s "B"`)
	r.is("LastError", `s ""`)
}
