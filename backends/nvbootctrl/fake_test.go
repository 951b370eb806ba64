package nvbootctrl_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/nvbootctrl"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
)

var ctx = context.Background()

const program = "/usr/sbin/nvbootctrl"

// slot is one slot of the fake's metadata: of SMD on R32, of the scratch register and variables later.
type slot struct {
	priority, retry int
	successful      bool
	status          string // "normal", "unbootable": R35 and later
}

// fake is NVIDIA's program and what it changes.
type fake struct {
	dialect string // r32-old, r32, r35-early, r35
	current int
	active  int // R35 and later, where there are no variables
	slots   [2]slot
	unified int // exit codes of is-unified-enabled and is-rootfs-ab-enabled
	rootAB  int
	root    int // active in the rootfs view of R32
	version string
	lacks   []string // commands that end with 64
	ignores bool     // set-active-boot-slot succeeds and does nothing
	lazy    bool     // so do marks
	answer  func(args string) (device.Result, error)
	calls   []string

	confirmed int // how often userspace spoke up
}

func newFake(dialect string) *fake {
	f := &fake{dialect: dialect, unified: 69, rootAB: 0, version: "36.4.0"}
	f.slots = [2]slot{{15, 7, true, "normal"}, {14, 7, true, "normal"}}
	switch {
	case dialect == "r32-old":
		f.unified, f.rootAB = 64, 64
	case !f.smd():
		f.rootAB = 1
		f.slots[0].retry, f.slots[1].retry = 3, 3
	}
	return f
}

func (f *fake) smd() bool { return strings.HasPrefix(f.dialect, "r32") }

func (f *fake) bootable(i int) bool { return f.slots[i].priority > 0 && f.slots[i].retry > 0 }

// next is the slot that MB1 takes; -1 for none.
func (f *fake) next() int {
	best := -1
	for i := range f.slots {
		if f.bootable(i) && (best < 0 || f.slots[i].priority > f.slots[best].priority) {
			best = i
		}
	}
	return best
}

func (f *fake) run(_ context.Context, m *device.Machine, c device.Command) (device.Result, error) {
	args := strings.Join(c.Args, " ")
	f.calls = append(f.calls, args)
	if f.answer != nil {
		if r, err := f.answer(args); err != nil || r != (device.Result{}) {
			return r, err
		}
	}
	view := "bootloader"
	if rest, ok := strings.CutPrefix(args, "-t "); ok {
		view, args, _ = strings.Cut(rest, " ")
	}
	command, arg, _ := strings.Cut(args, " ")
	for _, l := range f.lacks {
		if l == command {
			return device.Result{ExitCode: 64}, nil
		}
	}
	f.follow(m)
	i := 0
	if arg == "1" {
		i = 1
	}
	change := func(do func()) (device.Result, error) {
		err := m.Change("nvbootctrl "+args, func() error { do(); return f.store(m) })
		if err != nil {
			return device.Result{ExitCode: -1}, err
		}
		return device.Result{}, nil
	}
	switch command {
	case "get-current-slot":
		return device.Result{Stdout: fmt.Sprintln(f.current)}, nil
	case "dump-slots-info":
		return device.Result{Stdout: f.dump(view)}, nil
	case "is-rootfs-ab-enabled":
		return device.Result{ExitCode: f.rootAB}, nil
	case "set-active-boot-slot":
		if f.ignores {
			return device.Result{}, nil
		}
		return change(func() { f.setActive(view, i) })
	case "verify":
		if f.smd() {
			break
		}
		return change(func() { f.slots[f.current].retry = 3 })
	}
	if !f.smd() {
		return device.Result{ExitCode: 64}, nil
	}
	switch command {
	case "is-unified-enabled":
		return device.Result{ExitCode: f.unified}, nil
	case "mark-boot-successful", "set-slot-as-unbootable":
		if f.lazy {
			return device.Result{}, nil
		}
	}
	switch command {
	case "mark-boot-successful": // tegra-boot-tools smd_slot_mark_successful
		f.confirmed++
		if own := f.slots[f.current]; own.successful && own.retry == 7 && own.priority == 15 && f.slots[1-f.current].priority < 15 {
			return device.Result{}, nil
		}
		return change(func() {
			own, other := &f.slots[f.current], &f.slots[1-f.current]
			own.successful, own.retry, own.priority = true, 7, 15
			if other.priority >= 15 {
				other.priority = 14
			}
		})
	case "set-slot-as-unbootable":
		return change(func() { f.slots[i].priority, f.slots[i].retry, f.slots[i].successful = 0, 0, false })
	}
	return device.Result{ExitCode: 64}, nil
}

func (f *fake) setActive(view string, i int) {
	switch {
	case !f.smd():
		f.active = i
	case view == "rootfs":
		f.root = i
	default: // tegra-boot-tools smd_slot_mark_active
		f.slots[i] = slot{15, 7, false, "normal"}
		if f.slots[1-i].priority > 14 {
			f.slots[1-i].priority = 14
		}
	}
}

// follow and store keep the variables, where there are any, and the fake the same.
func (f *fake) follow(m *device.Machine) {
	s := efivarfs.New(m)
	if v, err := s.Read(efivarfs.BootChainFwNext); err == nil {
		f.active = int(v.Data[0])
	} else if s.Available() == nil {
		f.active = f.current
	}
}

func (f *fake) store(m *device.Machine) error {
	host := m.Path(efivarfs.Dir)
	if _, err := os.Stat(host); err != nil || f.smd() {
		return nil
	}
	return os.WriteFile(filepath.Join(host, efivarfs.BootChainFwNext.String()), []byte{7, 0, 0, 0, byte(f.active), 0, 0, 0}, 0o644)
}

// machine has the fake as its nvbootctrl, and nothing else but the board's description.
func machine(t testing.TB, f *fake) *device.Machine {
	t.Helper()
	m := device.New(t.TempDir())
	put(t, m, "etc/nv_boot_control.conf", "TNSPEC 3668-100-0001--1-0-jetson-xavier-nx-devkit-mmcblk0p1\nCOMPATIBLE_SPEC 3668-100---1--jetson-xavier-nx-devkit-\n")
	if f == nil {
		return m
	}
	put(t, m, program, "")
	return m.WithProgram(program, f.run)
}

func put(t testing.TB, m *device.Machine, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.Path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Path(name), []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// variable sets a UEFI variable of four bytes.
func variable(t testing.TB, m *device.Machine, n efivarfs.Name, value byte) {
	t.Helper()
	put(t, m, efivarfs.Dir+"/"+n.String(), string([]byte{7, 0, 0, 0, value, 0, 0, 0}))
}

func backend(m *device.Machine, c chip.Chip) *nvbootctrl.Backend {
	return nvbootctrl.New(m, c, nvbootctrl.Options{})
}

func read(t testing.TB, b backends.Backend) backends.State {
	t.Helper()
	st, err := b.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }
