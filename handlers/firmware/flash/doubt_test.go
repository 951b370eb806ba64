package flash

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// The kept payload lies on storage that may rot, and that others may write to: what is in the flash is judged by the digests of the
// stream, and not by that file.
func TestWhatIsReadBackIsWhatCameIn(t *testing.T) {
	p := layoutOf(4<<10, 8)
	old := p.release(1)
	r := board(t, p, p.old(old))
	update, _, _, _, _ := smallUpdate(t, p, old, backends.B)
	ctx := context.Background()
	c, err := r.s.Open(ctx, bytes.NewReader(update))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.(backends.Writer).Receive(ctx, folder, backends.B); err != nil {
		t.Fatal(err)
	}
	kept := r.m.Path(folder + "/firmware.bup")
	content, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := bup.ParseAt(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range parsed.Entries {
		if e.Name == "mb2" {
			content[e.Offset+e.Length-1] ^= 1
		}
	}
	if err := os.WriteFile(kept, content, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = c.(backends.Writer).Write(ctx)
	if fail.CodeOf(err) != fail.IO || !strings.Contains(err.Error(), "it is not what the update held") {
		t.Errorf("%v", err)
	}
	head := r.onFile()[p.part("B_mb1").off:]
	if !blank(head[:4<<10]) {
		t.Error("mb1 is left valid over an image that nobody can vouch for")
	}
}

// A boot partition that is busy is protected again, too.
func TestBusyBootPartitionIsProtectedAgain(t *testing.T) {
	k, _ := xavier(t)
	if err := os.Remove(k.m.Path("/dev/mmcblk0boot0")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(k.m.Path("/dev/mmcblk0boot0"), 0o755); err != nil { // cannot be opened for writing
		t.Fatal(err)
	}
	if _, err := openBlock(k.m, "/dev/mmcblk0boot0", true); err == nil {
		t.Fatal("it opened")
	}
	if got := k.forceRO(); got != "1 1" {
		t.Errorf("force_ro is %s", got)
	}
}

// A damaged table is refused also where the device tree names partitions beside the whole chip.
func TestDamagedTableIsRefusedBesideNamedPartitions(t *testing.T) {
	p := layoutOf(4<<10, 8)
	flash := p.old(p.release(1))
	r := board(t, p, flash)
	flash[len(flash)-512+16] ^= 0xff // chain A runs, and the last sector is its header: the checksum
	r.file("/dev/mtd0", string(flash))
	text, err := r.m.ReadFile("/proc/mtd")
	if err != nil {
		t.Fatal(err)
	}
	list := string(text)
	for i, name := range []string{"A_mb1", "B_mb1"} {
		node := "/dev/mtd" + string(rune('1'+i))
		r.file(node, strings.Repeat("\xff", 16<<10))
		r.file("/sys/class/mtd/mtd"+string(rune('1'+i))+"/erasesize", "4096\n")
		list += "mtd" + string(rune('1'+i)) + ": 00004000 00001000 \"" + name + "\"\n"
	}
	r.file("/proc/mtd", list)
	l, err := find(r.m, r.s.open, chip.T234, backends.B)
	if err == nil {
		_ = l.close()
	}
	if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("%v", err)
	}
}

// The floors of the firmware's own update hold: below the lowest version, and R36 on a firmware whose layout is older.
func TestFloorsHold(t *testing.T) {
	for name, tt := range map[string]struct {
		running, lowest, want string
		allowed               bool
	}{
		"above":      {"2360320", "2360320", "", true},                       // 36.4.0
		"below":      {"2360323", "2360323", "below the lowest", false},      // 36.4.3
		"too old":    {"2294784", "2294784", "flash layout is newer", false}, // 35.4.0
		"new layout": {"2295040", "2294784", "", true},                       // 35.5.0
	} {
		r := board(t, layoutOf(4<<10, 8), nil)
		entry := "/sys/firmware/efi/esrt/entries/entry0/"
		for file, text := range map[string]string{
			"fw_class": "bf0d4599-20d4-414e-b2c5-3595b1cda402", "fw_type": "1", "fw_version": tt.running, "lowest_supported_fw_version": tt.lowest,
			"capsule_flags": "0", "last_attempt_version": "0", "last_attempt_status": "0",
		} {
			r.file(entry+file, text+"\n")
		}
		err := r.s.checkVersion(0x240400) // 36.4.0
		if (err == nil) != tt.allowed || err != nil && (fail.CodeOf(err) != fail.Data || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.s.checkVersion(0); err != nil {
			t.Errorf("%s: a version that is not known: %v", name, err)
		}
	}
}
