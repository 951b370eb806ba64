// Package engine installs boot firmware on T186 and T194 with L4T R32 by running NVIDIA's nv_update_engine, which writes the images
// of a BUP V2 into the chain that does not run.
//
// The program is closed; what is said of it comes from public threads (meta-tegra 367 and 744, meta-mender-community) and from its
// own help. Three calls that guides show are wrong, and this package never makes them:
//
//   - `-i FILE -e`: -i takes a type, no file (the file's place is fixed, or named by --payload from R32.6 on), and -e is
//     --enable-ab: it changes the redundancy of the device.
//   - `-e --verify` and `-e --check`: --verify marks the running slot as booted well, which is Control's decision and no check of a
//     file; --check does not exist; and -e again enables A/B.
//   - any install without no-reboot: the program then reboots by itself, before anybody judged what it did.
//
// The program's exit code is not enough: it may end with 0 after "failed. Status: N", so the end of its output and the slots are
// read, too. This package selects no slot, ever.
package engine

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/nvidia"
)

// program is the name of what runs.
const program = "nv_update_engine"

// Options are the stager's settings.
type Options struct {
	Program      string        // path of nv_update_engine; "" looks in /usr/sbin and device.SearchPath
	Timeout      time.Duration // of one run; after it the process group is killed; 0 waits for ever
	NVBootctrl   string        // path of nvbootctrl; "" looks as for Program
	Folder       string        // where Receive keeps payloads, if it is known before: leftovers there are removed
	CapsuleTrust string        // a certificate that signers must be or chain to; a BUP V2 has no signature, so any refuses all
}

// Stager is backends.FirmwareStager for nv_update_engine. Its candidates are backends.Writer.
type Stager struct {
	m      *device.Machine
	chip   chip.Chip
	opts   Options
	folder string // of the last Receive
}

var _ backends.FirmwareStager = (*Stager)(nil)

// New returns the stager of a machine with that chip. It touches nothing.
func New(m *device.Machine, c chip.Chip, opts Options) *Stager {
	return &Stager{m: m, chip: c, opts: opts, folder: opts.Folder}
}

// Method is ByEngine.
func (s *Stager) Method() backends.Method { return backends.ByEngine }

// Ready says why nv_update_engine cannot install anything here, as fail.Unavailable; nil if it can.
func (s *Stager) Ready(context.Context) error {
	if err := s.refuseDevice(); err != nil {
		return err
	}
	if s.opts.CapsuleTrust != "" {
		return fail.New(fail.Unavailable, "cannot install firmware with %s: capsule_trust wants a signature, and a BUP V2 carries none", program).
			Then("clear capsule_trust in [firmware]; the images themselves are signed where the device is fused")
	}
	_, err := s.find()
	return err
}

// refuseDevice refuses chips and releases where the program has no function.
func (s *Stager) refuseDevice() error {
	if s.chip.Name != chip.T186.Name && s.chip.Name != chip.T194.Name {
		return fail.New(fail.Unavailable, "cannot install firmware with %s: it has no function on %s, whose firmware is updated by UEFI capsule",
			program, s.chip.Name).
			Then(`set method = "capsule" in [firmware], and install a .Cap file`)
	}
	// R34 and later boot by UEFI, and ship the program all the same (nvidia-l4t-tools).
	if s.m.Exists("/sys/firmware/efi") {
		return fail.New(fail.Unavailable, "cannot install firmware with %s: this device boots by UEFI, and the program is for the cboot of L4T R32",
			program).
			Then(`set method = "capsule" in [firmware], and install a .Cap file`)
	}
	if v, found := s.running(); found && v>>16 != 32 {
		return fail.New(fail.Unavailable, "cannot install firmware with %s: /etc/nv_tegra_release says R%d, and the program is for L4T R32",
			program, v>>16).
			Then("correct /etc/nv_tegra_release if it is wrong; later releases take a .Cap file")
	}
	return nil
}

// running reads the release of /etc/nv_tegra_release ("# R32 (release), REVISION: 7.5, GCID: ..."). Images without NVIDIA's packages
// have no such file; that a T186 or T194 does not boot by UEFI says R32 then.
func (s *Stager) running() (v capsule.Version, found bool) {
	text, err := s.m.ReadFile("/etc/nv_tegra_release")
	if err != nil {
		return 0, false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	branch, rest, ok := strings.Cut(strings.TrimPrefix(line, "# R"), " ")
	if !ok || !strings.HasPrefix(line, "# R") {
		return 0, false
	}
	n, err := strconv.ParseUint(branch, 10, 16)
	if err != nil {
		return 0, false
	}
	_, revision, _ := strings.Cut(rest, "REVISION: ")
	revision, _, _ = strings.Cut(revision, ",")
	if v, err := capsule.ParseVersion(branch + "." + strings.TrimSpace(revision)); err == nil {
		return v, true
	}
	return capsule.Version(n << 16), true
}

func (s *Stager) find() (string, error) {
	if p := nvidia.Find(s.m, program, s.opts.Program); p != "" {
		return p, nil
	}
	where := "neither in /usr/sbin nor in " + device.SearchPath
	if s.opts.Program != "" {
		where = "not at " + s.opts.Program + ", where update_engine says"
	}
	return "", fail.New(fail.Unavailable, "cannot run %s: it is %s", program, where).
		Then("install nvidia-l4t-tools (tegra-redundant-boot with meta-tegra), or correct update_engine in [firmware]")
}

// Pending is empty: the program writes during install, and nothing waits for a boot.
func (s *Stager) Pending(context.Context, *backends.Staged) (backends.Pending, error) {
	return backends.Pending{}, nil
}

func errNotStaged(do string) error {
	return fail.New(fail.Internal, "cannot %s firmware: %s wrote it during install, nothing is staged", do, program)
}

// Verify is an error: nothing is staged that could be compared.
func (s *Stager) Verify(context.Context, backends.Staged) error { return errNotStaged("verify") }

// Arm is an error: there is nothing to arm.
func (s *Stager) Arm(context.Context, backends.Staged) error { return errNotStaged("arm") }

// Disarm does nothing, because nothing is armed.
func (s *Stager) Disarm(context.Context, backends.Staged, bool) error { return nil }

// Discard removes the payload that Receive kept. What was written to the chain stays, and so does its mark.
func (s *Stager) Discard(ctx context.Context, _ backends.Staged) error {
	return s.DiscardIncomplete(ctx)
}

// DiscardIncomplete removes what an interrupted install left: the kept payload, and the copy at the program's fixed path if it is
// ours.
func (s *Stager) DiscardIncomplete(context.Context) error {
	if err := s.unplace(); err != nil {
		return err
	}
	if s.folder == "" {
		return nil
	}
	return payload.Clean(s.m, s.folder)
}
