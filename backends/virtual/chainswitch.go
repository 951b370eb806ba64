package virtual

// Names and numbers of BootChainDxe.c.
const (
	nextName   = "BootChainFwNext"
	statusName = "BootChainFwStatus"
	phaseBCT   = "bct-switch"

	statusSuccess         = 0
	statusInProgress      = 1
	statusNoOperation     = 2
	statusCapsuleConflict = 3
	statusReadingStatus   = 4
	statusResetLimit      = 5
	statusBadNext         = 9
	statusReadingNext     = 10
	statusChainFailed     = 12
	statusBootNext        = 14
	statusStaleBCT        = 17

	maxSwitchResets = 3
)

// executeUpdate is BootChainExecuteUpdate: it starts a switch, finishes one, or gives it up. Status 19 can not happen on
// T234, where BootChainIsFailed is a stub (T234ResourceConfig.c): firmware switches to a half-written chain.
func (b *boot) executeUpdate() (reset bool, err error) {
	next, isNext, fits, err := b.vars.word(nextName)
	switch {
	case err != nil:
		return false, err
	case !isNext:
		return false, b.healBCT()
	case !fits:
		return b.refuse(statusReadingNext, "BootChainFwNext can not be read")
	}
	status, isStatus, fits, err := b.vars.word(statusName)
	switch {
	case err != nil:
		return false, err
	case isStatus && !fits:
		return b.refuse(statusReadingStatus, "BootChainFwStatus can not be read")
	case isStatus && status != statusInProgress:
		b.say("UEFI drops the switch to chain %s, because BootChainFwStatus was left over (%d)", slotWord(next), status)
		return b.finish(status)
	case isStatus && next == uint32(b.chain):
		b.say("UEFI completes the switch to chain %s", b.chain)
		if err := b.setVariable(statusName, publicGUID, u32(statusSuccess)); err != nil {
			return false, err
		}
		return b.finish(statusSuccess)
	case isStatus:
		return b.refuse(statusChainFailed, "the new chain did not boot")
	}
	return b.startSwitch(next)
}

func slotWord(v uint32) string {
	if v > uint32(B) {
		return "?"
	}
	return Slot(v).String()
}

// startSwitch checks a new request, in the order of the source, and carries it out.
func (b *boot) startSwitch(next uint32) (reset bool, err error) {
	if next > uint32(B) {
		return b.refuse(statusBadNext, "BootChainFwNext names no chain")
	}
	_, bootNext, err := b.vars.get("BootNext", globalGUID)
	switch {
	case err != nil:
		return false, err
	case bootNext:
		return b.refuse(statusBootNext, "BootNext exists")
	case next == uint32(b.chain):
		return b.refuse(statusNoOperation, "the chain runs already")
	case b.staleBCT:
		return b.refuse(statusStaleBCT, "BR-BCT still names a chain that did not come up; a boot without a request clears that")
	}
	previous := uint32(b.chain)
	if err := b.setPrivate("BootChainFwPrevious", &b.st.Previous, &previous); err != nil {
		return false, err
	}
	if err := b.setVariable(statusName, publicGUID, u32(statusInProgress)); err != nil {
		return false, err
	}
	count := uint32(0)
	if b.st.ResetCount != nil {
		count = *b.st.ResetCount
	}
	if count >= maxSwitchResets {
		return b.refuse(statusResetLimit, "too many resets")
	}
	count++
	if err := b.setPrivate("BootChainFwResetCount", &b.st.ResetCount, &count); err != nil {
		return false, err
	}
	b.reg.Failed[b.chain] = 0 // ValidateActiveBootChain before the switch
	if err := b.updateFwChain(Slot(next)); err != nil {
		return false, err
	}
	b.say("UEFI makes chain %s the active one and resets", Slot(next))
	return true, nil
}

// refuse ends a request with an error in BootChainFwStatus.
func (b *boot) refuse(status uint32, why string) (reset bool, err error) {
	b.say("UEFI gives up the switch of the boot chain, status %d: %s", status, why)
	if err := b.setVariable(statusName, publicGUID, u32(status)); err != nil {
		return false, err
	}
	return b.finish(status)
}

// finish is BootChainFinishUpdate: it forgets the request, and returns to the original chain if an error left another one
// running. BootChainFwStatus stays.
func (b *boot) finish(status uint32) (reset bool, err error) {
	back := status != statusSuccess && b.st.Previous != nil && *b.st.Previous != uint32(b.chain)
	original := Slot(0)
	if back {
		original = Slot(*b.st.Previous & 1)
	}
	if err := b.setPrivate("BootChainFwPrevious", &b.st.Previous, nil); err != nil {
		return false, err
	}
	if err := b.deleteVariable(nextName, publicGUID); err != nil {
		return false, err
	}
	if err := b.setPrivate("BootChainFwResetCount", &b.st.ResetCount, nil); err != nil {
		return false, err
	}
	if !back {
		return false, nil
	}
	if err := b.updateFwChain(original); err != nil {
		return false, err
	}
	b.say("UEFI resets to restore boot chain %s", original)
	return true, nil
}

// setPrivate writes or deletes (nil) a variable that Linux does not see; a deletion of what is not there is no write.
func (b *boot) setPrivate(name string, place **uint32, value *uint32) error {
	if *place == nil && value == nil {
		return nil
	}
	return b.power.step("variable:"+name, func() error {
		*place = value
		return b.o.writeState(b.st)
	}, nil)
}

// healBCT lets BR-BCT follow the chain that runs (BrBctUpdateNeeded; AutoUpdateBrBct is 1 in L4TConfiguration.dts). The
// source does it in a boot without a request only, so that after status 12 it takes one more boot.
func (b *boot) healBCT() error {
	if !b.staleBCT {
		return nil
	}
	b.say("UEFI lets BR-BCT follow to chain %s", b.chain)
	if err := b.power.switchBCT(b.o.path(brBCTFile), b.chain); err != nil {
		return err
	}
	b.staleBCT = false
	return nil
}
