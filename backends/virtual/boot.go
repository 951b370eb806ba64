package virtual

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// maxResets bounds the resets of one attempt; a path that ends needs four at most. One does not end: the retries of the
// running slot are used up and the other chain does not start. L4TLauncher then asks for that chain, BootChainDxe gives up,
// and the launcher, whose register was cleared, asks again.
const maxResets = 16

// boot is one attempt in progress.
type boot struct {
	o      *Orin
	opts   BootOptions
	vars   variables
	power  *power
	st     state
	reg    Scratch
	report BootReport

	chain     Slot // the one that runs
	running   capsule.Version
	failing   *Slot // the chain that FailFirmware holds down
	staleBCT  bool  // BR-BCT names another chain than the one that runs (UpdateBrBct in the scratch register SR_BL)
	inCapsule bool
	current   uint16 // BootCurrent
}

// Boot makes one attempt: from reset or power-on, through every reset that the firmware makes by itself, until Linux
// userspace runs or does not. An error means that the model failed, not the device.
func (o *Orin) Boot(ctx context.Context, opts BootOptions) (BootReport, error) {
	b := &boot{o: o, opts: opts, vars: o.variables(), power: &power{cutAt: opts.CutAt, cutPhase: opts.CutPhase}}
	if err := opts.check(); err != nil {
		return b.report, err
	}
	start := b.start
	if o.board.Cboot {
		start = b.startR32
	}
	err := start(ctx)
	if errors.Is(err, errCut) {
		err = b.afterCut()
	}
	b.report.Phases = append([]string{}, b.power.phases...)
	b.report.FirmwareWrites = len(b.report.Phases)
	b.report.ESRT = ESRT{Version: b.st.Attempt, Status: b.st.Status}
	return b.report, err
}

func (opts BootOptions) check() error {
	switch opts.Fail {
	case "", FailFirmware, FailKernel, FailUserspace:
	default:
		return fail.New(fail.Usage, "cannot fail %q: it is firmware, kernel or userspace", opts.Fail)
	}
	switch opts.AfterCut {
	case "", AfterCutRetry, AfterCutFlagCleared, AfterCutBothCleared:
	default:
		return fail.New(fail.Usage, "cannot leave %q after a cut: it is retry, flag-cleared or both-cleared", opts.AfterCut)
	}
	if opts.CutAt < 0 {
		return fail.New(fail.Usage, "cannot cut the power at write %d: writes count from 1", opts.CutAt)
	}
	return nil
}

func (b *boot) start(ctx context.Context) error {
	var err error
	if b.st, err = b.o.readState(); err != nil {
		return err
	}
	if b.opts.Cold {
		b.say("power on: the scratch registers are empty")
	} else {
		b.say("warm reset: the scratch registers are kept")
		if b.reg, err = b.o.readScratch(); err != nil {
			return err
		}
	}
	if b.opts.Fail == FailFirmware {
		if err := b.chooseFailing(); err != nil {
			return err
		}
	}
	for reset := true; reset; b.report.Resets++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cannot finish the boot: %w", err)
		}
		if b.report.Resets > maxResets {
			b.report.Outcome = OutcomeBootLoop
			b.say("the firmware resets without end")
			return b.o.writeScratch(b.reg)
		}
		up, err := b.bootROM()
		if err != nil {
			return err
		}
		if !up {
			b.report.Outcome = OutcomeNoFirmware
			b.say("neither boot chain starts: the unit stays in recovery mode")
			return b.o.writeScratch(b.reg)
		}
		if reset, err = b.uefi(); err != nil {
			return err
		}
		if !reset {
			break
		}
	}
	return nil
}

// say adds one sentence to the timeline.
func (b *boot) say(format string, args ...any) {
	sentence := fmt.Sprintf(format, args...)
	b.report.Timeline = append(b.report.Timeline, sentence)
	if b.opts.Watch != nil {
		b.opts.Watch(sentence)
	}
}

// chooseFailing finds the slot that this call is about to boot: the target of an update that waits, else the active chain.
// An update that turns out to be refused never starts its target, and nothing fails.
func (b *boot) chooseFailing() error {
	active, err := b.o.activeChain()
	if err != nil {
		return err
	}
	target := active
	indications, _, err := b.osIndications()
	if err != nil {
		return err
	}
	_, files, err := b.o.capsules()
	if err != nil {
		return err
	}
	next, isNext, fits, err := b.vars.word(nextName)
	if err != nil {
		return err
	}
	_, isStatus, _, err := b.vars.word(statusName)
	if err != nil {
		return err
	}
	switch {
	case indications&fileCapsule != 0 && len(files) > 0:
		target = active.Other()
	case isNext && fits && !isStatus && next <= uint32(B):
		target = Slot(next)
	}
	b.failing = &target
	return nil
}

func (b *boot) osIndications() (uint64, bool, error) {
	data, ok, err := b.vars.get("OsIndications", globalGUID)
	if err != nil || !ok || len(data) != 8 {
		return 0, false, err
	}
	return binary.LittleEndian.Uint64(data), true, nil
}

// uefi runs from the start of UEFI to the start of Linux. It returns true if it ended in a reset.
func (b *boot) uefi() (reset bool, err error) {
	if err := b.o.volatileVariables(b.chain, b.running); err != nil {
		return false, err
	}
	if err := b.takeESPVariables(); err != nil {
		return false, err
	}
	if reset, err := b.processCapsules(); reset || err != nil {
		return reset, err
	}
	if reset, err := b.executeUpdate(); reset || err != nil {
		return reset, err
	}
	b.reg.Failed[b.chain] = 0 // ValidateActiveBootChain at ReadyToBoot
	if err := b.takeBootNext(); err != nil {
		return false, err
	}
	return b.launch()
}

// takeBootNext consumes the global variable BootNext, as any UEFI does before it boots.
func (b *boot) takeBootNext() error {
	b.current = 1
	data, ok, err := b.vars.get("BootNext", globalGUID)
	if err != nil || !ok {
		return err
	}
	if len(data) == 2 {
		want := binary.LittleEndian.Uint16(data)
		_, known, err := b.vars.get(fmt.Sprintf("Boot%04X", want), globalGUID)
		if err != nil {
			return err
		}
		if known {
			b.current = want
		}
	}
	b.say("UEFI consumes BootNext")
	return b.deleteVariable("BootNext", globalGUID)
}

func (b *boot) setVariable(name, vendor string, data []byte) error {
	return b.power.step("variable:"+name, func() error { return b.vars.set(name, vendor, attrStored, data) }, nil)
}

func (b *boot) deleteVariable(name, vendor string) error {
	if _, ok, err := b.vars.get(name, vendor); err != nil || !ok {
		return err
	}
	return b.power.step("variable:"+name, func() error { return b.vars.remove(name, vendor) }, nil)
}

// updateFwChain makes a chain the active one. Whether the mark of a failed chain outlives this is not known; the model
// gives the chain another chance, or a capsule could not cure it without a power cycle.
func (b *boot) updateFwChain(to Slot) error {
	if err := b.power.switchBCT(b.o.path(brBCTFile), to); err != nil {
		return err
	}
	b.reg.Failed[to] = 0
	return nil
}

// afterCut is the state that a unit without power is left in.
func (b *boot) afterCut() error {
	b.report.Outcome = OutcomePowerCut
	phase := b.power.phases[len(b.power.phases)-1]
	b.say("the power is cut at write %d (%s)", len(b.power.phases), phase)
	if b.inCapsule {
		if err := b.leaveCapsule(); err != nil {
			return err
		}
	}
	if b.o.board.Cboot {
		return nil
	}
	return b.o.writeScratch(Scratch{})
}
