package backends

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/device"
)

// Health is one health check's result.
type Health struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// checkHealth runs every executable of the health folder in name order until one fails. A file that is not executable
// is reported and not run.
func (s *session) checkHealth(ctx context.Context) ([]Health, *Health) {
	entries, err := s.m.ReadDir(s.opts.HealthFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return []Health{}, nil // no folder, no checks
	}
	if err != nil { // checks there may be, and none can be run: that is no health
		h := Health{Name: s.opts.HealthFolder, Reason: err.Error()}
		return []Health{h}, &h
	}
	results := []Health{}
	for _, e := range entries {
		name := path.Join(s.opts.HealthFolder, e.Name())
		st, err := s.m.Stat(name)
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		if st.Mode()&0o111 == 0 {
			s.log.WithField("check", e.Name()).Warnf("%s is not executable and checks nothing", name)
			continue
		}
		h := s.runHealth(ctx, name)
		results = append(results, h)
		if !h.OK {
			return results, &results[len(results)-1]
		}
	}
	return results, nil
}

// checkHealthFolder warns of a check that would be passed over at boot.
func (s *session) checkHealthFolder(f *findings) {
	entries, err := s.m.ReadDir(s.opts.HealthFolder)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := path.Join(s.opts.HealthFolder, e.Name())
		if st, err := s.m.Stat(name); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 == 0 {
			f.warn("health", "run: chmod +x "+name+", or remove it", "the health check %s is not executable and checks nothing", name)
		}
	}
}

func (s *session) runHealth(ctx context.Context, name string) Health {
	h := Health{Name: path.Base(name)}
	s.log.WithField("check", h.Name).Info("running health check")
	env := []string{"TEGRA_OTA_SLOT=" + string(s.obs.state.Current)}
	if s.m.IsPrefixed() {
		env = append(env, "TEGRA_OTA_ROOT="+s.m.Root())
	}
	r, err := s.m.Run(ctx, device.Command{Path: name, Env: env, Timeout: s.opts.HealthTimeout})
	switch {
	case errors.Is(err, unix.ENOEXEC):
		h.Reason = err.Error() + " (needs a #! line)"
	case err != nil:
		h.Reason = err.Error()
	case r.ExitCode != 0:
		h.Reason = fmt.Sprintf("exit %d", r.ExitCode)
		if line := lastLine(r.Stderr + r.Stdout); line != "" {
			h.Reason += ": " + line
		}
	default:
		h.OK = true
	}
	return h
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
