package swupdate_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stall holds an install in the middle of its first image: SWUpdate reads the update from a FIFO that we fill.
type stall struct {
	t       *testing.T
	o       *orin
	feed    *os.File
	program string // what takes that image
	rest    []byte
	done    chan ended
	release context.CancelFunc
}

type ended struct {
	result
	err error
}

// stall feeds the first part of an update, in bytes, and waits for nothing.
func (o *orin) stall(t *testing.T, swu, program string, part int) *stall {
	t.Helper()
	data := read(t, swu)
	fifo := filepath.Join(t.TempDir(), "swu")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), hung)
	s := &stall{t: t, o: o, program: program, rest: data[part:], done: make(chan ended, 1), release: cancel}
	c := o.command(ctx, "-i", fifo)
	go func() {
		r, err := finish(ctx, c)
		s.done <- ended{r, err}
	}()
	var err error
	if s.feed, err = os.OpenFile(fifo, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.feed.Write(data[:part]); err != nil {
		t.Fatal(err)
	}
	return s
}

// workers waits until the program runs and returns its processes, the parent that SWUpdate started first.
func (s *stall) workers() []int {
	s.t.Helper()
	return s.o.workers(s.t, s.program)
}

func (o *orin) workers(t *testing.T, program string) []int {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var pids []int
		environs, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, file := range environs {
			env, _ := os.ReadFile(file)
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			// The worker is called tegra-ota, with its executable's name as first argument.
			words := strings.Split(string(line), "\x00")
			ours := filepath.Base(words[0]) == program || len(words) > 1 && words[1] == program
			// Go's os tries out pidfds with a child that is a copy of the parent and ends at once (checkPidfd, since Go 1.23).
			status, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "status"))
			for _, parent := range pids {
				copied := !strings.Contains(string(line), "\x00--worker\x00")
				ours = ours && !(copied && strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", parent)))
			}
			if err == nil && ours && strings.Contains(string(env), "TEGRA_OTA_ROOT="+o.dir+"\x00") {
				pids = append(pids, pid)
			}
		}
		if len(pids) > 1 {
			return pids
		}
	}
	t.Fatalf("%s did not start its worker", program)
	return nil
}

// finish feeds the rest and returns swupdate's end.
func (s *stall) finish() result {
	s.t.Helper()
	defer s.release()
	_, _ = s.feed.Write(s.rest) // fails when swupdate has gone
	_ = s.feed.Close()
	e := <-s.done
	if e.err != nil {
		s.t.Fatal(e.err)
	}
	return e.result
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// TestKilled kills a process in the middle of a streamed root file system.
func TestKilled(t *testing.T) {
	for _, tt := range []struct {
		name string
		kill func(t *testing.T, pids []int)
		code []int
		says string
	}{
		{"worker", func(t *testing.T, pids []int) { kill(t, pids[len(pids)-1]) }, []int{1}, `tegra-image rootfs.img.zst: .*(signal|killed)`},
		// Started by hand SWUpdate 2022.12 dies of SIGPIPE when its reader has gone: 141 to a shell, -1 here.
		{"parent", func(t *testing.T, pids []int) { kill(t, pids[0]) }, []int{1, -1}, ``},
		{"both", func(t *testing.T, pids []int) {
			for _, pid := range pids {
				kill(t, pid)
			}
		}, []int{1, -1}, ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parallel(t)
			o := newOrin(t)
			b := o.snapshot(t)
			s := o.stall(t, o.good(t, o.image(t)).pack(t), "tegra-image", 2<<20)
			time.Sleep(100 * time.Millisecond)
			tt.kill(t, s.workers())
			r := s.finish()
			if r.code != tt.code[0] && r.code != tt.code[len(tt.code)-1] {
				t.Fatalf("swupdate exits %d, want one of %v:\n%s", r.code, tt.code, r.log)
			}
			if r.code == 1 {
				r.says(t, tt.says)
			} else {
				o.sweep(t)
			}
			o.unharmed(t, b)
		})
	}
}

// sweep removes what the glue could not, because swupdate itself was killed.
func (o *orin) sweep(t *testing.T) {
	t.Helper()
	left, _ := filepath.Glob(filepath.Join(o.tmp, "tegra-ota.*"))
	for _, dir := range left {
		_ = os.RemoveAll(dir)
	}
}

// TestSecondInstall starts an install while another one is writing: it is refused, and the first one goes on unharmed.
func TestSecondInstall(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	image := o.image(t)
	first := o.stall(t, o.good(t, image).pack(t), "tegra-image", 2<<20)
	first.workers()

	second := *o
	second.updater = newUpdater(t, suite.libexec)
	second.env = o.env
	second.install(t, o.good(t, o.image(t)).pack(t)).want(t, 1).says(t, `tegra-image rootfs.img.zst: .*exit 75, busy`)

	first.finish().want(t, 0)
	o.arrives(t, image)
}

// TestAnotherUpdate installs over an update that waits for its reboot: the second one is what boots.
func TestAnotherUpdate(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.install(t, o.good(t, o.image(t)).pack(t)).want(t, 0)
	image := o.image(t)
	o.install(t, o.good(t, image).pack(t)).want(t, 0)
	o.arrives(t, image)
}

// TestFailedOverActivated: a bad update after an activated one leaves nothing armed; the device stays where it is.
func TestFailedOverActivated(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	b := o.snapshot(t)
	o.install(t, o.good(t, o.image(t)).pack(t)).want(t, 0)
	bad := o.good(t, o.image(t))
	bad.members[1] = bad.members[1].with("sha256", digest(nil))
	o.install(t, bad.pack(t)).want(t, 1)
	if s := o.status(t); s.Next != nil && *s.Next != b.slot {
		t.Errorf("slot %s boots next, want %s", *s.Next, b.slot)
	}
	if left, _ := filepath.Glob(o.path("boot/efi/EFI/UpdateCapsule/*")); len(left) > 0 {
		t.Errorf("a capsule is still armed: %v", left)
	}
	o.unharmed(t, b)
}
