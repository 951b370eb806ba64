package swupdate_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// updater is one swupdate with its own sockets and scratch folder; any number may run side by side.
type updater struct {
	tmp     string
	libexec string
	env     []string // beside the process's own
	trust   int      // index into suite.keys
	args    []string
}

// result is the end of one swupdate.
type result struct {
	code int
	log  string
}

// hung is how long an install of a few MiB may take on a loaded machine before it counts as hanging.
const hung = 3 * time.Minute

func newUpdater(t *testing.T, libexec string) *updater {
	t.Helper()
	// Not t.TempDir: a socket's path must be shorter than 108 bytes.
	tmp, err := os.MkdirTemp("", "swu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	return &updater{tmp: tmp, libexec: libexec}
}

func (u *updater) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{"-v", "-k", suite.keys[u.trust].cert, "-H", "virtual:1.0"}, append(append([]string(nil), u.args...), args...)...)
	c := exec.CommandContext(ctx, "swupdate", args...)
	c.Dir = u.tmp
	c.Env = append(os.Environ(), "TMPDIR="+u.tmp, "LUA_PATH="+suite.glue+"/?.lua;;", "TEGRA_OTA_LIBEXEC="+u.libexec)
	c.Env = append(c.Env, u.env...)
	return c
}

// install runs swupdate -i to its end.
func (u *updater) install(t *testing.T, swu string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hung)
	defer cancel()
	r, err := finish(ctx, u.command(ctx, "-i", swu))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func finish(ctx context.Context, c *exec.Cmd) (result, error) {
	code, log, err := orintest.Contained(c, hung)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return result{}, fmt.Errorf("swupdate: %w\n%s", err, log)
	}
	return result{code: code, log: log}, nil
}

// clean fails if the glue left something behind; SWUpdate's own files are known by name.
func (u *updater) clean(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(u.tmp, "*tegra-ota*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("swupdate exits %d, want %d:\n%s", r.code, code, r.log)
	}
	return r
}

// says fails unless the log has a line that matches.
func (r result) says(t *testing.T, pattern string) result {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(r.log) {
		t.Errorf("swupdate's log does not say %q:\n%s", pattern, r.errors())
	}
	return r
}

// errors are the lines of the log that a person would read first.
func (r result) errors() string {
	var b strings.Builder
	for _, line := range strings.Split(r.log, "\n") {
		if strings.Contains(line, "ERROR") || strings.Contains(line, "tegra-") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
