package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// SearchPath is the PATH of the programs that are run, and where others are looked for. The caller's own decides
// nothing here, because updaters run with anything between none and a user's.
const SearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Command is a program of the device to run, without a shell.
type Command struct {
	Path    string        // a path of the device, prefixed as every other
	Args    []string      // without the program's name
	Env     []string      // the whole environment; LC_ALL=C and PATH are added
	Timeout time.Duration // after it the whole process group is killed; 0: only the context ends it
}

// Result is what a program left behind.
type Result struct {
	Stdout, Stderr string
	ExitCode       int // -1 when a signal ended it
}

// outputLimit keeps a babbling program from filling the memory; the end of the output is what explains a failure.
const outputLimit = 64 << 10

// Run runs a program to its end. A non-zero exit is no error: the caller reads ExitCode. The error says why there is none.
func (m *Machine) Run(ctx context.Context, c Command) (Result, error) {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	if p := m.programs[c.Path]; p != nil {
		if err := ctx.Err(); err != nil { // as an executable would not even start
			return Result{ExitCode: -1}, fmt.Errorf("cannot run %s: %w", c.Path, err)
		}
		return p(ctx, m, c)
	}
	cmd := exec.CommandContext(ctx, m.Path(c.Path), c.Args...)
	cmd.Env = append([]string{"LC_ALL=C", "PATH=" + SearchPath}, c.Env...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	// Nobody is left to judge a program that outlives us (nv_update_engine would switch the slot). The signal follows the thread
	// that started it (prctl(2)), so the thread must live on until it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stdout, stderr tail
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	res := Result{Stdout: stdout.String(), Stderr: stderr.String(), ExitCode: -1}
	if cmd.ProcessState != nil {
		res.ExitCode = cmd.ProcessState.ExitCode()
	}
	if err == nil {
		// A program that ended by itself has its result, even if the time ran out just then.
		return res, nil
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && c.Timeout > 0 {
		return res, fmt.Errorf("cannot run %s: %w after %s", c.Path, ctx.Err(), c.Timeout)
	}
	if ctx.Err() != nil {
		return res, fmt.Errorf("cannot run %s: %w", c.Path, ctx.Err())
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return res, nil
	}
	if !errors.Is(err, exec.ErrWaitDelay) {
		return res, fmt.Errorf("cannot run %s: %w", c.Path, err)
	}
	return res, nil
}

// tail keeps the last outputLimit bytes.
type tail struct{ b bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if n > outputLimit {
		p = p[n-outputLimit:]
	}
	if over := t.b.Len() + len(p) - outputLimit; over > 0 {
		t.b.Next(over)
	}
	t.b.Write(p)
	return n, nil
}

func (t *tail) String() string { return t.b.String() }
