package virtual

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// update is --install: every image of the payload for this board into the chain that does not run, in the payload's order, and
// then that slot is made the active one. Whether the real one compares, or reads back, is not known; this one does neither.
func (e *engine) update() int {
	chain, _, err := e.o.booted()
	if err != nil {
		return e.failed(err)
	}
	mod, err := lookupModule(e.o.board.Module)
	if err != nil {
		return e.failed(err)
	}
	target := chain.Other()
	// These lines are from meta-tegra #367; the device behind the last one is inferred.
	fmt.Fprintf(&e.out, "current slot %d\nStart updating slot %d\n", chain, target)
	fmt.Fprintf(&e.out, "Tegra User Block Device: /dev/disk/by-partlabel\nTegra Boot Block Device: %s\n", mod.otaBoot)
	status, exitZero := e.forced()
	if status > 0 && status < statusInternal {
		return e.ended(status, exitZero)
	}
	if e.opts.Failure == EngineNoEffect {
		return e.success()
	}
	meta, from, err := e.o.loadMetadata()
	if err != nil {
		return e.failed(err)
	}
	if !meta.redundant() {
		return e.ended(statusBootctrl, false)
	}
	images, problem := e.images(target)
	if problem != 0 {
		return e.ended(problem, false)
	}
	for i, im := range images {
		if i == len(images)/2 && status != 0 {
			return e.ended(status, exitZero)
		}
		if i == len(images)/2 && e.opts.Failure == EngineDies {
			return exitSignal
		}
		if err := e.writeImage(target, im); err != nil {
			if cutOff(err) {
				return exitSignal
			}
			return e.ended(statusInternal, false)
		}
	}
	if e.opts.Failure == EngineNotMoved {
		return e.success()
	}
	meta.activate(target)
	if err := e.o.storeThrough(e.m, *meta, from); err != nil {
		if cutOff(err) {
			return exitSignal
		}
		return e.ended(statusBootctrl, false)
	}
	return e.success()
}

// forced is the status that the failure asks for, 0 for none.
func (e *engine) forced() (status int, exitZero bool) {
	word, ok := strings.CutPrefix(string(e.opts.Failure), "status-")
	if !ok {
		return 0, false
	}
	return int(word[0] - '0'), strings.HasSuffix(word, "-exit-0")
}

func (e *engine) ended(status int, exitZero bool) int {
	fmt.Fprintf(&e.out, "OTA Blob update failed. Status: %d\n", status)
	if exitZero {
		return 0
	}
	return 1
}

// success prints what no thread shows, so that nobody may rely on its words, and asks for the reboot.
func (e *engine) success() int {
	e.out.WriteString("OTA Blob update done\n")
	if e.noReboot {
		return 0
	}
	if err := e.o.record(func(r *EngineRecord) { r.Reboots++ }); err != nil {
		return e.failed(err)
	}
	e.out.WriteString("Rebooting\n")
	return 0
}

// images selects what the board takes; another result than 0 is the status of the failure.
func (e *engine) images(target Slot) ([]selected, int) {
	raw, err := e.m.ReadFile(e.file)
	if err != nil {
		return nil, statusBlobOpen
	}
	pkg, err := bup.ParseAt(bytes.NewReader(raw), int64(len(raw)))
	if err != nil || pkg.Header.Format != bup.V2 || pkg.Header.Type != bup.TypeUpdate {
		return nil, statusBlobOpen
	}
	conf := e.conf()
	sizes := map[string]int64{}
	for _, p := range e.o.board.parts() {
		sizes[p.Name] = p.Sectors * sectorSize
	}
	for _, name := range kernelImages {
		if info, err := os.Stat(e.o.imagePath(target, name)); err == nil {
			sizes[name] = info.Size()
		}
	}
	var images []selected
	taken, known := map[string]bool{}, map[string]bool{}
	for _, entry := range pkg.Entries {
		known[entry.Name] = true
		fits := specFitsR32(entry.Spec, conf["TNSPEC"]) || specFitsR32(entry.Spec, conf["COMPATIBLE_SPEC"])
		if taken[entry.Name] || entry.OpMode == bup.NonProduction || !fits {
			continue
		}
		if sizes[entry.Name] == 0 {
			return nil, statusSlotOpen
		}
		if int64(entry.Length) > sizes[entry.Name] {
			return nil, statusInternal
		}
		taken[entry.Name] = true
		images = append(images, selected{entry.Name, raw[entry.Offset : entry.Offset+entry.Length]})
	}
	if len(taken) < len(known) { // an image for other boards only
		return nil, statusInternal
	}
	return images, 0
}

func (e *engine) conf() map[string]string {
	values := map[string]string{}
	text, err := e.o.readText(confFile)
	if err != nil {
		return values
	}
	for _, line := range strings.Split(text, "\n") {
		if key, value, ok := strings.Cut(line, " "); ok {
			values[key] = strings.TrimSpace(value)
		}
	}
	return values
}

// imagePath is where an image goes: kernel and its device tree are partitions of the disk.
func (o *Orin) imagePath(s Slot, name string) string {
	if contains(kernelImages, name) {
		return o.path(labelDir, o.board.flashName(s, name))
	}
	return o.partition(s, name)
}

// writeImage writes one image in steps between which the power can be cut, each a change of the machine.
func (e *engine) writeImage(target Slot, im selected) error {
	path := e.o.imagePath(target, im.name)
	partition := e.o.board.flashName(target, im.name)
	what := "write " + partition
	if contains(kernelImages, im.name) { // a block device: it keeps its size
		return e.m.Change(what, func() error { return patchFile(path, im.data) })
	}
	half := len(im.data) / 2
	for _, step := range []struct {
		what string
		at   int
		data []byte
	}{{"erase " + partition, 0, erasedBytes(len(im.data))}, {what, 0, im.data[:half]}, {what, half, im.data[half:]}} {
		err := e.m.Change(step.what, func() error { return writePart(path, step.data, step.at, len(im.data)) })
		if err != nil {
			return err
		}
	}
	return nil
}

// writePart writes into a chain's partition, which holds just its image: its size follows.
func writePart(path string, data []byte, at, size int) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("cannot write flash: %w", err)
	}
	defer f.Close()
	if err := f.Truncate(int64(size)); err != nil {
		return fmt.Errorf("cannot write flash: %w", err)
	}
	if _, err := f.WriteAt(data, int64(at)); err != nil {
		return fmt.Errorf("cannot write flash: %w", err)
	}
	return f.Close()
}

// resultOf makes the outcome of a stand-in what device.Machine.Run answers.
func resultOf(c device.Command, ctxErr error, stdout, stderr string, exit int) (device.Result, error) {
	res := device.Result{Stdout: stdout, Stderr: stderr, ExitCode: exit}
	switch {
	case ctxErr == nil || exit >= 0:
		return res, nil
	case c.Timeout > 0:
		return res, fmt.Errorf("cannot run %s: %w after %s", c.Path, ctxErr, c.Timeout)
	}
	return res, fmt.Errorf("cannot run %s: %w", c.Path, ctxErr)
}
