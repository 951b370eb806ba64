package dbusapi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/dbusapi"
	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// monitor runs `tegra-bootctl monitor` on the device.
func (r *rig) monitor(args ...string) *exec.Cmd {
	c := r.bus.Command(filepath.Join(suite.bin, "tegra-bootctl"), append([]string{"monitor", "--root", r.dir}, args...)...)
	c.Env = append(c.Env, "TEGRA_OTA_ROOT="+r.dir)
	return c
}

// TestMonitor: the same is told whether the service runs or monitor looks by itself. Values that did not last may be missed by one.
func TestMonitor(t *testing.T) {
	var mu sync.Mutex
	told := map[string]map[string]string{}
	for name, make := range map[string]func(*testing.T) *rig{
		"the service": func(t *testing.T) *rig { return started(t) },
		"itself":      func(t *testing.T) *rig { return newRig(t) },
	} {
		t.Run(name, func(t *testing.T) {
			r := make(t)
			m := orintest.StartMonitor(t, r.monitor("--json"))
			m.Until("Version", "test")
			r.run("tegra-bootctl", "activate", "other")
			m.Until("SlotSwitched", `["B"]`)
			r.run("tegra-bootctl", "activate", "a")
			m.Until("SlotSwitched", `["A"]`)
			r.run("tegra-bootctl", "set-slot-as-unbootable", "1")
			m.Until("Retries", "0")
			mu.Lock()
			defer mu.Unlock()
			told[name] = m.Last()
		})
	}
	t.Cleanup(func() { // behind both, which run in parallel
		if d := cmp.Diff(told["the service"], told["itself"]); d != "" || len(told["itself"]) < 30 {
			t.Errorf("the service tells otherwise than what monitor sees by itself: %s", d)
		}
	})
}

// TestMonitorForPeople: a line is a time, a name and a value, also for somebody without privilege and without the service.
func TestMonitorForPeople(t *testing.T) {
	r := newRig(t)
	nobody := r.bus.CommandAs(65534, 65534, filepath.Join(suite.bin, "tegra-bootctl"), "monitor", "--root", r.dir)
	for _, c := range []*exec.Cmd{r.monitor(), nobody} {
		var out orintest.Log
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		r.wait("lines", func() bool { return strings.Contains(out.String(), "slot B Rootfs") })
		next := map[bool]string{true: "a", false: "b"}[strings.Contains(r.run("tegra-bootctl", "status", "--json"), `"next": "B"`)]
		r.run("tegra-bootctl", "activate", next)
		r.wait("the switch", func() bool { return strings.Contains(out.String(), " SlotSwitched "+strings.ToUpper(next)+"\n") })
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("monitor ends: %v\n%s", err, out.String())
		}
		line := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (slot [AB] )?[A-Z][A-Za-z]+( .+)?$`)
		for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			if !line.MatchString(l) {
				t.Errorf("%q is no line of a monitor", l)
			}
		}
	}
}

// TestMonitorEnds: nobody reads its output any longer, or the bus goes.
func TestMonitorEnds(t *testing.T) {
	r := started(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := r.monitor()
	c.Stdout = write
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	if _, err := read.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	r.run("tegra-bootctl", "activate", "other")
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		_ = c.Process.Kill()
		t.Error("monitor goes on although nobody reads")
	}

	c = r.monitor()
	var out orintest.Log
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r.wait("lines", func() bool { return strings.Contains(out.String(), "slot B Rootfs") })
	r.bus.Stop()
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 74 || !strings.Contains(out.String(), "the connection to the bus was lost") {
		t.Errorf("exit %d:\n%s", code, out.String())
	}
	r.bus.Restart(t)
}

// TestMonitorSeesTheServiceGo: the service is stopped and comes back; what changed in between is told.
func TestMonitorSeesTheServiceGo(t *testing.T) {
	r := started(t)
	m := orintest.StartMonitor(t, r.monitor("--json"))
	m.Until("Version", "test")
	r.kill()
	m.Until(dbusapi.ServiceState, "false")
	r.run("tegra-bootctl", "activate", "other")
	r.start()
	m.Until(dbusapi.ServiceState, "true")
	m.Until("NextSlot", "B")
	if got := m.Values("NextSlot"); !slices.Equal(got, []string{"A", "B"}) {
		t.Errorf("NextSlot was %v", got)
	}
}
