package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	unit    = "tegra-slotd.service"
	busName = "io.github.tegra_ota.SlotManager"
	object  = "/io/github/tegra_ota/SlotManager"
	orin    = "/orin"
	efivars = "/sys/firmware/efi/efivars"
	bootctl = "/usr/libexec/tegra-ota/tegra-bootctl"
)

var checks = []check{
	{"the machine becomes a device", prepare},
	{"the service does not run yet", func() error { return wantProperty("ActiveState", "inactive") }},
	{"a call of nobody's starts it by D-Bus activation", activate},
	{"its privileges are what the unit leaves", wantPrivileges},
	{"paths are writable that have to be, and no others", wantPaths},
	{"disks can be read and not written", wantDevices},
	{"an ESP that is mounted later is seen, and writable", wantMountsSeen},
	{"MarkBad and MarkGood rewrite an immutable variable", wantMarked},
	{"Activate makes variables, and writes journal and ESP", wantActivated},
	{"the command line sees outside what the service did inside", wantSameView},
	{"nobody is refused, a member of the group is not", wantGroup},
	{"it comes back after a crash", wantRestart},
	{"it comes back, unasked, after a restart of the bus", wantBack},
}

// prepare: on a real device the variables are immutable, and their file system is one of its own below /sys.
func prepare() error {
	folder := orin + efivars
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) == 0 {
		return fmt.Errorf("no variables: %w", err)
	}
	for _, e := range entries {
		if err := setImmutable(folder + "/" + e.Name()); err != nil {
			return err
		}
	}
	for _, point := range []string{"/sys/firmware", efivars} {
		if err := os.MkdirAll(point, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", point, "tmpfs", 0, ""); err != nil {
			return fmt.Errorf("cannot mount a stand-in on %s: %w", point, err)
		}
	}
	return nil
}

func setImmutable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0x10) // FS_IMMUTABLE_FL
}

// call calls a method of the service's manager.
func call(as []string, method string, args ...string) (string, error) {
	line := append(append(as, "busctl", "call", busName, object, busName, method), args...)
	return output(line[0], line[1:]...)
}

var (
	root   []string
	nobody = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"}
	member = []string{"setpriv", "--reuid=65534", "--regid=65534", "--groups=tegra-ota", "--"}
)

func activate() error {
	answer, err := call(nobody, "Check")
	if err == nil && !strings.HasPrefix(answer, "aa{sv} ") {
		err = fmt.Errorf("Check answers %q", answer)
	}
	return errors.Join(err, wantProperty("ActiveState", "active"))
}

func wantProperty(name, want string) error {
	got, err := property(name)
	if err == nil && got != want {
		err = fmt.Errorf("%s of %s is %q, want %q", name, unit, got, want)
	}
	return err
}

func wantPrivileges() error {
	pid, err := property("MainPID")
	if err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return err
	}
	// CAP_DAC_OVERRIDE is bit 1, CAP_LINUX_IMMUTABLE bit 9. 2: a filter of system calls.
	for _, want := range []string{"CapEff:\t0000000000000202", "CapBnd:\t0000000000000202", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), want+"\n") {
			err = errors.Join(err, fmt.Errorf("/proc/%s/status lacks %q", pid, want))
		}
	}
	return err
}

// inside runs a line of shell in the service's control group and mount namespace, with all of root's capabilities: what it
// cannot do there, the service cannot.
func inside(line string) (string, error) {
	pid, err := property("MainPID")
	if err != nil {
		return "", err
	}
	group, err := property("ControlGroup")
	if err != nil {
		return "", err
	}
	const enter = `echo $$ >"/sys/fs/cgroup$1/cgroup.procs" && exec nsenter --target "$2" --mount -- sh -c "$3"`
	return output("sh", "-c", enter, "sh", group, pid, line)
}

func wantPaths() (all error) {
	for path, want := range map[string]bool{
		"/data": true, "/boot": true, "/run/tegra-ota": true, efivars: true, orin: true,
		"/": false, "/usr": false, "/etc": false, "/var": false, "/tmp": false, "/sys/firmware": false, "/proc/sys/kernel/domainname": false,
		"/sys/fs/cgroup/cgroup.procs": false, "/home": false,
	} {
		_, err := inside("test -w " + path)
		if (err == nil) != want {
			all = errors.Join(all, fmt.Errorf("%s: writable %t, want %t (%v)", path, err == nil, want, err))
		}
	}
	return all
}

func wantDevices() error {
	_, err := inside("exec 3</dev/ubda")
	for _, open := range []string{"3<>/dev/ubda", "3</dev/mem", "3</dev/kmsg"} {
		if _, opened := inside("exec " + open); opened == nil {
			err = errors.Join(err, fmt.Errorf("%s can be opened", open))
		}
	}
	return err
}

func wantMountsSeen() error {
	if err := unix.Mount("tmpfs", "/boot/efi", "tmpfs", 0, ""); err != nil {
		return err
	}
	defer func() { _ = unix.Unmount("/boot/efi", 0) }()
	if err := os.WriteFile("/boot/efi/here", nil, 0o644); err != nil {
		return err
	}
	_, err := inside("test -e /boot/efi/here && : >/boot/efi/there")
	if err == nil {
		_, err = os.Stat("/boot/efi/there")
	}
	return err
}

// wantMarked: the kernel calls an immutable file "operation not permitted" until the flag is cleared, which takes a capability.
func wantMarked() error {
	status := orin + efivars + "/RootfsStatusSlotB-781e084c-a330-417c-b678-38e696380cb9"
	for _, step := range []struct {
		method string
		value  byte
	}{{"MarkBad", 0xff}, {"MarkGood", 0}} {
		if _, err := call(root, step.method, "s", "B"); err != nil {
			return err
		}
		content, err := os.ReadFile(status)
		if err != nil {
			return err
		}
		if len(content) != 8 || content[4] != step.value { // four bytes of attributes, then the number
			return fmt.Errorf("after %s the status is % x", step.method, content)
		}
		if err := os.WriteFile(status, content, 0o644); !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("after %s the variable is no longer immutable: %v", step.method, err)
		}
	}
	return nil
}

func wantActivated() error {
	if _, err := call(root, "Activate", "s", "B"); err != nil {
		return err
	}
	var all error
	for _, path := range []string{efivars + "/BootChainFwNext-781e084c-a330-417c-b678-38e696380cb9", "/data/tegra-ota/journal.json",
		"/boot/efi/EFI/tegra-ota", "/run/tegra-ota/journal.json"} {
		if _, err := os.Stat(orin + path); err != nil {
			all = errors.Join(all, err)
		}
	}
	got, err := output("busctl", "get-property", busName, object, busName, "NextSlot")
	if err == nil && got != `s "B"` {
		err = fmt.Errorf("NextSlot is %s", got)
	}
	return errors.Join(all, err)
}

func wantSameView() error {
	got, err := output(bootctl, "status", "--root", orin)
	if err == nil && !strings.Contains(got, "\nupdate: activated, slot B\n") {
		err = fmt.Errorf("tegra-bootctl says:\n%s", got)
	}
	return err
}

func wantGroup() error {
	out, err := call(nobody, "Rollback")
	if err == nil || !strings.Contains(out, "Access denied") {
		return fmt.Errorf("Rollback by nobody: %v, want it refused", err)
	}
	_, err = call(member, "Rollback")
	return err
}

// wantRestart kills the service.
func wantRestart() error {
	_, err := output("systemctl", "kill", "--signal=KILL", unit)
	if err != nil {
		return err
	}
	return errors.Join(within(20*time.Second, "a second start", func() bool { n, _ := property("NRestarts"); return n == "1" }),
		within(20*time.Second, "active", func() bool { return wantProperty("ActiveState", "active") == nil }), activate())
}

// wantBack kills the bus, which systemd starts anew when somebody connects. Nobody calls the service.
func wantBack() error {
	if _, err := output("systemctl", "kill", "--signal=KILL", "dbus.service"); err != nil {
		return err
	}
	return within(20*time.Second, "the name on the new bus", func() bool {
		const bus = "org.freedesktop.DBus"
		out, err := output("busctl", "call", bus, "/org/freedesktop/DBus", bus, "NameHasOwner", "s", busName)
		return err == nil && out == "b true"
	})
}
