package virtual

import (
	"context"
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Dialect is the release whose nvbootctrl is imitated: its commands and its output.
type Dialect string

// The dialects. R32Old is R32 before 32.6: no lines Current and Active, no -t, no is-unified-enabled (the last two inferred).
// R35Early prints no Capsule update status. R36 and R39 differ from R35 in an Info line of verify.
const (
	DialectR32Old   Dialect = "r32-old"
	DialectR32      Dialect = "r32"
	DialectR35Early Dialect = "r35-early"
	DialectR35      Dialect = "r35"
	DialectR36      Dialect = "r36"
	DialectR39      Dialect = "r39"
)

// Dialects lists them, oldest first.
var Dialects = []Dialect{DialectR32Old, DialectR32, DialectR35Early, DialectR35, DialectR36, DialectR39}

// NVBootctrlFailure is what goes wrong in one call of nvbootctrl.
type NVBootctrlFailure string

// The failures. Their texts and causes are those of public threads (meta-tegra #1767, #1832, orb-software); which of the two
// streams has them is inferred.
const (
	NVMemoryMap    NVBootctrlFailure = "memory-map"    // dump-slots-info ends behind num_slots: CONFIG_IO_STRICT_DEVMEM
	NVNoDevMem     NVBootctrlFailure = "no-dev-mem"    // exit 1 with all of standard output, and the work done
	NVNoEfivarfs   NVBootctrlFailure = "no-efivarfs"   // variables can not be read
	NVHang         NVBootctrlFailure = "hang"          // until the context ends, before any change
	NVSilentRootfs NVBootctrlFailure = "silent-rootfs" // -t rootfs set-active-boot-slot answers 0 and does nothing
	NVSilent       NVBootctrlFailure = "silent"        // so does every command that changes something
	NVCrash        NVBootctrlFailure = "crash"         // ends by a signal, before any change
	NVCrashAfter   NVBootctrlFailure = "crash-after"   // ends by a signal, after all changes
	NVExit1        NVBootctrlFailure = "exit-1"        // exit 1 with all of standard output, and the work done
)

// NVBootctrlFailures lists them.
var NVBootctrlFailures = []NVBootctrlFailure{
	NVMemoryMap, NVNoDevMem, NVNoEfivarfs, NVHang, NVSilentRootfs, NVSilent, NVCrash, NVCrashAfter, NVExit1,
}

// NVBootctrlOptions says which nvbootctrl it is.
type NVBootctrlOptions struct {
	Dialect Dialect           // that of the device's release if empty
	Failure NVBootctrlFailure // none if empty
}

const (
	exitUsage  = 64
	exitSignal = -1 // as device.Result has it
)

// bootctl is one call.
type bootctl struct {
	m        *device.Machine
	o        *Orin
	opts     NVBootctrlOptions
	rootfs   bool // -t rootfs
	command  string
	slot     Slot
	out, err strings.Builder
}

// RunNVBootctrl is NVIDIA's nvbootctrl on a device: on slot metadata in the dialects of R32, on variables in the later ones. Its
// changes go through m, whose root is the device's folder, so that a fault counts them. Exit -1 means that a signal, the end of
// the context or the power cut ended it.
func RunNVBootctrl(ctx context.Context, m *device.Machine, o *Orin, opts NVBootctrlOptions, args ...string) (
	stdout, stderr string, exit int,
) {
	if opts.Dialect == "" {
		opts.Dialect = o.Dialect()
	}
	c := &bootctl{m: m, o: o, opts: opts}
	switch opts.Failure {
	case NVHang:
		<-ctx.Done()
		return "", "", exitSignal
	case NVCrash:
		return "", "", exitSignal
	case NVNoEfivarfs:
		c.noVariables()
		return "", c.err.String(), 1
	}
	exit = c.call(args)
	switch {
	case exit == exitSignal:
	case opts.Failure == NVCrashAfter:
		exit = exitSignal
	case opts.Failure == NVNoDevMem && exit != exitUsage:
		fmt.Fprintln(&c.err, "Error: can not open /dev/mem")
		exit = 1
	case opts.Failure == NVExit1 && exit == 0:
		exit = 1
	}
	return c.out.String(), c.err.String(), exit
}

// Dialect is the one of the release that the device was made with.
func (o *Orin) Dialect() Dialect {
	var major, minor, patch int
	if _, err := fmt.Sscanf(o.board.L4T, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return DialectR36
	}
	switch {
	case major <= jetPack4 && (minor < 6 || minor == 6 && patch < 1):
		return DialectR32Old
	case major <= jetPack4:
		return DialectR32
	case major == 35 && minor < 2:
		return DialectR35Early
	case major == 35:
		return DialectR35
	case major < 38:
		return DialectR36
	}
	return DialectR39
}

// check refuses what is none of the dialects and failures.
func (o NVBootctrlOptions) check() error {
	if o.Dialect != "" && !contains(Dialects, o.Dialect) {
		return fail.New(fail.Usage, "cannot speak dialect %q: known are %s", o.Dialect, list(Dialects))
	}
	if o.Failure != "" && !contains(NVBootctrlFailures, o.Failure) {
		return fail.New(fail.Usage, "cannot let nvbootctrl fail by %q: known are %s", o.Failure, list(NVBootctrlFailures))
	}
	return nil
}

func (c *bootctl) onSMD() bool {
	return c.opts.Dialect == DialectR32 || c.opts.Dialect == DialectR32Old
}

// call reads the arguments, finds the command in the dialect and runs it.
func (c *bootctl) call(args []string) int {
	if !c.parse(args) {
		fmt.Fprintln(&c.err, "Usage: nvbootctrl [-t bootloader|rootfs] COMMAND [SLOT]") // the real wording is not known
		return exitUsage
	}
	if !c.m.Exists("/" + confFile) {
		fmt.Fprintf(&c.err, "Error: can not open /%s\n", confFile)
		return 1
	}
	if c.silent() {
		return 0
	}
	if c.onSMD() {
		return c.callSMD()
	}
	return c.callUEFI()
}

// commandTable says which commands take a slot, by dialect (true: R32). Those of R35 and later lack the five of R32, and R32 lacks
// verify, which is nv_update_engine's there.
var commandTable = []struct {
	name       string
	slot       bool
	r32, later bool
}{
	{"get-number-slots", false, true, true},
	{"get-current-slot", false, true, true},
	{"set-active-boot-slot", true, true, true},
	{"dump-slots-info", false, true, true},
	{"mark-boot-successful", false, true, false},
	{"set-slot-as-unbootable", true, true, false},
	{"is-slot-bootable", true, true, false},
	{"is-slot-marked-successful", true, true, false},
	{"get-suffix", true, true, false},
	{"verify", false, false, true},
	{"set-SR-BR", true, false, true},
	{"is-unified-enabled", false, true, false},
	{"is-rootfs-ab-enabled", false, true, true},
}

// parse reads "[-t TARGET] COMMAND [SLOT]"; from R35 on -t may also stand behind the command.
func (c *bootctl) parse(args []string) bool {
	var words []string
	for i := 0; i < len(args); i++ {
		if args[i] != "-t" {
			words = append(words, args[i])
			continue
		}
		i++
		if i == len(args) || c.opts.Dialect == DialectR32Old || c.onSMD() && len(words) > 0 {
			return false
		}
		if c.rootfs = args[i] == "rootfs"; !c.rootfs && args[i] != "bootloader" {
			return false
		}
	}
	if len(words) == 0 || words[0] == "is-unified-enabled" && c.opts.Dialect == DialectR32Old {
		return false
	}
	for _, known := range commandTable {
		if known.name != words[0] || !(c.onSMD() && known.r32 || !c.onSMD() && known.later) {
			continue
		}
		c.command = words[0]
		if !known.slot {
			return len(words) == 1
		}
		if len(words) != 2 || words[1] != "0" && words[1] != "1" {
			return false
		}
		c.slot = Slot(words[1][0] - '0')
		return true
	}
	return false
}

// silent says whether the call answers 0 without doing anything.
func (c *bootctl) silent() bool {
	switch c.command {
	case "set-active-boot-slot":
		return c.opts.Failure == NVSilent || c.opts.Failure == NVSilentRootfs && c.rootfs
	case "mark-boot-successful", "set-slot-as-unbootable", "verify", "set-SR-BR":
		return c.opts.Failure == NVSilent
	}
	return false
}

// failed prints why something went wrong. A power cut prints nothing: the process no longer runs.
func (c *bootctl) failed(err error) int {
	if cutOff(err) {
		return exitSignal
	}
	fmt.Fprintf(&c.err, "Error: %v\n", err)
	return 1
}
