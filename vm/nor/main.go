// Command nor is the first and only process of the virtual machine with a NOR flash chip: QEMU's ast2600-evb with the kernel's
// spi-nor driver, which a Jetson's flash has, too. It loads the driver, runs the tests of this boot on the chip, and reports on
// the console as vm/init does:
//
//	vm: PASS NAME (seconds)
//	vm: FAIL NAME (seconds)
//	vm: boot N complete: P passed, F failed
//
// Whoever reads the console may trust the last line alone: it is missing whenever the machine did not get that far.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
	"github.com/tegra-ota/tegra-ota/vm/guest"
)

// program is a compiled test, those of its tests that are to run, and on what.
type program struct {
	path, tests string
	arguments   []string
}

// conformance are the tests of internal/mtd on the device of that name.
func conformance(tests, name string, more ...string) program {
	return program{"/tests/mtd.test", tests, append([]string{"-mtd", name}, more...)}
}

// boots says what runs at which boot, from 1: the whole chip as one device, partitions from the device tree (board.sh), and
// another chip, which can be locked. The last one also says it for all that follow: the update that run.sh cuts.
var boots = [][]program{
	{conformance("TestConformance|TestReadOnly|TestListed", "bmc")},
	{
		conformance("TestConformance|TestReadOnly|TestListed", "A_mb1"), conformance("TestListed", `name with "blanks"`),
		conformance("TestReadOnlyPartition", "read only"),
	},
	{conformance("TestConformance|TestLockedChip", "bmc", "-mtd-locks")},
	{{"/tests/nor.test", "TestUpdate", []string{"-kernel", "-step", "update"}}},
}

// lastDevice is the name of a second chip that QEMU's board has, which the driver finds last.
const lastDevice = "pnor"

type tally struct{ passed, failed int }

func main() {
	fmt.Println() // ends a line that the kernel left unfinished
	boot, t, err := run()
	if err != nil {
		say("FAIL %v", err)
		t.failed++
	}
	say("boot %d complete: %d passed, %d failed", boot, t.passed, t.failed)
	// QEMU runs with -no-reboot, so this ends it. This board cannot power itself off.
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		say("FAIL reboot: %v", err)
	}
	// The first process must not return: the kernel would panic, which ends the machine as well.
}

func say(format string, args ...any) { fmt.Printf("vm: "+format+"\n", args...) }

func run() (boot int, t tally, err error) {
	if err := prepare(); err != nil {
		return 0, t, err
	}
	if boot, err = guest.Boot(); err != nil {
		return 0, t, err
	}
	for _, p := range boots[min(boot, len(boots))-1] {
		if err := p.run(&t); err != nil {
			return boot, t, err
		}
	}
	return boot, t, nil
}

// prepare mounts what the tests expect, loads the driver and waits for its devices.
func prepare() error {
	for point, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs", "/tmp": "tmpfs", "/data": "tmpfs"} {
		if err := os.MkdirAll(point, 0o755); err != nil {
			return fmt.Errorf("cannot mount %s: %w", kind, err)
		}
		if err := unix.Mount(kind, point, kind, 0, ""); err != nil {
			return fmt.Errorf("cannot mount %s on %s: %w", kind, point, err)
		}
	}
	order, err := os.ReadFile("/modules/order")
	if err != nil {
		return fmt.Errorf("cannot load the kernel's modules: %w", err)
	}
	for _, name := range strings.Fields(string(order)) {
		if err := loadModule(filepath.Join("/modules", name)); err != nil {
			return fmt.Errorf("cannot load module %s: %w", name, err)
		}
	}
	return await(lastDevice)
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if filepath.Ext(path) != ".ko" { // .ko.xz, .ko.zst: the kernel unpacks them itself
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	return unix.FinitModule(int(f.Fd()), "", flags)
}

// await waits for a flash device: the kernel finds chips on its own time.
func await(name string) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		parts, err := mtd.List(device.New("/"))
		if err != nil {
			return err
		}
		for _, p := range parts {
			if p.Name == name {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cannot find the flash chips: the kernel lists %+v", parts)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// run runs the tests and adds their results. A program without any result, or with a bad end and no failed test, is an error.
func (p program) run(t *tally) error {
	before := *t
	cmd := exec.Command(p.path, append([]string{"-test.v", "-test.run", "^(" + p.tests + ")$", "-test.timeout", "100s"}, p.arguments...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=/", "PATH=/bin", "TMPDIR=/tmp"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", p.path, err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		t.line(lines.Text())
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("cannot read the output of %s: %w", p.path, err)
	}
	err = cmd.Wait()
	switch {
	case err != nil && t.failed == before.failed:
		return fmt.Errorf("%s %s: %w", p.path, p.tests, err)
	case t.passed == before.passed && t.failed == before.failed:
		return fmt.Errorf("%s ran no test named %s", p.path, p.tests)
	}
	return nil
}

// line counts and shows a line of go test -v. A skipped test is a failed one: everything that a test may need is here.
func (t *tally) line(text string) {
	trimmed := strings.TrimSpace(text)
	result, name, ok := strings.Cut(trimmed, ": ")
	switch {
	case ok && result == "--- PASS":
		t.passed++
		say("PASS %s", name)
	case ok && (result == "--- FAIL" || result == "--- SKIP"):
		t.failed++
		say("FAIL %s", name)
	case trimmed == "", trimmed == "PASS", trimmed == "FAIL", strings.HasPrefix(trimmed, "=== "):
	default:
		say("     %s", text)
	}
}
