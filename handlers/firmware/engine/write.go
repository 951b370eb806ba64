package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// tail is how much of the end of the output is judged, in bytes.
const tail = 4 << 10

// call is how this release of the program is asked to install.
type call struct {
	path      string
	byPayload bool   // it takes the file by name
	kind      string // "bl", or "bl-only" where bootloader and root file system are one
}

// args is the whole command line. There is no -e and no --enable-ab in it, and always the word that keeps it from rebooting.
func (c call) args(file string) []string {
	if c.byPayload {
		return []string{"-i", c.kind, "--payload", file, "--no-reboot"}
	}
	return []string{"--install", "no-reboot"}
}

// probe finds out which command line this release understands: by the word --payload in its help (R32.6 on), and by whether
// chain and root file system are switched as one (nvbootctrl).
func (s *Stager) probe(ctx context.Context) (call, error) {
	path, err := s.find()
	if err != nil {
		return call{}, err
	}
	c := call{path: path, kind: "bl"}
	help, err := s.m.Run(ctx, device.Command{Path: path, Args: []string{"-h"}, Timeout: shortly})
	if err != nil {
		return call{}, fail.New(fail.CodeOf(err), "cannot ask %s for its options: %w", path, err)
	}
	if c.byPayload = strings.Contains(help.Stdout+help.Stderr, "--payload"); !c.byPayload {
		return c, nil
	}
	unified, err := s.nvbootctrl().Unified(ctx)
	if unified {
		c.kind = "bl-only"
	}
	return c, err
}

// Write runs the program and judges what it did: by its exit code, the end of its output, and the slots. After an error the chain may
// be half written; Write may be repeated, also after a power cut.
func (c *candidate) Write(ctx context.Context) (backends.Written, error) {
	if c.payload == nil {
		return backends.Written{}, fail.New(fail.Internal, "cannot write firmware: it was not received")
	}
	s := c.stager
	if err := s.refuseRunning(); err != nil {
		return backends.Written{}, err
	}
	before, err := s.slots(ctx)
	if err != nil {
		return backends.Written{}, err
	}
	if err := before.refuseTarget(c.target); err != nil {
		return backends.Written{}, err
	}
	if !c.call.byPayload {
		if err := s.place(c.payload); err != nil {
			return backends.Written{}, err
		}
	}
	res, err := s.m.Run(ctx, device.Command{Path: c.call.path, Args: c.call.args(c.payload.File), Timeout: s.opts.Timeout})
	err = judge(res, err)
	if removeErr := s.unplace(); err == nil {
		err = removeErr
	}
	if err != nil {
		return backends.Written{}, err
	}
	after, err := s.slots(ctx)
	if err != nil {
		return backends.Written{}, err
	}
	if err := after.compare(before, c.target); err != nil {
		return backends.Written{}, err
	}
	notes := []string{fmt.Sprintf("%s wrote slot %s: %s", program, c.target, strings.Join(c.call.args(c.payload.File), " "))}
	if active := after.dump.Active; active == c.target {
		notes = append(notes, fmt.Sprintf("%s made slot %s the active one", program, c.target))
	}
	return backends.Written{Notes: notes}, nil
}

// statuses are the values behind "failed. Status:" in words, and what to do about them.
var statuses = map[int]struct{ word, next string }{
	0: {"no failure", "read the program's output"},
	1: {"it cannot open the payload", "check that the payload can be read, and install the update again"},
	2: {"boot control failed", "run nvbootctrl dump-slots-info; the slot metadata must be readable and redundancy on"},
	3: {"it cannot open a partition", "check /dev/disk/by-partlabel and the partition names in the BUP"},
	4: {"an internal error", "check that /etc/nv_boot_control.conf names this board, and read the program's output"},
	5: {"it cannot open the slot", "check the boot device of /etc/nv_boot_control.conf (TEGRA_OTA_BOOT_DEVICE)"},
}

// judge says whether a run succeeded, by what it left behind.
func judge(res device.Result, err error) error {
	again := "the target's chain may be half written and is not used: install the update again"
	switch status, found := failedStatus(res); {
	case errors.Is(err, context.DeadlineExceeded):
		return fail.New(fail.IO, "cannot install firmware: %s did not end in time and was killed: %w", program, err).
			Then("raise update_timeout in [firmware] if it needs longer; %s", again)
	case err != nil:
		return fail.New(fail.CodeOf(err), "cannot install firmware: %w", err).Then("%s", again)
	case found:
		s, known := statuses[status]
		if !known {
			s.word, s.next = "an unknown reason", "read the program's output"
		}
		return fail.New(fail.IO, "cannot install firmware: %s failed with status %d (%s), exit %d: %s",
			program, status, s.word, res.ExitCode, lastLine(res)).
			Then("%s", s.next)
	case res.ExitCode < 0:
		return fail.New(fail.IO, "cannot install firmware: a signal ended %s: %s", program, lastLine(res)).Then("%s", again)
	case res.ExitCode != 0:
		return fail.New(fail.IO, "cannot install firmware: %s ended with exit %d: %s", program, res.ExitCode, lastLine(res)).Then("%s", again)
	}
	return nil
}

// failedStatus looks for "OTA Blob update failed. Status: 3" (meta-tegra 367) at the end of both outputs.
func failedStatus(res device.Result) (status int, found bool) {
	for _, text := range []string{res.Stdout, res.Stderr} {
		text = text[max(0, len(text)-tail):]
		at := strings.LastIndex(text, "failed. Status:")
		if at < 0 {
			continue
		}
		digits := strings.TrimLeft(text[at+len("failed. Status:"):], " \t")
		if end := strings.IndexFunc(digits, func(r rune) bool { return (r < '0' || r > '9') && r != '-' }); end >= 0 {
			digits = digits[:end]
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			n = -1
		}
		return n, true
	}
	return 0, false
}

// lastLine is the last line that is not empty, shortened; standard error counts first.
func lastLine(res device.Result) string {
	for _, text := range []string{res.Stderr, res.Stdout} {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		if line := strings.TrimSpace(lines[len(lines)-1]); line != "" {
			return fmt.Sprintf("%.120q", line)
		}
	}
	return "it printed nothing"
}
