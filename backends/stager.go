package backends

import (
	"context"
	"io"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Method is a way for firmware into the flash.
type Method string

// The methods. A capsule is applied by the firmware between two boots; the others write the target's chain during install.
const (
	ByCapsule Method = "capsule"
	ByEngine  Method = "engine" // NVIDIA's nv_update_engine (L4T R32)
	ByMTD     Method = "mtd"    // the flash itself, where Linux sees it
)

// FirmwareStager applies firmware: it puts a capsule where it can be armed, arms it, takes it back. Control defines it
// because Control calls it; handlers/firmware implements it. Every call may be interrupted anywhere and repeated.
type FirmwareStager interface {
	// Method says how firmware gets into the flash of this device.
	Method() Method
	// Ready says what keeps every capsule out, whatever it holds; nil for nothing.
	Ready(ctx context.Context) error
	// Open reads the head of a capsule and refuses whatever can be refused without writing: another device's capsule, a
	// version below a floor, a missing image, an ESP that is not there or too full, a foreign capsule in the firmware's
	// folder.
	Open(ctx context.Context, r io.Reader) (Candidate, error)
	// Pending says what lies where. staged identifies our own capsule; nil when there is none.
	Pending(ctx context.Context, staged *Staged) (Pending, error)
	// Verify reads the staged capsule and compares it with what was staged.
	Verify(ctx context.Context, staged Staged) error
	// Arm moves the staged capsule into the firmware's folder, syncs, and asks the firmware to process it
	// (OsIndications bit 2, last).
	Arm(ctx context.Context, staged Staged) error
	// Disarm takes an armed capsule back to staging. clearRequest also takes back the request to the firmware; that comes first.
	Disarm(ctx context.Context, staged Staged, clearRequest bool) error
	// Discard removes our own capsule wherever it lies.
	Discard(ctx context.Context, staged Staged) error
	// DiscardIncomplete removes what an interrupted staging left behind.
	DiscardIncomplete(ctx context.Context) error
}

// Candidate is a capsule whose head was accepted.
type Candidate interface {
	Version() capsule.Version
	// Warnings are doubts that do not forbid the update.
	Warnings() []string
	// Stage reads the rest, puts it on the ESP outside the firmware's folder, and reads it back.
	Stage(ctx context.Context) (Staged, error)
	// Verify reads the rest without keeping it.
	Verify(ctx context.Context) error
}

// Writer is a Candidate that this system writes into the target's chain itself, during install and for minutes. Control calls
// Receive, marks the chain dirty and its slot unbootable, calls Write, and takes the mark back after a Write without error.
type Writer interface {
	Candidate
	// Receive reads the rest and keeps it in folder, on storage and read back. Then it refuses what can still be refused before
	// the chain of the target is touched. Nothing to write means that the chain holds every image already, read and compared.
	Receive(ctx context.Context, folder string, target Slot) (r Received, err error)
	// Write writes the target's chain and reads it back; without an error the chain is whole. Interrupted anywhere, it may be run
	// again.
	Write(ctx context.Context) (Written, error)
	// Discard removes what Receive kept.
	Discard(ctx context.Context) error
}

// Received is a payload that Receive took in.
type Received struct {
	Staged
	Nothing bool // the chain provably holds all of it already
}

// Written is what Write did, in sentences for the log: blocks compared, erased and programmed, images skipped.
type Written struct{ Notes []string }

// Staged identifies a capsule by its content: on FAT a power cut can leave it under both names or neither.
type Staged struct {
	Size    int64           `json:"size"`
	SHA256  string          `json:"sha256"`
	Version capsule.Version `json:"version"`
}

// Pending is where capsules lie and what the firmware was asked.
type Pending struct {
	Staged  bool     // ours lies in staging
	Armed   bool     // ours lies in the firmware's folder
	Foreign []string // names in the firmware's folder that are not ours
	// Unsupported says that OsIndicationsSupported exists without bit 2.
	Unsupported bool
	// Requested is OsIndications bit 2: process capsules at the next boot.
	Requested bool
}

// RefuseForeign refuses to do something, in words, beside a capsule that is not ours; nil without one.
func (p Pending) RefuseForeign(do string) error {
	if len(p.Foreign) == 0 {
		return nil
	}
	return fail.New(fail.Unavailable, "cannot %s: %s in the firmware's folder is not tegra-ota's", do, strings.Join(p.Foreign, " and ")).
		Then("remove it from EFI/UpdateCapsule if nobody needs it")
}
