package virtual

import (
	"errors"
)

// launch is L4TLauncher: ValidateRootfsStatus of L4TRootfsValidation.c, then the kernel.
func (b *boot) launch() (reset bool, err error) {
	mode, _, _, err := b.vars.word("L4TDefaultBootMode")
	if err != nil {
		return false, err
	}
	if mode == bootModeRecovery {
		return false, b.recovery("L4TDefaultBootMode asks for it")
	}
	info, ok, err := b.rootfsInfo()
	if err != nil {
		return false, err
	}
	if !ok {
		b.say("L4TLauncher can not read the redundancy variables: root follows the chain, without retries or fall-back")
		return false, b.kernel(b.chain)
	}
	if b.reg.Magic != scratchMagic {
		b.reg.Magic = scratchMagic
		for _, s := range []Slot{A, B} {
			b.reg.Retry[s] = info.max & maxRetry
			if info.status[s] == unbootable {
				b.reg.Retry[s] = 0
			}
		}
		b.say("L4TLauncher initialises the retry counts: A %d, B %d", b.reg.Retry[A], b.reg.Retry[B])
	}
	b.reg.Current = b.chain
	// While the magic is valid the status variables count here and nowhere else.
	if info.status[A] == unbootable && (info.level == 0 || info.level == 1 && info.status[B] == unbootable) {
		b.clearRootfs()
		return false, b.recovery("no root file system is left")
	}
	switch info.level {
	case 0:
		return b.pinned()
	case 1:
		return b.redundant()
	}
	return false, b.kernel(b.reg.Current) // the source counts nothing for a level that it does not know
}

type rootfsInfo struct {
	level, max uint32
	status     [2]uint32
}

// rootfsInfo reads what the launcher needs; false if one variable can not be read ("Load Error").
func (b *boot) rootfsInfo() (rootfsInfo, bool, error) {
	var info rootfsInfo
	for _, f := range []struct {
		name     string
		value    *uint32
		optional bool
	}{
		{rootfsStatus(A), &info.status[A], false},
		{rootfsStatus(B), &info.status[B], false},
		{"RootfsRedundancyLevel", &info.level, false},
		{"RootfsRetryCountMax", &info.max, false},
		{nextName, new(uint32), true},
		{statusName, new(uint32), true},
	} {
		value, ok, fits, err := b.vars.word(f.name)
		if err != nil {
			return info, false, err
		}
		if (!ok && !f.optional) || (ok && !fits) {
			return info, false, nil
		}
		*f.value = value
	}
	return info, true, nil
}

// clearRootfs is SetRootfsStatusReg(0).
func (b *boot) clearRootfs() {
	b.reg.Magic, b.reg.Current, b.reg.Retry = 0, A, [2]uint32{}
}

// pinned is redundancy level 0: there is no root file system B.
func (b *boot) pinned() (reset bool, err error) {
	b.reg.Current = A
	if b.reg.Retry[A] > 0 {
		b.decrement(A)
		return false, b.kernel(A)
	}
	b.reg.Magic = 0
	if err := b.setVariable(rootfsStatus(A), publicGUID, u32(unbootable)); err != nil {
		return false, err
	}
	return false, b.recovery("the retries of slot A are used up")
}

// redundant is redundancy level 1.
func (b *boot) redundant() (reset bool, err error) {
	slot := b.reg.Current
	if b.reg.Retry[slot] > 0 {
		b.decrement(slot)
		return false, b.kernel(slot)
	}
	b.say("L4TLauncher marks slot %s unbootable: its retries are used up", slot)
	other := slot.Other()
	marks := []Slot{slot}
	if b.reg.Retry[other] == 0 {
		b.reg.Magic = 0
		marks = []Slot{A, B}
	}
	for _, s := range marks {
		if err := b.setVariable(rootfsStatus(s), publicGUID, u32(unbootable)); err != nil {
			return false, err
		}
	}
	if len(marks) == 2 {
		return false, b.recovery("neither slot has retries left")
	}
	if err := b.setVariable(nextName, publicGUID, u32(uint32(other))); err != nil {
		return false, err
	}
	b.clearRootfs()
	if err := b.deleteVariable(statusName, publicGUID); err != nil {
		return false, err
	}
	b.say("L4TLauncher asks for chain %s and resets", other)
	return true, nil
}

func (b *boot) decrement(s Slot) {
	b.reg.Retry[s]--
	b.say("L4TLauncher counts a boot of slot %s: %d retries left", s, b.reg.Retry[s])
}

// recovery starts the recovery kernel, in which none of the device's own userspace runs.
func (b *boot) recovery(why string) error {
	b.report.Outcome = OutcomeRecovery
	b.say("L4TLauncher boots the recovery kernel: %s", why)
	if err := b.o.writeScratch(b.reg); err != nil {
		return err
	}
	return b.o.writeESRT(b.st, b.running)
}

// kernel starts Linux on a slot.
func (b *boot) kernel(root Slot) error {
	b.report.Rootfs = root
	b.say("L4TLauncher starts the kernel of slot %s", root)
	if err := b.o.writeScratch(b.reg); err != nil {
		return err
	}
	if err := b.o.writeESRT(b.st, b.running); err != nil {
		return err
	}
	id, err := b.o.startLinux(&b.st, root, b.current)
	if err != nil {
		return err
	}
	return b.linux(id, root)
}

// linux goes from the started kernel to what becomes of it.
func (b *boot) linux(id string, root Slot) error {
	b.report.BootID = id
	switch b.opts.Fail {
	case FailKernel:
		b.report.Outcome = OutcomeKernelFailed
		b.say("the kernel dies before userspace")
		return nil
	case FailUserspace:
		b.report.Outcome = OutcomeUserspaceHung
		b.userspace(StageEarly)
		b.say("userspace hangs")
		return nil
	}
	b.report.Outcome = OutcomeRunning
	b.say("Linux userspace runs on slot %s", root)
	b.userspace(StageUp)
	return nil
}

func (b *boot) userspace(stage string) {
	if b.opts.Userspace == nil {
		return
	}
	code := 0
	if err := b.opts.Userspace(stage); err != nil {
		b.report.UserspaceErr = err
		code = 1
		var exit interface{ ExitCode() int }
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		b.say("what ran in userspace failed: %v", err)
	}
	b.report.UserspaceExit = &code
}
