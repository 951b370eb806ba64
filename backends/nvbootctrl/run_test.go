package nvbootctrl_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/nvbootctrl"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Every known failure has a name, an exit code and a next step, in every dialect.
func TestKnownFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		result device.Result
		err    error
		kind   error
		code   fail.Code
		next   string
	}{
		{"memory map", device.Result{Stdout: "num_slots: 2\n", Stderr: "Error: memory map failed\n", ExitCode: 1}, nil, nvbootctrl.ErrMemoryMap, fail.Unavailable, "CONFIG_IO_STRICT_DEVMEM"},
		{"memory map on stdout with exit 0", device.Result{Stdout: "num_slots: 2\nError: memory map failed\n"}, nil, nvbootctrl.ErrMemoryMap, fail.Unavailable, "CONFIG_IO_STRICT_DEVMEM"},
		{"/dev/mem", device.Result{Stderr: "Error: can not open /dev/mem\n", ExitCode: 1}, nil, nvbootctrl.ErrDevMem, fail.Unavailable, "CONFIG_DEVMEM"},
		{"efivarfs", device.Result{Stderr: "Error: read variable BootChainFwCurrent failed!\nError: invalid current bootloader slot: return(-22)\n", ExitCode: 234}, nil,
			nvbootctrl.ErrVariables, fail.Unavailable, "mount -t efivarfs"},
		{"the slot is invalid", device.Result{Stdout: "Error: invalid current bootloader slot: return(-22)\n", ExitCode: 1}, nil, nvbootctrl.ErrVariables, fail.Unavailable, "mount"},
		{"another failure", device.Result{Stderr: "Error: something\n", ExitCode: 3}, nil, nil, fail.Unavailable, "/etc/nv_boot_control.conf"},
		{"it says nothing", device.Result{}, nil, nil, fail.Unavailable, ""},
		{"it babbles", device.Result{Stdout: strings.Repeat("slot! ", 10000)}, nil, nil, fail.Unavailable, ""},
		{"it hangs", device.Result{ExitCode: -1}, fmt.Errorf("cannot run: %w after 4s", context.DeadlineExceeded), nvbootctrl.ErrTimeout, fail.IO, "by hand"},
		{"it is killed", device.Result{ExitCode: -1}, nil, nvbootctrl.ErrKilled, fail.IO, "kernel's log"},
		{"the kernel refuses it", device.Result{ExitCode: -1}, &os.PathError{Op: "fork/exec", Path: program, Err: os.ErrPermission}, nil, fail.Permission, ""},
		{"the dump is no command", device.Result{ExitCode: 64}, nil, nvbootctrl.ErrUnknownCommand, fail.Unavailable, ""},
	} {
		for _, dialect := range []string{"r32-old", "r32", "r35-early", "r35"} {
			f := newFake(dialect)
			f.answer = func(string) (device.Result, error) { return tt.result, tt.err }
			if tt.result == (device.Result{}) {
				f.answer = func(string) (device.Result, error) { return device.Result{Stdout: "\n"}, nil }
			}
			b := backend(machine(t, f), chip.T194)
			_, readErr := b.Read(ctx)
			for verb, err := range map[string]error{"read": readErr, "writable": b.Writable(ctx), "mark": b.MarkUnbootable(ctx, backends.B), "next": b.SetNext(ctx, backends.B)} {
				if err == nil || tt.kind != nil && !errors.Is(err, tt.kind) || fail.CodeOf(err) != tt.code || !strings.Contains(fail.NextOf(err), tt.next) || len(err.Error()) > 500 {
					t.Errorf("%s, %s, %s: %s, %v", tt.name, dialect, verb, fail.CodeOf(err), err)
				}
			}
			for _, call := range f.calls {
				if strings.Contains(call, "set-") || strings.Contains(call, "mark-") {
					t.Errorf("%s, %s: %q was called though nothing could be read", tt.name, dialect, call)
				}
			}
		}
	}
}

// Output that is complete counts, although the program failed after it.
func TestCompleteOutputCountsWhateverTheExitCode(t *testing.T) {
	for _, dialect := range []string{"r32-old", "r32", "r35-early", "r35"} {
		f := newFake(dialect)
		whole := newFake(dialect)
		m := machine(t, whole)
		f.answer = func(args string) (device.Result, error) {
			r, err := whole.run(ctx, m, device.Command{Args: strings.Fields(args)})
			if strings.Contains(args, "dump") || strings.Contains(args, "current") {
				r.Stdout, r.ExitCode = "Error: can not open /dev/mem\n"+r.Stdout, 1
			}
			return r, err
		}
		if st := read(t, backend(machine(t, f), chip.T194)); st.Current != backends.A || len(st.Slots) != 2 {
			t.Errorf("%s: %+v", dialect, st)
		}
	}
}

// Without /dev/mem the program does its work and fails: what is read back decides, unless nothing can be.
func TestWorkDoneWithoutDevMemCounts(t *testing.T) {
	for _, dialect := range []string{"r32-old", "r35"} {
		f, whole := newFake(dialect), newFake(dialect)
		m := machine(t, whole)
		f.answer = func(args string) (device.Result, error) {
			r, err := whole.run(ctx, m, device.Command{Args: strings.Fields(args)})
			if !strings.HasPrefix(args, "is-") {
				r.Stderr, r.ExitCode = "Error: can not open /dev/mem\n", 1
			}
			return r, err
		}
		b := backend(machine(t, f), chip.T194)
		must(t, b.SetNext(ctx, backends.B))
		whole.ignores = true
		if err := b.CancelNext(ctx); err == nil {
			t.Errorf("%s: nothing was done, and that counts", dialect)
		}
		if dialect == "r35" {
			if err := b.ClearTrial(ctx); !errors.Is(err, nvbootctrl.ErrDevMem) {
				t.Errorf("verify cannot reset a register without /dev/mem: %v", err)
			}
		}
	}
}

// A command that the release lacks is asked for once.
func TestUnknownCommandsAreRemembered(t *testing.T) {
	f := newFake("r32-old")
	f.lacks = append(f.lacks, "is-unified-enabled", "is-rootfs-ab-enabled")
	b := backend(machine(t, f), chip.T186)
	for range 3 {
		read(t, b)
	}
	for command, want := range map[string]int{"is-unified-enabled": 1, "is-rootfs-ab-enabled": 1, "dump-slots-info": 3} {
		n := 0
		for _, c := range f.calls {
			if c == command {
				n++
			}
		}
		if n != want {
			t.Errorf("%s: asked %d times, want %d: %q", command, n, want, f.calls)
		}
	}
}

func TestMissingProgram(t *testing.T) {
	m := machine(t, nil)
	for name, b := range map[string]*nvbootctrl.Backend{
		"nowhere": backend(m, chip.T194), "not where it is configured": nvbootctrl.New(m, chip.T194, nvbootctrl.Options{Program: "/opt/nvbootctrl"}),
	} {
		_, readErr := b.Read(ctx)
		for verb, err := range map[string]error{"read": readErr, "writable": b.Writable(ctx), "mark": b.MarkBootable(ctx, backends.A)} {
			if !errors.Is(err, nvbootctrl.ErrMissing) || fail.CodeOf(err) != fail.Unavailable || !strings.Contains(fail.NextOf(err), "install") {
				t.Errorf("%s, %s: %v", name, verb, err)
			}
		}
	}
}

// A real executable: its environment, its arguments, its exit code, and its end when it hangs.
func TestRealProgram(t *testing.T) {
	m := machine(t, nil)
	put(t, m, "/opt/nvbootctrl", "#!/bin/sh\n[ \"$LC_ALL\" = C ] || exit 9\ncase \"$*\" in\nget-current-slot) echo 1;;\n"+
		"dump-slots-info) cat <<'END'\n"+strings.NewReplacer("slot: A", "slot: B").Replace(r32New)+"END\nexit 1;;\nis-slot-bootable*) exit 0;;\n*) exit 64;;\nesac\n")
	b := nvbootctrl.New(m, chip.T194, nvbootctrl.Options{Program: "/opt/nvbootctrl"})
	must(t, b.Writable(ctx))
	if st := read(t, b); st.Current != backends.B || st.NextPending || *st.Slots[backends.A].Retries != 7 {
		t.Errorf("%+v", st)
	}
	put(t, m, "/opt/nvbootctrl", "#!/bin/sh\nsleep 60\n")
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := b.Writable(short); !errors.Is(err, nvbootctrl.ErrTimeout) || time.Since(begun) > 3*time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
	put(t, m, "/opt/nvbootctrl", "#!/bin/sh\nkill -9 $$\n")
	if err := b.Writable(ctx); !errors.Is(err, nvbootctrl.ErrKilled) {
		t.Error(err)
	}
}
