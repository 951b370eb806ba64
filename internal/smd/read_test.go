package smd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/smd"
)

func TestReadTakesTheFirstWholeCopy(t *testing.T) {
	second := both()
	second.Slots[1].Priority = 13
	broken := strings.Repeat("\xff", 512)
	for _, tt := range []struct {
		name   string
		files  map[string]string
		from   string
		absent bool
		fails  bool
	}{
		{"both", map[string]string{"SMD": string(both().Bytes()), "SMD_b": string(second.Bytes())}, "/dev/disk/by-partlabel/SMD", false, false},
		{"the first torn", map[string]string{"SMD": broken, "SMD_b": string(second.Bytes())}, "/dev/disk/by-partlabel/SMD_b", false, false},
		{"the second alone", map[string]string{"SMD_b": string(second.Bytes())}, "/dev/disk/by-partlabel/SMD_b", false, false},
		{"both torn", map[string]string{"SMD": broken, "SMD_b": broken}, "", false, true},
		{"none", nil, "", true, true},
	} {
		root := t.TempDir()
		for name, text := range tt.files {
			path := filepath.Join(root, "dev/disk/by-partlabel", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, from, err := smd.Read(device.New(root))
		if (err != nil) != tt.fails || errors.Is(err, smd.ErrAbsent) != tt.absent || from != tt.from || (got == nil) != tt.fails {
			t.Errorf("%s: %+v from %q, %v", tt.name, got, from, err)
		}
		if tt.fails && !tt.absent && !strings.Contains(err.Error(), "SMD: ") {
			t.Errorf("%s: %v does not name the partition", tt.name, err)
		}
	}
}

func TestRunningFollowsTheCommandLine(t *testing.T) {
	for line, want := range map[string]int{
		"root=/dev/mmcblk0p1 rw": 0, "boot.slot_suffix= rw": 0, "rw boot.slot_suffix=_a": 0, "rw boot.slot_suffix=_b quiet\n": 1,
	} {
		if got, err := smd.Running(line); err != nil || got != want {
			t.Errorf("%q: %d, %v", line, got, err)
		}
	}
	if _, err := smd.Running("boot.slot_suffix=_c"); fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("_c: %v", err)
	}
}
