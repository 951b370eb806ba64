package nvbootctrl

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/nvidia"
)

// The kinds of failure that callers tell apart (errors.Is). All are the device's condition, but for ErrTimeout and ErrKilled.
var (
	ErrMissing        = errors.New("nvbootctrl is missing")
	ErrUnknownCommand = errors.New("nvbootctrl of this release lacks the command")
	ErrMemoryMap      = errors.New("nvbootctrl cannot map the scratch registers")
	ErrDevMem         = errors.New("nvbootctrl cannot open /dev/mem")
	ErrVariables      = errors.New("nvbootctrl cannot read UEFI variables")
	ErrTimeout        = errors.New("nvbootctrl does not end")
	ErrKilled         = errors.New("nvbootctrl was killed")
)

// timeout of one call: RAUC's backend has ten seconds for all.
const timeout = 4 * time.Second

// exitUsage is what nvbootctrl ends with when it does not know a command (every release; threads).
const exitUsage = 64

// runner runs NVIDIA's program, and remembers which commands it lacks.
type runner struct {
	m          *device.Machine
	configured string

	mu    sync.Mutex
	lacks map[string]bool
}

// answer is what a call left behind.
type answer struct {
	command string
	stdout  string
	stderr  string
	exit    int
}

// find returns the program's path.
func (r *runner) find() (string, error) {
	if p := nvidia.Find(r.m, "nvbootctrl", r.configured); p != "" {
		return p, nil
	}
	where := "neither in /usr/sbin nor in " + device.SearchPath
	if r.configured != "" {
		where = "not at " + r.configured + ", where the configuration says"
	}
	return "", fail.New(fail.Unavailable, "cannot run nvbootctrl: it is %s", where).Of(ErrMissing).
		Then("install NVIDIA's package (nvidia-l4t-tools on R32 and R35, nvidia-l4t-bootloader-utils later; tegra-nvbootctrl from meta-tegra)")
}

// run runs one command to its end. The exit code is the caller's to judge, but for a command that the release lacks.
func (r *runner) run(ctx context.Context, args ...string) (answer, error) {
	a := answer{command: "nvbootctrl " + strings.Join(args, " ")}
	kind := kindOf(args)
	if r.isLacking(kind) {
		return a, r.lacking(a)
	}
	program, err := r.find()
	if err != nil {
		return a, err
	}
	res, err := r.m.Run(ctx, device.Command{Path: program, Args: args, Timeout: timeout})
	a.stdout, a.stderr, a.exit = res.Stdout, res.Stderr, res.ExitCode
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return a, fail.New(fail.IO, "cannot run `%s`: it did not end in time: %w", a.command, err).Of(ErrTimeout).
			Then("run it by hand; the kernel's log may name the device it waits for")
	case err != nil:
		return a, fail.New(fail.CodeOf(err), "cannot run `%s`: %w", a.command, err)
	case a.exit == exitUsage:
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.lacks == nil {
			r.lacks = map[string]bool{}
		}
		r.lacks[kind] = true
		return a, r.lacking(a)
	case a.exit < 0:
		return a, fail.New(fail.IO, "cannot run `%s`: a signal ended it", a.command).Of(ErrKilled).Then("see the kernel's log for the reason")
	}
	return a, nil
}

// change runs a command whose effect the caller reads back. So it may fail for want of /dev/mem: then it has done its work
// all the same (orb-software).
func (r *runner) change(ctx context.Context, args ...string) error {
	if err := r.do(ctx, args...); !errors.Is(err, ErrDevMem) {
		return err
	}
	return nil
}

// do runs a command that changes something: it has to succeed.
func (r *runner) do(ctx context.Context, args ...string) error {
	a, err := r.run(ctx, args...)
	if err != nil {
		return err
	}
	if a.exit != 0 {
		return a.failure(nil)
	}
	return nil
}

// ask runs a command and reads its output. Output that is complete counts whatever the exit code, because the program also
// fails after it has said everything (without /dev/mem; orb-software).
func ask[T any](ctx context.Context, r *runner, parse func(string) (T, error), args ...string) (T, error) {
	var none T
	a, err := r.run(ctx, args...)
	if err != nil {
		return none, err
	}
	v, err := parse(a.stdout)
	if err == nil {
		return v, nil
	}
	return none, a.failure(err)
}

// failure explains a call that failed, or whose output is not complete. The texts are those of public threads: meta-tegra
// 1832 and 1833, orb-software, meta-tegra 1767.
func (a answer) failure(incomplete error) error {
	said := a.stderr + "\n" + a.stdout
	has := func(text string) bool { return strings.Contains(strings.ToLower(said), text) }
	switch {
	case has("memory map failed"):
		return fail.New(fail.Unavailable, "cannot run `%s`: the kernel does not let it map the scratch registers (memory map failed)", a.command).
			Of(ErrMemoryMap).Then("build the kernel without CONFIG_IO_STRICT_DEVMEM, or boot it with iomem=relaxed")
	case has("can not open /dev/mem"), has("cannot open /dev/mem"):
		return fail.New(fail.Unavailable, "cannot run `%s`: there is no /dev/mem it may open", a.command).Of(ErrDevMem).
			Then("run it as root; if it still fails, build the kernel with CONFIG_DEVMEM")
	case has("read variable") && has("failed"), has("invalid current bootloader slot"):
		return fail.New(fail.Unavailable, "cannot run `%s`: it cannot read UEFI variables (%s)", a.command, lastLine(said)).Of(ErrVariables).
			Then("run: mount -t efivarfs efivarfs /sys/firmware/efi/efivars")
	case a.exit != 0:
		return fail.New(fail.Unavailable, "cannot run `%s`: it ended with exit %d: %s", a.command, a.exit, lastLine(said)).
			Then("run it by hand; it needs root and /etc/nv_boot_control.conf")
	}
	return incomplete
}

func (r *runner) isLacking(kind string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lacks[kind]
}

func (r *runner) lacking(a answer) error {
	return fail.New(fail.Unavailable, "cannot run `%s`: nvbootctrl of this release has no such command", a.command).Of(ErrUnknownCommand)
}

// kindOf is a command without its slot.
func kindOf(args []string) string {
	if n := len(args); n > 0 && (args[n-1] == "0" || args[n-1] == "1") {
		args = args[:n-1]
	}
	return strings.Join(args, " ")
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return clip(lines[len(lines)-1])
}
