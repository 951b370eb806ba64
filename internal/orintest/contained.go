package orintest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Contained runs swupdate, or another program that may leave processes behind, for at most the given time and returns its exit code
// and all it printed. SWUpdate 2022.12 leaves one when it refuses a file: that would hold a pipe for ever, so the output goes to a
// file, and what is left of the program's group is killed. A network of its own keeps the abstract sockets of SWUpdate's notifier
// apart, of which the machine has a handful; it takes root.
func Contained(c *exec.Cmd, limit time.Duration) (code int, log string, err error) {
	f, err := os.CreateTemp("", "contained-")
	if err != nil {
		return 0, "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	c.Stdout, c.Stderr = f, f
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWNET}
	if err := c.Start(); err != nil {
		return 0, "", err
	}
	killGroup := func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) } // fails where nothing is left
	late := time.AfterFunc(limit, killGroup)
	err = c.Wait()
	hung := !late.Stop()
	killGroup()
	b, failed := os.ReadFile(f.Name())
	if failed != nil {
		return 0, "", failed
	}
	var exit *exec.ExitError
	switch {
	case hung:
		return 0, string(b), fmt.Errorf("%s does not end within %v", c.Path, limit)
	case err != nil && !errors.As(err, &exit):
		return 0, string(b), err
	}
	return c.ProcessState.ExitCode(), string(b), nil
}
