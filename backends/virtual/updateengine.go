package virtual

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// UpdateEngineFailure is what goes wrong in one call of nv_update_engine.
type UpdateEngineFailure string

// The failures besides Status 1 to 5, which are "status-N" (exit 1) and "status-N-exit-0". Of those, 4 and 5 come when half of the
// images are written.
const (
	EngineDies     UpdateEngineFailure = "dies"      // ends by a signal when half of the images are written
	EngineNoEffect UpdateEngineFailure = "no-effect" // reports success and did nothing
	EngineNotMoved UpdateEngineFailure = "not-moved" // writes everything and leaves the slots as they are
	EngineHangs    UpdateEngineFailure = "hang"      // until the context ends, before any change
)

// UpdateEngineFailures lists them all.
var UpdateEngineFailures = func() []UpdateEngineFailure {
	all := []UpdateEngineFailure{EngineDies, EngineNoEffect, EngineNotMoved, EngineHangs}
	for n := 1; n <= 5; n++ {
		all = append(all, UpdateEngineFailure(fmt.Sprintf("status-%d", n)), UpdateEngineFailure(fmt.Sprintf("status-%d-exit-0", n)))
	}
	return all
}()

// UpdateEngineOptions says which nv_update_engine it is.
type UpdateEngineOptions struct {
	Payload bool                // it knows --payload and --no-reboot (R32.6 and later) and says so in -h
	Failure UpdateEngineFailure // none if empty
}

func (o UpdateEngineOptions) check() error {
	if o.Failure != "" && !contains(UpdateEngineFailures, o.Failure) {
		return fail.New(fail.Usage, "cannot let nv_update_engine fail by %q: known are %s", o.Failure, list(UpdateEngineFailures))
	}
	return nil
}

// EngineRecord is what nv_update_engine was asked to do, kept outside of what the device sees.
type EngineRecord struct {
	Calls      [][]string `json:"calls"`
	EnabledAB  int        `json:"enabled_ab"`  // times that -e changed the redundancy of the device, or would have
	DisabledAB int        `json:"disabled_ab"` // the same of -d
	Reboots    int        `json:"reboots"`     // reboots that an install asked for
}

const (
	engineFile  = "qspi/nv_update_engine.json"
	payloadFile = "opt/ota_package/bl_update_payload"
	engineHello = "Nvidia A/B-Redundancy Update tool Version 1.2\n"

	statusBlobOpen = 1
	statusBootctrl = 2
	statusInternal = 4
	statusSlotOpen = 5
)

var kernelImages = []string{"kernel", "kernel-dtb"}

// EngineRecord reads the record; empty if the program was never called.
func (o *Orin) EngineRecord() (EngineRecord, error) {
	var r EngineRecord
	raw, err := os.ReadFile(o.path(engineFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil {
		return r, fmt.Errorf("cannot read the record of nv_update_engine: %w", err)
	}
	return r, nil
}

func (o *Orin) record(change func(*EngineRecord)) error {
	r, err := o.EngineRecord()
	if err != nil {
		return err
	}
	change(&r)
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot record nv_update_engine: %w", err)
	}
	return o.write(engineFile, append(raw, '\n'))
}

// engine is one call.
type engine struct {
	ctx      context.Context
	m        *device.Machine
	o        *Orin
	opts     UpdateEngineOptions
	out, err strings.Builder

	install, noReboot bool
	file              string // a path of the device
}

// RunUpdateEngine is NVIDIA's nv_update_engine on a JetPack 4 device; elsewhere it has no function and says so. Its changes go
// through m, whose root is the device's folder. Exit -1 means that a signal, the end of the context or the power cut ended it.
// Options that a release lacks are refused before anything happens, which is inferred.
func RunUpdateEngine(ctx context.Context, m *device.Machine, o *Orin, opts UpdateEngineOptions, args ...string) (
	stdout, stderr string, exit int,
) {
	e := &engine{ctx: ctx, m: m, o: o, opts: opts, file: "/" + payloadFile}
	exit = e.call(args)
	return e.out.String(), e.err.String(), exit
}

func (e *engine) call(args []string) int {
	if err := e.o.record(func(r *EngineRecord) { r.Calls = append(r.Calls, append([]string{}, args...)) }); err != nil {
		return e.failed(err)
	}
	if e.opts.Failure == EngineHangs {
		<-e.ctx.Done()
		return exitSignal
	}
	var verbs []string
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-h" || a == "--help":
			e.out.WriteString(engineHello + e.help())
			return 0
		case a == "-i" || a == "--install":
			e.install = true
		case a == "-v" || a == "--verify", a == "-e" || a == "--enable-ab", a == "-d" || a == "--disable-ab":
			verbs = append(verbs, strings.TrimLeft(a, "-")[:1])
		case a == "no-reboot" || a == "--no-reboot" && e.opts.Payload:
			e.noReboot = true
		case a == "--payload" && e.opts.Payload && i+1 < len(args):
			i++
			e.file = args[i]
		case e.install && !strings.HasPrefix(a, "-"): // a type: bl, bl-only
		default:
			e.err.WriteString(e.help())
			return 1
		}
	}
	if !e.install && len(verbs) == 0 {
		e.err.WriteString(e.help())
		return 1
	}
	e.out.WriteString(engineHello)
	if !e.o.board.Cboot {
		e.err.WriteString("Error: can not open slot metadata\n")
		return 1
	}
	for _, v := range verbs {
		if exit := map[string]func() int{"v": e.verify, "e": e.enable, "d": e.disable}[v](); exit != 0 {
			return exit
		}
	}
	if e.install {
		return e.update()
	}
	return 0
}

// help lists the options; the wording is not NVIDIA's, but for the options themselves.
func (e *engine) help() string {
	text := "Usage: nv_update_engine [options]\n" +
		"  -i | --install [TYPE] [no-reboot]\n" +
		"  -v | --verify\n  -e | --enable-ab\n  -d | --disable-ab\n  -h | --help\n"
	if e.opts.Payload {
		text += "  -i bl --payload FILE [--no-reboot]\n  -i bl-only --payload FILE [--no-reboot]\n"
	}
	return text
}

func (e *engine) failed(err error) int {
	if cutOff(err) {
		return exitSignal
	}
	fmt.Fprintf(&e.err, "Error: %v\n", err)
	return 1
}

// verify is what nv_update_verifier.service runs at each boot; the first three lines are from meta-tegra #744.
func (e *engine) verify() int {
	meta, from, err := e.o.loadMetadata()
	if err != nil {
		return e.failed(err)
	}
	chain, _, err := e.o.booted()
	if err != nil {
		return e.failed(err)
	}
	meta.succeed(chain)
	if err := e.o.storeThrough(e.m, *meta, from); err != nil {
		return e.failed(err)
	}
	if err := e.o.speakUp(); err != nil {
		return e.failed(err)
	}
	fmt.Fprintf(&e.out, "verifying update\nThe current slot %d is marked as boot successful\n", chain)
	return 0
}

// enable is -e: it makes the device redundant, whatever it was flashed as (smd_set_redundancy_level of tegra-boot-tools).
func (e *engine) enable() int {
	return e.redundancy(func(r *EngineRecord) { r.EnabledAB++ }, func(m *Metadata) {
		if !m.redundant() {
			full := SlotRecord{Priority: slotPriority, Retry: slotRetries, Successful: true}
			m.MaxSlots, m.Slots = 2, [2]SlotRecord{full, full}
			m.Slots[B].Priority--
		}
		m.Features |= smdBootloader | smdUser
	})
}

func (e *engine) disable() int {
	return e.redundancy(func(r *EngineRecord) { r.DisabledAB++ }, func(m *Metadata) {
		m.Features, m.MaxSlots = 0, 1
		m.Slots = [2]SlotRecord{{Priority: slotPriority, Retry: slotRetries, Successful: true}, {}}
	})
}

func (e *engine) redundancy(count func(*EngineRecord), change func(*Metadata)) int {
	if err := e.o.record(count); err != nil {
		return e.failed(err)
	}
	meta, from, err := e.o.loadMetadata()
	if err != nil {
		return e.failed(err)
	}
	change(meta)
	if err := e.o.storeThrough(e.m, *meta, from); err != nil {
		return e.failed(err)
	}
	return 0
}
