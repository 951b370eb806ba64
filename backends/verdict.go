package backends

import (
	"context"
	"fmt"

	"github.com/tegra-ota/tegra-ota/internal/esrt"
)

// Outcome says what the last boot did with the update in flight.
type Outcome string

// The outcomes.
const (
	NoOutcome    Outcome = "none"
	Applied      Outcome = "applied"
	NotAttempted Outcome = "not-attempted"
	Refused      Outcome = "refused"
	FellBack     Outcome = "fell-back"
)

// Verdict is the judgement of the last boot, in a sentence, with what to do next.
type Verdict struct {
	Outcome  Outcome `json:"outcome"`
	ESRT     *uint32 `json:"esrt"` // the firmware's last attempt status, where a capsule was involved
	Reason   string  `json:"reason"`
	NextStep string  `json:"next_step"`
	// armed says that the capsule waits where the firmware would find it.
	armed bool
	// untouched says that the firmware gave up before it erased anything.
	untouched bool
}

// givenUp is the verdict on an update that ran, and is not accepted all the same: its slot is left for the other one.
func (v Verdict) givenUp(why string) *Verdict {
	if v.Outcome != Applied && v.Outcome != NoOutcome {
		return &v
	}
	return &Verdict{Outcome: FellBack, ESRT: v.ESRT, Reason: why, NextStep: "find out why the new system was not accepted, and install a corrected update"}
}

const againStep = "install the same firmware again"

// Verdict judges the last boot without changing anything.
func (c *Control) Verdict(ctx context.Context) (Verdict, error) {
	s, err := c.read(ctx)
	if err != nil {
		return Verdict{}, err
	}
	return s.judge(ctx)
}

func (s *session) judge(ctx context.Context) (Verdict, error) {
	u := s.journal.doc.Update
	switch {
	case u == nil:
		return Verdict{Outcome: NoOutcome, Reason: "no update is in flight"}, nil
	case !u.inFlight() && u.Verdict != nil:
		return *u.Verdict, nil
	case !u.inFlight():
		return Verdict{Outcome: NoOutcome, Reason: u.Reason, NextStep: u.NextStep}, nil
	case u.State == Installing || u.State == StagedAll:
		return Verdict{Outcome: NoOutcome, Reason: "the update is not activated", NextStep: "finish the install and run `tegra-bootctl activate`"}, nil
	case u.ActivatedIn == s.obs.bootID:
		return Verdict{Outcome: NoOutcome, Reason: fmt.Sprintf("slot %s is activated and not booted yet", u.Target), NextStep: "reboot"}, nil
	case s.obs.state.Current == u.Target:
		return s.judgeTarget(ctx, u)
	case u.capsule() != nil:
		return s.judgeCapsule(ctx, u)
	}
	return s.judgeSwitch(u), nil
}

// judgeTarget judges a boot of the target: everything that can tell must say the same.
func (s *session) judgeTarget(ctx context.Context, u *Update) (Verdict, error) {
	if err := s.obs.disagreement(); err != nil {
		return Verdict{Outcome: FellBack, Reason: err.Error(), NextStep: "correct the image and install it again"}, nil
	}
	c := u.capsule()
	if c == nil {
		v := Verdict{Outcome: Applied, Reason: fmt.Sprintf("slot %s runs", u.Target)}
		if s.wrote(u.Target) {
			v.Reason = fmt.Sprintf("slot %s runs with firmware %s, which the update wrote", u.Target, u.Firmware.Version)
		}
		return v, nil
	}
	entry, err := esrt.Read(s.m)
	if err != nil {
		return Verdict{}, err
	}
	status := entry.LastStatus
	v := Verdict{ESRT: &status}
	running := s.obs.state.Slots[u.Target].Firmware
	pending, err := s.stager.Pending(ctx, &c.Staged)
	if err != nil && s.obs.espErr == nil {
		return Verdict{}, err
	}
	switch {
	case u.Before != nil && entry.Last() == *u.Before && (pending.Armed || pending.Staged):
		v.Outcome, v.NextStep = NotAttempted, againStep
		v.Reason = fmt.Sprintf("slot %s runs, but the firmware did not take the capsule, which is still there", u.Target)
	case status != 0:
		why := esrt.Explain(status)
		v.Outcome, v.Reason, v.NextStep = Refused, why.Reason, why.NextStep
	case entry.LastVersion != c.Version:
		v.Outcome, v.NextStep = NotAttempted, againStep
		v.Reason = fmt.Sprintf("slot %s runs, but the last capsule the firmware tried was %s, not %s", u.Target, entry.LastVersion, c.Version)
	case running != nil && *running != c.Version, running == nil && entry.Version != c.Version:
		v.Outcome, v.NextStep = Refused, againStep
		v.Reason = fmt.Sprintf("slot %s runs, but its firmware does not call itself %s", u.Target, c.Version)
	default:
		v.Outcome, v.Reason = Applied, fmt.Sprintf("firmware %s was applied and slot %s runs", c.Version, u.Target)
	}
	return v, nil
}

// judgeCapsule judges a boot of the old slot after a capsule was armed.
func (s *session) judgeCapsule(ctx context.Context, u *Update) (Verdict, error) {
	entry, err := esrt.Read(s.m)
	if err != nil {
		return Verdict{}, err
	}
	status := entry.LastStatus
	v := Verdict{ESRT: &status}
	why := esrt.Explain(status)
	if u.Before == nil || entry.Last() != *u.Before {
		switch {
		case status == 0 && entry.LastVersion != u.Firmware.Version:
			v.Outcome, v.NextStep = NotAttempted, againStep
			v.Reason = fmt.Sprintf("not attempted or interrupted: the last capsule the firmware tried was %s, not %s", entry.LastVersion, u.Firmware.Version)
		case status != 0:
			v.Outcome, v.Reason, v.NextStep = Refused, why.Reason, why.NextStep
			v.untouched = why.Untouched && entry.LastVersion == u.Firmware.Version
		case u.TargetRan:
			v.Outcome, v.NextStep = FellBack, "find out why the new system does not come up; its log may be on the data partition"
			v.Reason = fmt.Sprintf("firmware %s was applied and slot %s ran, but the firmware fell back to slot %s", u.Firmware.Version, u.Target, s.obs.state.Current)
		case u.TargetGaveUp:
			v.Outcome, v.NextStep = FellBack, "find out why the new system does not come up; a serial console shows it"
			v.Reason = fmt.Sprintf("firmware %s was applied and started, but slot %s was given up, and slot %s runs again", u.Firmware.Version, u.Target, s.obs.state.Current)
		default:
			v.Outcome, v.NextStep = FellBack, "find out why the new firmware does not come up; a serial console shows it"
			v.Reason = fmt.Sprintf("firmware %s was applied, but slot %s did not come up and slot %s runs", u.Firmware.Version, u.Target, s.obs.state.Current)
		}
		return v, nil
	}
	if u.TargetRan { // the same version again, and it ran: the pair cannot tell, the boot count can
		v.Outcome, v.NextStep = FellBack, "find out why the new system does not come up"
		v.Reason = fmt.Sprintf("slot %s ran, but the firmware fell back to slot %s", u.Target, s.obs.state.Current)
		return v, nil
	}
	if s.obs.espErr != nil {
		v.Outcome, v.NextStep = NotAttempted, "mount the EFI system partition and install the same firmware again"
		v.Reason = fmt.Sprintf("not attempted or interrupted, and where the capsule lay cannot be looked at: %v", s.obs.espErr)
		return v, nil
	}
	pending, err := s.stager.Pending(ctx, &u.Firmware.Staged)
	if err != nil {
		return Verdict{}, err
	}
	v.armed = pending.Armed
	switch {
	case pending.Armed && pending.Requested:
		v.Outcome, v.NextStep = NotAttempted, againStep
		v.Reason = "not attempted or interrupted: the capsule and the request to process it are still there"
	case pending.Armed:
		v.Outcome, v.NextStep = NotAttempted, againStep
		v.Reason = "not attempted or interrupted: the capsule is still there, and the firmware took back the request to process it"
	case pending.Staged:
		v.Outcome, v.NextStep = NotAttempted, againStep
		v.Reason = "not attempted: the capsule was not armed, so the activation was interrupted"
	case status != 0 && u.Before.Version == u.Firmware.Version:
		v.Outcome, v.Reason, v.NextStep = Refused, why.Reason, why.NextStep
	default:
		v.Outcome, v.NextStep = Refused, againStep
		v.Reason = "not attempted or interrupted: the firmware took the capsule and reported no attempt"
	}
	return v, nil
}

// switchResults are the values of BootChainFwStatus that explain a switch that did not happen (edk2-nvidia BootChainDxe.c).
var switchResults = map[uint32]string{
	2: "the slot asked for was running already", 3: "a capsule was pending at the same time", 4: "BootChainFwStatus could not be read",
	5: "the reset limit was reached", 6: "the reset count could not be written", 7: "the switch could not be recorded", 8: "the switch could not be recorded",
	9: "BootChainFwNext held no slot", 10: "BootChainFwNext could not be read", 11: "the boot chain could not be written",
	13: "the reset count could not be read", 14: "the UEFI variable BootNext existed", 15: "the scratch register failed", 16: "the scratch register failed",
	17: "an update of the boot configuration table was pending", 18: "the previous chain could not be recorded", 19: "the firmware holds the chain for bad",
}

// judgeSwitch judges a boot of the old slot after a plain switch was asked for.
func (s *session) judgeSwitch(u *Update) Verdict {
	st := s.obs.state.TrialStatus
	target := s.obs.state.Slots[u.Target].Status
	look := "find out why slot " + string(u.Target) + " does not come up; a serial console shows it"
	switch {
	case st != nil && *st == 12:
		return Verdict{Outcome: FellBack, Reason: fmt.Sprintf("the firmware of slot %s did not boot, and the firmware went back to slot %s", u.Target, s.obs.state.Current), NextStep: "install firmware for that slot"}
	case u.TargetRan, target != nil && *target == StatusUnbootable:
		return Verdict{Outcome: FellBack, Reason: fmt.Sprintf("slot %s used up its retries, and the firmware fell back to slot %s", u.Target, s.obs.state.Current), NextStep: look}
	case st != nil && switchResults[*st] != "":
		return Verdict{Outcome: Refused, Reason: fmt.Sprintf("the firmware refused the switch: %s (BootChainFwStatus %d)", switchResults[*st], *st), NextStep: "activate again"}
	case s.obs.state.Next == u.Target:
		return Verdict{Outcome: NotAttempted, Reason: "the switch is still pending: the device did not go through its firmware", NextStep: "reboot"}
	}
	return Verdict{Outcome: NotAttempted, Reason: "the firmware dropped the switch without a word, or the activation was interrupted", NextStep: "activate again"}
}
