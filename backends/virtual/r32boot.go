package virtual

import (
	"context"
	"fmt"
	"reflect"
)

// maxRotate is how often cboot starts the kernels of both slots together without a word from userspace: twice each
// (get_max_rotate_count of cboot; the number is inferred from the comments there).
const maxRotate = 4

// startR32 is one attempt with MB1 and cboot of R32. MB1 counts a try in a scratch register, which is filled from the slot
// metadata at each reset that comes from Linux or power-on, and cboot writes the counts back: a chain that never reaches cboot
// is tried until its retries are used up, in one go.
func (b *boot) startR32(ctx context.Context) error {
	var err error
	if b.st, err = b.o.readState(); err != nil {
		return err
	}
	if b.opts.Cold {
		b.say("power on: the scratch registers are empty")
		b.st.Rotate, b.st.RootRetry = 0, nil
	} else {
		b.say("warm reset: the scratch registers are kept")
	}
	meta, from, err := b.o.loadMetadata()
	if err != nil {
		return err
	}
	for _, label := range meta.Torn {
		b.say("MB1 finds %s torn", label)
	}
	if from < 0 {
		b.say("MB1 has no slot metadata and knows slot A alone")
	}
	before := *meta
	if b.opts.Fail == FailFirmware {
		target, _ := meta.next()
		b.failing = &target
	}
	up, err := b.mb1(ctx, meta)
	if err != nil {
		return err
	}
	if !up {
		b.report.Outcome = OutcomeNoFirmware
		b.say("no boot chain starts: the unit stays in recovery mode")
		return b.o.writeState(b.st)
	}
	root, ok := b.cboot(meta)
	if from >= 0 && !reflect.DeepEqual(before, *meta) { // cboot compares and writes only what changed
		if err := b.o.storeMetadata(*meta, from, b.power.step); err != nil {
			return err
		}
	}
	if !ok {
		b.report.Outcome = OutcomeRecovery
		b.say("cboot boots the recovery kernel: no slot is left to try")
		return b.o.writeState(b.st)
	}
	return b.kernelR32(root)
}

// mb1 starts the chain that the metadata names, again after each reset, until one comes up.
func (b *boot) mb1(ctx context.Context, meta *Metadata) (bool, error) {
	for ; ; b.report.Resets++ {
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("cannot finish the boot: %w", err)
		}
		slot, ok := meta.next()
		if !ok {
			b.say("MB1 finds no slot with priority and retries")
			return false, nil
		}
		record := &meta.Slots[slot]
		if meta.redundant() || !record.Successful { // tegrabl_a_b_check_and_update_retry_count
			record.Retry--
		}
		up, err := b.comesUpR32(slot, record.Retry)
		if err != nil {
			return false, err
		}
		if up {
			b.chain, b.report.Chain = slot, slot
			b.running, err = b.o.version(slot)
			b.say("MB1 starts chain %s, firmware %s", slot, versionWord(b.running))
			return true, err
		}
		if !meta.redundant() && record.Successful {
			return false, nil // nothing counts down: it would be tried for ever
		}
	}
}

func (b *boot) comesUpR32(c Slot, left uint8) (bool, error) {
	if b.failing != nil && *b.failing == c {
		b.say("chain %s does not come up: %d tries left", c, left)
		return false, nil
	}
	r, err := b.o.Chain(c)
	if err != nil {
		return false, err
	}
	if !r.Startable {
		b.say("MB1 can not start chain %s: %s; %d tries left", c, r.Problems[0], left)
	}
	return r.Startable, nil
}

// cboot is tegrabl_a_b_update_smd with its choice of a root file system; false means recovery. A slot on trial keeps the count
// that MB1 lowered; that of a successful one is filled up again, for its firmware has proved itself, and the register counts
// kernels that were started in vain.
func (b *boot) cboot(meta *Metadata) (root Slot, ok bool) {
	record := &meta.Slots[b.chain]
	together := meta.has(smdUser) || meta.has(smdUnified)
	switch {
	case !record.Successful:
		b.say("cboot counts a boot of slot %s: %d retries left", b.chain, record.Retry)
	case meta.redundant():
		record.Retry = slotRetries
		if together && !b.rotate(meta) {
			return A, false
		}
	}
	switch {
	case together:
		return b.chain, true
	case meta.has(smdRootfs):
		return b.selectRoot(meta)
	}
	return A, true // without redundancy of what cboot loads there is one kernel and one root file system
}

// rotate is check_user_redundancy_status: a kernel that was started twice without word from userspace loses its priority.
func (b *boot) rotate(meta *Metadata) bool {
	if b.st.Rotate >= maxRotate {
		return false
	}
	b.st.Rotate++
	other := &meta.Slots[b.chain.Other()]
	if b.st.Rotate%(maxRotate/2) == 0 && other.Retry > 0 && other.Priority > 0 {
		meta.Slots[b.chain].Priority, other.Priority = slotPriority-1, slotPriority
		b.say("cboot prefers slot %s from the next boot on, unless userspace speaks up", b.chain.Other())
	}
	return true
}

// selectRoot is tegrabl_a_b_select_active_rootfs.
func (b *boot) selectRoot(meta *Metadata) (Slot, bool) {
	if b.st.RootRetry == nil {
		retry := meta.RootRetry
		b.st.RootRetry = &retry
	}
	if meta.Root > uint8(B) {
		return A, false
	}
	if *b.st.RootRetry == 0 {
		b.say("cboot marks root file system %s as failed", Slot(meta.Root))
		meta.RootStatus[meta.Root] = rootFailed
		other := Slot(meta.Root).Other()
		if meta.RootStatus[other] != 0 {
			meta.Root = rootInvalid
			return A, false
		}
		meta.Root, *b.st.RootRetry = uint8(other), rootRetries
	}
	*b.st.RootRetry--
	b.say("cboot counts a boot of root file system %s: %d retries left", Slot(meta.Root), *b.st.RootRetry)
	return Slot(meta.Root), true
}

// kernelR32 starts Linux. Where NVIDIA's nv_update_verifier.service is on the image it tells cboot that userspace runs; its mark
// of success is left to the client.
func (b *boot) kernelR32(root Slot) error {
	b.report.Rootfs = root
	b.say("cboot starts the kernel of slot %s", root)
	if !b.o.board.Rotate && b.opts.Fail == "" {
		b.st.Rotate, b.st.RootRetry = 0, nil
	}
	id, err := b.o.startLinuxR32(&b.st, b.chain, root)
	if err != nil {
		return err
	}
	return b.linux(id, root)
}
