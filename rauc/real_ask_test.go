package rauc_test

import (
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// TestUnprivileged: since 1.11 RAUC's command line calls get-current as the user who typed it.
func TestUnprivileged(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	nobody := func(args ...string) (int, string, string) {
		t.Helper()
		c := exec.Command(o.path(libexec, "real/tegra-boot-handler"), args...)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return o.runs(t, c)
	}
	ask := func(primary string, good map[string]string) {
		t.Helper()
		current := o.status(t).Current
		for call, want := range map[string]string{"get-current": current + "\n", "get-primary": primary,
			"get-state A": good["A"], "get-state B": good["B"]} {
			code, out, log := nobody(strings.Fields(call)...)
			if code != 0 || out != want || log != "" {
				t.Errorf("%s as nobody exits %d and says %q, want %q: %s", call, code, out, want, log)
			}
		}
	}
	good := map[string]string{"A": "good\n", "B": "good\n"}
	ask("A\n", good)
	bundle, _ := o.release(t)
	o.at(t, "set-primary", "exit 1")
	o.rauc(t, "install", bundle).want(t, 1)
	ask("A\n", map[string]string{"A": "good\n", "B": "bad\n"})
	o.undisturbed(t, "set-primary")
	bundle, _ = o.release(t)
	o.rauc(t, "install", bundle).want(t, 0)
	ask("B\n", good) // a capsule is armed, and BootChainFwNext absent
	for _, call := range []string{"set-primary A", "set-state A good", "set-state B bad"} {
		if code, _, log := nobody(strings.Fields(call)...); code != 77 || strings.Count(log, "\n") != 1 {
			t.Errorf("%s as nobody exits %d, want 77 and one line: %s", call, code, log)
		}
	}
	ask("B\n", good)
	o.arrives(t, "B", "36.4.3")
	ask("B\n", good)
}

// TestNoEnvironment runs every call with an environment of nothing but the root. RAUC's handlers are told by theirs what is
// installed, and without it say so.
func TestNoEnvironment(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	for _, tt := range []struct {
		call string
		code int
		out  string
	}{
		{"tegra-boot-handler get-primary", 0, "A\n"}, {"tegra-boot-handler get-current", 0, "A\n"},
		{"tegra-boot-handler get-state A", 0, "good\n"}, {"tegra-boot-handler get-state APP_b", 0, "good\n"},
		{"tegra-boot-handler get-state rootfs.1", 0, "good\n"},
		{"tegra-boot-handler set-state B bad", 0, ""}, {"tegra-boot-handler get-state B", 0, "bad\n"},
		{"tegra-boot-handler set-state B good", 0, ""}, {"tegra-boot-handler set-state A good", 0, ""},
		{"tegra-boot-handler set-primary B", 0, ""}, {"tegra-boot-handler get-primary", 0, "B\n"},
		{"tegra-boot-handler set-primary A", 0, ""}, {"tegra-boot-handler get-primary", 0, "A\n"},
		{"tegra-boot-handler get-state C", 64, ""}, {"tegra-boot-handler set-primary", 64, ""}, {"tegra-boot-handler set-state A", 64, ""},
		{"tegra-boot-handler set-state A fine", 64, ""}, {"tegra-boot-handler get-status", 64, ""},
		{"tegra-bup rauc-hook slot-install", 64, ""},
	} {
		args := strings.Fields(tt.call)
		args[0] = o.path(libexec, "real", args[0])
		if _, err := os.Lstat(args[0]); err != nil {
			if err := os.Symlink("../tegra-ota", args[0]); err != nil {
				t.Fatal(err)
			}
		}
		code, out, log := o.runs(t, exec.Command("env", append([]string{"-i", "TEGRA_OTA_ROOT=" + o.dir}, args...)...))
		if code != tt.code || out != tt.out {
			t.Errorf("%s exits %d and says %q, want %d and %q: %s", tt.call, code, out, tt.code, tt.out, log)
		}
		if lines := strings.Count(log, "\n"); tt.code == 0 && lines != 0 || tt.code != 0 && lines != 1 {
			t.Errorf("%s says %q", tt.call, log)
		}
	}
	for _, handler := range []string{"tegra-rauc-pre-install", "tegra-rauc-post-install"} {
		code, out, log := o.runs(t, exec.Command("env", "-i", "TEGRA_OTA_ROOT="+o.dir, o.path(libexec, handler)))
		const says = "RAUC_BUNDLE_MOUNT_POINT is not set"
		if code != 64 || !strings.HasPrefix(out, "<< error ") || !strings.Contains(out, says) || !strings.Contains(log, says) {
			t.Errorf("%s exits %d and says %q: %s", handler, code, out, log)
		}
	}
	code, out, log := o.runs(t, exec.Command("env", "-i", "TEGRA_OTA_ROOT="+o.dir, o.path(libexec, "tegra-rauc-system-info")))
	if code != 0 || !strings.Contains(out, "36.4.0") || log != "" {
		t.Errorf("system-info exits %d and says %q: %s", code, out, log)
	}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if !strings.HasPrefix(line, "RAUC_") || !strings.Contains(line, "=") {
			t.Errorf("system-info says %q", line)
		}
	}
}

// TestLocked: while another program holds the lock a question is answered at once, and a change ends with 75 after 5 s; RAUC's
// clients would wait for 25.
func TestLocked(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	b := o.snapshot(t)
	bundle, _ := o.release(t)
	if err := os.MkdirAll(o.path("run/tegra-ota"), 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(o.path("run/tegra-ota/lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	o.tells(t, b.truth)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("RAUC's status takes %v", took)
	}
	begin = time.Now()
	code, out, log := o.backend(t, "set-state", "B", "bad")
	if took := time.Since(begin); code != 75 || out != "" || strings.Count(log, "\n") != 1 || took < 4*time.Second || took > 9*time.Second {
		t.Errorf("set-state exits %d after %v and says %q %q, want 75 after 5 s and one line", code, took, out, log)
	}
	begin = time.Now()
	o.rauc(t, "install", bundle).want(t, 1)
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("the install fails after %v", took)
	}
	o.same(t, b)
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	o.updates(t)
}

// TestTiming measures every call of RAUC's, and beside it what starting the same executable costs; it runs alone. Changes are
// measured as RAUC repeats them: mark-good at every boot, and so on. The file is for make test to print; go test shows no log
// of a package that passes.
func TestTiming(t *testing.T) {
	o := newOrin(t)
	start := o.median(t, "--version")
	var b strings.Builder
	fmt.Fprintf(&b, "%s: median of %d; the executable alone starts in %s\n", t.Name(), timed, millis(start))
	for _, call := range []string{"get-current", "get-primary", "get-state B", "set-state A good", "set-primary B", "set-primary A",
		"set-state B bad"} {
		took := o.median(t, strings.Fields(call)...)
		fmt.Fprintf(&b, "  tegra-boot-handler %-17s %s, %.1f starts\n", call, millis(took), float64(took)/float64(start))
		if took > time.Second {
			t.Errorf("%s takes %v; RAUC's main loop stands still meanwhile", call, took)
		}
	}
	orintest.Publish(t, "rauc-timing", b.String())
}

// timed is how often each call is measured.
const timed = 50

func (o *orin) median(t *testing.T, args ...string) time.Duration {
	t.Helper()
	all := make([]time.Duration, timed)
	for i := range all {
		c := exec.Command(o.path(libexec, "real/tegra-boot-handler"), args...)
		c.Env = []string{"TEGRA_OTA_ROOT=" + o.dir}
		begin := time.Now()
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("tegra-boot-handler %v: %v: %s", args, err, out)
		}
		all[i] = time.Since(begin)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	return all[timed/2]
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
