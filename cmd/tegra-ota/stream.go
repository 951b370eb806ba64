package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// workerFlag marks the process that does the work while its parent guards stdin.
const workerFlag = "--worker"

// closeInherited closes descriptors that the caller left open without meaning to. SWUpdate's sockets are not close-on-exec; a
// child that keeps them keeps a truncated update from ever reaching its end, and both hang (SWUpdate 2022.12, run).
func closeInherited() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("cannot list open descriptors: %w", err)
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
	return nil
}

// streams says whether the call reads an image from stdin. Only then is a second process worth it.
func streams(p cli.Program, args []string) bool {
	if p.Name != "tegra-bup" && p.Name != "tegra-image" || contains(args, workerFlag) {
		return false
	}
	return p.ReadsStdin(args)
}

// patience is how much longer a call that was told to end goes on draining stdin, so that whoever feeds it is not hit
// by SIGPIPE at once.
const patience = 2 * time.Second

// feedWorker runs the same call as a child and feeds it stdin to the very end, even when the child has given up or died: a
// reader that stops early gets SWUpdate killed by SIGPIPE, without a line in its log (SWUpdate 2022.12, run). It exits with the
// child's code.
func feedWorker(ctx context.Context, p cli.Program, args []string) int {
	worker := exec.Command("/proc/self/exe", append([]string{p.Name, workerFlag}, args...)...)
	worker.Args[0] = "tegra-ota"
	worker.Stdout, worker.Stderr = os.Stdout, os.Stderr
	// A worker without its feeder has no input left to wait for. The signal follows the thread that started it (prctl(2)), so
	// the thread must live on.
	runtime.LockOSThread()
	worker.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGTERM}
	pipe, err := worker.StdinPipe()
	if err == nil {
		err = worker.Start()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: cannot start the worker: %v\n", p.Name, err)
		_, _ = io.Copy(io.Discard, os.Stdin)
		return int(fail.Internal)
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		if _, err := io.Copy(pipe, os.Stdin); err != nil {
			_, _ = io.Copy(io.Discard, os.Stdin)
		}
		_ = pipe.Close()
	}()
	go func() {
		<-ctx.Done()
		_ = worker.Process.Signal(unix.SIGTERM)
	}()
	err = worker.Wait()
	var exit *exec.ExitError
	code := fail.Code(worker.ProcessState.ExitCode())
	if errors.As(err, &exit) && !exit.Exited() {
		code = fail.Internal
		if ctx.Err() != nil { // told to end before it could listen
			code = fail.IO
		}
		fmt.Fprintf(os.Stderr, "%s: cannot finish: the worker died: %v\n", p.Name, exit)
	}
	select {
	case <-drained:
	case <-ctx.Done():
		select {
		case <-drained:
		case <-time.After(patience):
		}
	}
	return int(code)
}

// workerStdin is the stdin of a worker. A read ends with the context: a worker whose feeder has stalled would otherwise never
// notice that it was told to end, and hold the lock for ever.
func workerStdin(ctx context.Context) io.Reader {
	if err := unix.SetNonblock(0, true); err != nil {
		return os.Stdin
	}
	f := os.NewFile(0, "stdin") // registers the pipe with the poller, which is what gives it deadlines
	context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	return interruptible{ctx, f}
}

type interruptible struct {
	ctx context.Context
	f   *os.File
}

func (r interruptible) Read(p []byte) (int, error) {
	n, err := r.f.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fail.New(fail.IO, "interrupted: %w", r.ctx.Err())
	}
	return n, err
}

func withoutWorkerFlag(args []string) []string {
	var rest []string
	for _, a := range args {
		if a != workerFlag {
			rest = append(rest, a)
		}
	}
	return rest
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
