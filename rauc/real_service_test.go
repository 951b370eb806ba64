package rauc_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/bustest"
)

// The units: ours, and the one that our drop-in changes.
const (
	examples   = "usr/share/doc/tegra-ota/examples/rauc"
	dropIn     = examples + "/rauc.service.d/50-tegra-ota.conf"
	debianUnit = "/lib/systemd/system/rauc.service"
	markGood   = "usr/lib/systemd/system/tegra-rauc-mark-good.service"
)

// service is one `rauc service`, with all that it starts, in a mount namespace of its own: what it mounted goes when it does.
type service struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	log  string        // a file
}

// startBus starts the device's D-Bus, without a policy.
func (o *orin) startBus(t *testing.T) {
	t.Helper()
	o.bus = bustest.Start(t, bustest.Options{Open: true}).Address
}

// start runs RAUC's service as the drop-in does.
func (o *orin) start(t *testing.T) {
	t.Helper()
	o.launch(t, o.execStart(t, o.path(dropIn)))
	o.named(t)
}

// named waits for the service's name on the bus.
func (o *orin) named(t *testing.T) {
	t.Helper()
	bus := o.connect(t)
	wait(t, "rauc service", func() bool {
		select {
		case <-o.service.done:
			t.Fatalf("rauc service ends at once: %v\n%s", o.service.cmd.Args, o.log(t))
		default:
		}
		return bus.call("de.pengutronix.rauc", "/", "org.freedesktop.DBus.Peer", "Ping") == nil
	})
}

// launch starts a command line as the service. The device's command line of the kernel stands in for this machine's.
func (o *orin) launch(t *testing.T, line string) {
	t.Helper()
	if o.bus == "" {
		o.startBus(t)
	}
	s := &service{done: make(chan struct{}), log: filepath.Join(o.tmp, "service.log")}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	// MountFlags=slave, as Debian's unit has it.
	s.cmd = exec.Command("unshare", "--mount", "--propagation", "slave", "sh", "-c",
		`mount --bind "$TEGRA_OTA_ROOT/proc/cmdline" /proc/cmdline && exec `+line)
	s.cmd.Env = o.env()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	o.service = s
	t.Cleanup(func() { s.kill() })
}

// env is what the service manager gives a service, and the device's root.
func (o *orin) env() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TEGRA_OTA_ROOT=" + o.dir,
		"DBUS_SYSTEM_BUS_ADDRESS=" + o.bus}
}

// kill takes the power from the service and from everything that it started.
func (s *service) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.done
}

// off is the end of a boot for RAUC.
func (o *orin) off() {
	if o.service != nil {
		o.service.kill()
		o.service = nil
	}
}

// log is what the service has said since the device was made.
func (o *orin) log(t *testing.T) string {
	t.Helper()
	return string(read(t, filepath.Join(o.tmp, "service.log")))
}

// execStart is the command of a unit or drop-in for this machine's shell: lines are joined, systemd's doubled characters
// single again, and the device's paths lie below its folder.
func (o *orin) execStart(t *testing.T, unit string) string {
	t.Helper()
	line := ""
	for _, l := range strings.Split(strings.ReplaceAll(string(read(t, unit)), "\\\n", " "), "\n") {
		if command, ok := strings.CutPrefix(l, "ExecStart="); ok {
			line = command
		}
	}
	if line == "" {
		t.Fatalf("%s starts nothing", unit)
	}
	return strings.NewReplacer("$$", "$", "%%", "%", "/usr/bin/rauc", o.path("usr/bin/rauc"), "/"+libexec, o.path(libexec),
		"/run/", o.path("run")+"/", "/etc/", o.path("etc")+"/").Replace(line)
}

// result is the end of one rauc.
type result struct {
	code   int
	stdout string
	stderr string
}

// rauc runs RAUC's command line.
func (o *orin) rauc(t *testing.T, args ...string) result {
	t.Helper()
	c := exec.Command(o.path("usr/bin/rauc"), args...)
	c.Env = o.env()
	code, out, log := o.runs(t, c)
	return result{code: code, stdout: out, stderr: log}
}

// want fails unless rauc exits with code.
func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("rauc exits %d, want %d:\n%s\n%s", r.code, code, r.stdout, r.stderr)
	}
	return r
}

// says fails unless rauc's person is told text.
func (r result) says(t *testing.T, text string) result {
	t.Helper()
	if !strings.Contains(r.stdout+r.stderr, text) {
		t.Errorf("rauc does not say %q:\n%s\n%s", text, r.stdout, r.stderr)
	}
	return r
}

// wait fails if something does not come true within 20 s.
func wait(t *testing.T, what string, come func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !come(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}
