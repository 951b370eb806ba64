package virtual

import (
	"encoding/json"
	"fmt"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// Failure is what does not work in one call of Boot, on the slot that this call is about to boot.
type Failure string

// The failures. With FailFirmware the chain does not come up and BootROM returns to the other one; with FailKernel the
// kernel dies before userspace; with FailUserspace userspace starts and hangs.
const (
	FailFirmware  Failure = "firmware"
	FailKernel    Failure = "kernel"
	FailUserspace Failure = "userspace"
)

// AfterCut says what a power cut inside capsule processing leaves of the request. Which of them hardware does is not
// known, so that a client has to live with all three.
type AfterCut string

// The three outcomes; AfterCutRetry is the default.
const (
	AfterCutRetry       AfterCut = "retry"        // OsIndications bit 2 and the file are still there
	AfterCutFlagCleared AfterCut = "flag-cleared" // the file is there, the bit is not
	AfterCutBothCleared AfterCut = "both-cleared" // neither is
)

// Outcome is how an attempt to boot ended.
type Outcome string

// The outcomes. Only OutcomeRunning means that Linux userspace runs.
const (
	OutcomeRunning       Outcome = "running"
	OutcomeRecovery      Outcome = "recovery"
	OutcomeKernelFailed  Outcome = "kernel-failed"
	OutcomeUserspaceHung Outcome = "userspace-hung"
	OutcomePowerCut      Outcome = "power-cut"
	OutcomeBootLoop      Outcome = "boot-loop"   // the firmware resets without end
	OutcomeNoFirmware    Outcome = "no-firmware" // neither chain starts: a device for recovery mode and a cable
)

// Stages of Linux userspace that BootOptions.Userspace is called with.
const (
	StageEarly = "early" // only with FailUserspace, which hangs after it
	StageUp    = "up"
)

// BootOptions says how to boot. They hold for one call.
type BootOptions struct {
	// Cold powers the unit off and on, which loses the scratch registers; otherwise it is a warm reset.
	Cold bool
	Fail Failure
	// CutAt cuts the power instead of the firmware's N-th write, counted from 1; 0 never.
	CutAt int
	// CutPhase cuts the power at the first write of a phase, by the name that BootReport.Phases has for it.
	CutPhase string
	// AfterCut is AfterCutRetry if empty.
	AfterCut AfterCut
	// Userspace runs once Linux is up. Its error is reported and changes nothing else.
	Userspace func(stage string) error
	// Watch gets each sentence of the timeline as it happens; nil: nobody watches.
	Watch func(sentence string)
}

// ESRT is the record of the last capsule.
type ESRT struct {
	Version capsule.Version `json:"version"` // last_attempt_version
	Status  uint32          `json:"status"`  // last_attempt_status
}

// CapsuleResult is what became of capsules in one boot.
type CapsuleResult struct {
	Processed bool   `json:"processed"` // a capsule was handed to FmpDxe
	Status    uint32 `json:"status"`    // the last one's, as in ESRT
}

// BootReport is what happened in one attempt to boot.
type BootReport struct {
	Outcome Outcome `json:"outcome"`
	// Chain is the boot chain that ran last.
	Chain Slot `json:"chain"`
	// Rootfs is the slot whose kernel was started; see KernelStarted.
	Rootfs Slot   `json:"rootfs"`
	BootID string `json:"boot_id"`
	// Resets counts those that the firmware made by itself.
	Resets         int           `json:"resets"`
	FirmwareWrites int           `json:"firmware_writes"`
	Phases         []string      `json:"phases"`
	ESRT           ESRT          `json:"esrt"`
	Capsule        CapsuleResult `json:"capsule"`
	// UserspaceExit is the exit code of what ran in userspace, nil if nothing did.
	UserspaceExit *int     `json:"userspace_exit"`
	Timeline      []string `json:"timeline"`

	// UserspaceErr is what BootOptions.Userspace returned.
	UserspaceErr error `json:"-"`
}

// KernelStarted says whether a slot's kernel was started, so that Rootfs means something.
func (r BootReport) KernelStarted() bool {
	return r.Outcome == OutcomeRunning || r.Outcome == OutcomeKernelFailed || r.Outcome == OutcomeUserspaceHung
}

// MarshalJSON prints the report; what has no meaning in its outcome is null.
func (r BootReport) MarshalJSON() ([]byte, error) {
	type plain BootReport
	out := struct {
		plain
		Chain  *Slot `json:"chain"`
		Rootfs *Slot `json:"rootfs"`
	}{plain: plain(r)}
	if r.Outcome != OutcomeNoFirmware {
		out.Chain = &r.Chain
	}
	if r.KernelStarted() {
		out.Rootfs = &r.Rootfs
	}
	return json.Marshal(out)
}

// UnmarshalText reads the letter.
func (s *Slot) UnmarshalText(text []byte) error {
	switch string(text) {
	case "A":
		*s = A
	case "B":
		*s = B
	default:
		return fmt.Errorf("cannot read slot %q: want A or B", text)
	}
	return nil
}
