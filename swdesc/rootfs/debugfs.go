package rootfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

const (
	// commandTime is what one command may take: reading a kernel of 60 MB from a slow disk takes seconds.
	commandTime = 2 * time.Minute
	// maxComplaint is how much of stderr is kept, in bytes.
	maxComplaint = 4 << 10
	// imageName is how debugfs sees the image. A real name may start with a hyphen, and libext2fs takes what stands behind a
	// question mark in it as options.
	imageName = "/dev/fd/3"
)

// sbin is where Debian has debugfs; it is not in the search path of every user.
var sbin = []string{"/usr/sbin", "/sbin"}

// errStop ends reading without an error.
var errStop = errors.New("enough")

// reader runs debugfs on an image, once for each command: what it prints has no other sure end than the end of the process.
type reader struct {
	image   *os.File
	program string
}

func newReader(image *os.File) (*reader, error) {
	program, err := exec.LookPath("debugfs")
	for i := 0; err != nil && i < len(sbin); i++ {
		program, err = exec.LookPath(filepath.Join(sbin[i], "debugfs"))
	}
	if err != nil {
		return nil, fail.New(fail.Unavailable, "cannot look into %s: debugfs is missing", image.Name()).Then("install e2fsprogs")
	}
	return &reader{image, program}, nil
}

// run hands what a command prints to use, which may stop early, with an error or without. It then ends debugfs.
//
// debugfs 1.47.0 exits 0 whatever happens, and complains on stderr. It runs read-only, and without -c: that would skip the bitmaps,
// which looking around does not need, but whose checksums tell of damage that a kernel meets later.
func (r *reader) run(parent context.Context, command string, use func(io.Reader) error) error {
	if err := parent.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(parent, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.program, "-R", command, imageName)
	cmd.ExtraFiles = []*os.File{r.image}
	cmd.Env = []string{"LC_ALL=C", "DEBUGFS_PAGER=__none__"}
	cmd.WaitDelay = time.Second
	var complaint limited
	cmd.Stderr = &complaint
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	out := &endReader{r: stdout}
	useErr := use(out)
	if useErr == nil && !out.ended {
		// There may be just the end left to read.
		_, _ = io.ReadFull(out, make([]byte, 1))
	}
	stopped := !out.ended
	ended := ctx.Err()
	if stopped {
		cancel()
	}
	waitErr := cmd.Wait()
	switch {
	case parent.Err() != nil:
		return parent.Err()
	case ended != nil:
		return fail.New(fail.IO, "cannot look into %s: debugfs does not end within %s", r.image.Name(), commandTime)
	case useErr != nil && stopped:
		return useErr
	case stopped:
		return nil
	}
	// What debugfs complains about explains best why use did not like what it read.
	if err := r.judge(complaint.b.String(), waitErr); err != nil {
		return err
	}
	return useErr
}

// judge returns the error that stderr and the exit tell of.
func (r *reader) judge(stderr string, waitErr error) error {
	for _, line := range strings.Split(stderr, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "debugfs 1.") { // the banner
			continue
		}
		line = strings.ReplaceAll(line, imageName, r.image.Name())
		if strings.Contains(line, "unsupported feature") {
			return fail.New(fail.Unavailable, "cannot look into %s: debugfs: %s", r.image.Name(), line).
				Then("install an e2fsprogs as new as the one that made the image")
		}
		return malformed("debugfs: %s", line)
	}
	if waitErr != nil {
		return malformed("debugfs: %v", waitErr)
	}
	return nil
}

// endReader notes that the end was read.
type endReader struct {
	r     io.Reader
	ended bool
}

func (e *endReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil {
		e.ended = true
	}
	return n, err
}

// limited keeps the first maxComplaint bytes.
type limited struct{ b bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	l.b.Write(p[:min(len(p), maxComplaint-l.b.Len())])
	return len(p), nil
}
