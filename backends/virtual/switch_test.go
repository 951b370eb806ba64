package virtual_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

const (
	next     = "BootChainFwNext"
	fwStatus = "BootChainFwStatus"
)

// setPrivate changes a variable that Linux does not see.
func setPrivate(t testing.TB, o *virtual.Orin, name string, value any) {
	t.Helper()
	var st map[string]any
	if err := json.Unmarshal([]byte(read(t, o, "qspi/uefi_variables.json")), &st); err != nil {
		t.Fatal(err)
	}
	st[name] = value
	raw, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	put(t, o, "qspi/uefi_variables.json", string(raw))
}

func private(t testing.TB, o *virtual.Orin, name string) any {
	t.Helper()
	var st map[string]any
	if err := json.Unmarshal([]byte(read(t, o, "qspi/uefi_variables.json")), &st); err != nil {
		t.Fatal(err)
	}
	return st[name]
}

func eraseMB1(t testing.TB, o *virtual.Orin, s virtual.Slot) {
	t.Helper()
	if err := os.WriteFile(o.PartitionPath(s, "mb1"), []byte(strings.Repeat("\xff", 4096)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Each row is one way through BootChainExecuteUpdate. after has Next and Status; the device starts in slot A.
func TestSwitch(t *testing.T) {
	for _, c := range []struct {
		name   string
		given  func(t *testing.T, o *virtual.Orin)
		opts   virtual.BootOptions
		where  string
		after  string
		resets int
	}{
		{"plain boot", func(*testing.T, *virtual.Orin) {}, virtual.BootOptions{}, "running AA", "- -", 0},
		{"switch", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1) }, virtual.BootOptions{}, "running BB", "- 0", 1},
		{"switch after power-off", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1) }, virtual.BootOptions{Cold: true}, "running BB", "- 0", 1},
		{"next is current", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 0) }, virtual.BootOptions{}, "running AA", "- 2", 0},
		{"next is no chain", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 2) }, virtual.BootOptions{}, "running AA", "- 9", 0},
		{"next too long", func(t *testing.T, o *virtual.Orin) { set(t, o, next, public, 1, 0, 0, 0, 0) }, virtual.BootOptions{}, "running AA", "- 10", 0},
		{"next of one byte", func(t *testing.T, o *virtual.Orin) { set(t, o, next, public, 1) }, virtual.BootOptions{}, "running BB", "- 0", 1},
		{"next volatile", func(t *testing.T, o *virtual.Orin) {
			put(t, o, "sys/firmware/efi/efivars/"+next+"-"+public, "\x06\x00\x00\x00\x01\x00\x00\x00")
		}, virtual.BootOptions{}, "running AA", "- -", 0},
		{"next a phantom", func(t *testing.T, o *virtual.Orin) { put(t, o, "sys/firmware/efi/efivars/"+next+"-"+public, "") }, virtual.BootOptions{}, "running AA", "- -", 0},
		{"status left over from a success", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1); set32(t, o, fwStatus, 0) }, virtual.BootOptions{}, "running AA", "- 0", 0},
		{"status left over from an error", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1); set32(t, o, fwStatus, 12) }, virtual.BootOptions{}, "running AA", "- 12", 0},
		{"status without next", func(t *testing.T, o *virtual.Orin) { set32(t, o, fwStatus, 3) }, virtual.BootOptions{}, "running AA", "- 3", 0},
		{"BootNext", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1); set(t, o, "BootNext", global, 1, 0) }, virtual.BootOptions{}, "running AA", "- 14", 0},
		{"BootNext is asked before no operation", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 0); set(t, o, "BootNext", global, 1, 0) }, virtual.BootOptions{}, "running AA", "- 14", 0},
		{"firmware of the target fails", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1) }, virtual.BootOptions{Fail: virtual.FailFirmware}, "running AA", "- 12", 1},
		{"target chain erased", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1); eraseMB1(t, o, virtual.B) }, virtual.BootOptions{}, "running AA", "- 12", 1},
		{"in progress, arrived", func(t *testing.T, o *virtual.Orin) {
			set32(t, o, next, 0)
			set32(t, o, fwStatus, 1)
			setPrivate(t, o, "BootChainFwPrevious", 1)
		}, virtual.BootOptions{}, "running AA", "- 0", 0},
		{"in progress, not arrived", func(t *testing.T, o *virtual.Orin) {
			set32(t, o, next, 1)
			set32(t, o, fwStatus, 1)
			setPrivate(t, o, "BootChainFwPrevious", 0)
		}, virtual.BootOptions{}, "running AA", "- 12", 0},
		{"error while another chain than the original runs", func(t *testing.T, o *virtual.Orin) {
			set32(t, o, next, 1)
			set32(t, o, fwStatus, 1)
			setPrivate(t, o, "BootChainFwPrevious", 1)
		}, virtual.BootOptions{}, "running BB", "- 12", 1},
		{"too many resets", func(t *testing.T, o *virtual.Orin) {
			set32(t, o, next, 1)
			setPrivate(t, o, "BootChainFwResetCount", 3)
		}, virtual.BootOptions{}, "running AA", "- 5", 0},
		{"kernel of the target dies", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1) }, virtual.BootOptions{Fail: virtual.FailKernel}, "kernel-failed BB", "- 0", 1},
		{"userspace of the target hangs", func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1) }, virtual.BootOptions{Fail: virtual.FailUserspace}, "userspace-hung BB", "- 0", 1},
		{"firmware of the current chain fails", func(*testing.T, *virtual.Orin) {}, virtual.BootOptions{Fail: virtual.FailFirmware}, "running BB", "- -", 0},
		{"both chains erased", func(t *testing.T, o *virtual.Orin) { eraseMB1(t, o, virtual.A); eraseMB1(t, o, virtual.B) }, virtual.BootOptions{}, "no-firmware A", "- -", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := create(t, small())
			c.given(t, o)
			r := boot(t, o, c.opts)
			if where(r) != c.where || r.Resets != c.resets {
				t.Errorf("%s with %d resets, want %s with %d\n%s", where(r), r.Resets, c.where, c.resets, strings.Join(r.Timeline, "\n"))
			}
			if _, err := os.Stat(variablePath(o, next, public)); err == nil {
				t.Error("BootChainFwNext is still there")
			}
			if got := words(t, o, next, fwStatus); got != c.after {
				t.Errorf("Next and Status are %s, want %s", got, c.after)
			}
			if p, n := private(t, o, "BootChainFwPrevious"), private(t, o, "BootChainFwResetCount"); (p != nil || n != nil) && r.Resets == 0 && c.name != "too many resets" {
				t.Errorf("Previous %v and ResetCount %v are left over", p, n)
			}
			if !r.KernelStarted() {
				return
			}
			if got := words(t, o, "BootChainFwCurrent", "BootChainOsCurrent"); got != map[string]string{"AA": "0 0", "BB": "1 1"}[c.where[len(c.where)-2:]] {
				t.Errorf("the current chain and root are %s in %s", got, c.where)
			}
		})
	}
}

func TestStatusTooLong(t *testing.T) {
	o := create(t, small())
	set32(t, o, next, 1)
	set(t, o, fwStatus, public, 0, 0, 0, 0, 0)
	r := boot(t, o, virtual.BootOptions{})
	if got := words(t, o, next, fwStatus); where(r) != "running AA" || got != "- 4" {
		t.Errorf("%s, Next and Status %s, want status 4", where(r), got)
	}
}

// After a switch the mounts, the command line and the boot identity are the other slot's.
func TestKernelView(t *testing.T) {
	o := create(t, small())
	before := read(t, o, "proc/sys/kernel/random/boot_id")
	set32(t, o, next, 1)
	r := boot(t, o, virtual.BootOptions{})
	id, _ := o.PARTUUID("APP_b")
	if text := read(t, o, "proc/self/mountinfo"); !strings.Contains(text, " / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw\n") {
		t.Errorf("mountinfo after a switch:\n%s", text)
	}
	if text := read(t, o, "proc/cmdline"); !strings.HasPrefix(text, "root=PARTUUID="+id.String()+" ") {
		t.Errorf("cmdline after a switch: %s", text)
	}
	if after := strings.TrimSpace(read(t, o, "proc/sys/kernel/random/boot_id")); after != r.BootID || after == strings.TrimSpace(before) {
		t.Errorf("boot_id is %s, the report says %s, before it was %s", after, r.BootID, before)
	}
}

// BootNext is consumed by a boot, after the check that it cancels a switch; one that leads nowhere is consumed too.
func TestBootNext(t *testing.T) {
	for number, want := range map[byte]string{1: "\x06\x00\x00\x00\x01\x00", 7: "\x06\x00\x00\x00\x01\x00"} {
		o := create(t, small())
		set(t, o, "BootNext", global, number, 0)
		boot(t, o, virtual.BootOptions{})
		if _, err := os.Stat(variablePath(o, "BootNext", global)); err == nil {
			t.Error("BootNext outlived a boot")
		}
		if got := read(t, o, "sys/firmware/efi/efivars/BootCurrent-"+global); got != want {
			t.Errorf("BootCurrent = %q after BootNext %d", got, number)
		}
	}
}

// A switch that failed leaves BR-BCT with the chain that did not come up, until a boot without a request heals it: another
// request in between is refused with 17.
func TestStaleBCT(t *testing.T) {
	o := create(t, small())
	eraseMB1(t, o, virtual.B)
	set32(t, o, next, 1)
	boot(t, o, virtual.BootOptions{})
	if got := words(t, o, fwStatus); got != "12" {
		t.Fatalf("status %s, want 12", got)
	}
	unset(t, o, fwStatus, public)
	set32(t, o, next, 1)
	r := boot(t, o, virtual.BootOptions{})
	if got := words(t, o, next, fwStatus); where(r) != "running AA" || got != "- 17" {
		t.Errorf("%s, Next and Status %s, want - 17", where(r), got)
	}
	setRetries(t, o, "3", "3")
	boot(t, o, virtual.BootOptions{})
	unset(t, o, fwStatus, public)
	set32(t, o, next, 1)
	boot(t, o, virtual.BootOptions{})
	if got := words(t, o, fwStatus); got != "12" {
		t.Errorf("after a boot without a request the switch ends with %s, want 12 again", got)
	}
}

// A chain that is damaged elsewhere does not start either, and one of mixed versions does, but is not whole.
func TestChainJudgement(t *testing.T) {
	o := create(t, small())
	path := o.PartitionPath(virtual.B, "mb2")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change           func([]byte) []byte
		whole, startable bool
	}{
		"untouched": {func(b []byte) []byte { return b }, true, true},
		"flipped":   {func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, false, false},
		"cut off":   {func(b []byte) []byte { return b[:100] }, false, false},
		"header":    {func(b []byte) []byte { return b[:50] }, false, false},
		"empty":     {func([]byte) []byte { return nil }, false, false},
		"renamed":   {func(b []byte) []byte { b[24] ^= 1; return b }, false, false},
		"older":     {func(b []byte) []byte { b[16] ^= 1; return b }, false, true},
		"foreign":   {func([]byte) []byte { return []byte("NVDA, but a real one") }, true, true},
	} {
		if err := os.WriteFile(path, c.change(append([]byte{}, raw...)), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := o.Chain(virtual.B)
		if err != nil || got.Whole != c.whole || got.Startable != c.startable {
			t.Errorf("%s: Chain(B) = %+v, %v, want whole %v, startable %v", name, got, err, c.whole, c.startable)
		}
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(o.Dir(), "qspi/B/VER")); err != nil {
		t.Fatal(err)
	}
	if got, err := o.Chain(virtual.B); err != nil || got.Whole || !got.Startable || got.VersionText != "unknown" {
		t.Errorf("without VER: Chain(B) = %+v, %v", got, err)
	}
}
