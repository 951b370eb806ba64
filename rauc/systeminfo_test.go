package rauc_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/rauc"
)

func TestPrintSystemInfo(t *testing.T) {
	version := func(text string) *capsule.Version {
		v, err := capsule.ParseVersion(text)
		must(t, err)
		return &v
	}
	slot := func(s backends.Slot) *backends.Slot { return &s }
	text := func(s string) *string { return &s }
	board := backends.Board{
		Chip: text("T234"), Spec: text("3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-"), Compat: text("3767--0005--1--jetson-orin-nano-devkit-"),
	}
	firmware := map[backends.Slot]*backends.SlotStatus{backends.A: {Firmware: version("36.4.0")}, backends.B: {Firmware: version("36.4.3")}}
	const (
		ofBoard = "RAUC_TEGRA_CHIP=T234\nRAUC_TEGRA_SPEC=3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-\n" +
			"RAUC_TEGRA_COMPAT=3767--0005--1--jetson-orin-nano-devkit-\n"
		serial = "RAUC_SYSTEM_SERIAL=1423222061482\n"
	)
	for _, tt := range []struct {
		name   string
		serial string
		status backends.Status
		want   []string // slot by slot
	}{
		{"nothing is known", "", backends.Status{}, nil},
		{"all is known, A runs", "1423222061482\x00", backends.Status{Board: board, Slots: firmware, Current: slot(backends.A)}, []string{
			serial, ofBoard, "RAUC_TEGRA_FIRMWARE_A=36.4.0\n", "RAUC_TEGRA_FIRMWARE=36.4.0\n", "RAUC_TEGRA_FIRMWARE_B=36.4.3\n",
		}},
		{"all is known, B runs", "1423222061482\x00", backends.Status{Board: board, Slots: firmware, Current: slot(backends.B)}, []string{
			serial, ofBoard, "RAUC_TEGRA_FIRMWARE_A=36.4.0\n", "RAUC_TEGRA_FIRMWARE_B=36.4.3\n", "RAUC_TEGRA_FIRMWARE=36.4.3\n",
		}},
		{"which slot runs is not known", "", backends.Status{Slots: firmware},
			[]string{"RAUC_TEGRA_FIRMWARE_A=36.4.0\n", "RAUC_TEGRA_FIRMWARE_B=36.4.3\n"}},
		{"the firmware is not known", "", backends.Status{
			Board: board, Current: slot(backends.A), Slots: map[backends.Slot]*backends.SlotStatus{backends.A: {}},
		}, []string{ofBoard}},
		{"an empty serial number", "\x00\n", backends.Status{}, nil},
	} {
		root := t.TempDir()
		if tt.serial != "" {
			must(t, os.MkdirAll(filepath.Join(root, "proc/device-tree"), 0o755),
				os.WriteFile(filepath.Join(root, "proc/device-tree/serial-number"), []byte(tt.serial), 0o444))
		}
		var out counted
		err := rauc.PrintSystemInfo(&out, device.New(root), tt.status)
		if want := strings.Join(tt.want, ""); err != nil || out.String() != want {
			t.Errorf("%s: %v\n%swant\n%s", tt.name, err, out.String(), want)
		}
		// The pipe's reader may take each write for a line of its own.
		if out.writes > 1 {
			t.Errorf("%s: %d writes", tt.name, out.writes)
		}
	}
	broken := counted{fails: errors.New("broken")}
	if err := rauc.PrintSystemInfo(&broken, device.New(t.TempDir()), backends.Status{Board: board}); !errors.Is(err, broken.fails) {
		t.Errorf("a broken pipe: %v", err)
	}
}

// Every line is one of RAUC's variables: what a device tree holds must not add another one.
func TestSystemInfoIsOneLineEach(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "proc/device-tree"), 0o755),
		os.WriteFile(filepath.Join(root, "proc/device-tree/serial-number"), []byte("12\nRAUC_SYSTEM_VARIANT=other\x00"), 0o444))
	var out counted
	must(t, rauc.PrintSystemInfo(&out, device.New(root), backends.Status{}))
	for _, line := range strings.Split(out.String(), "\n") {
		if strings.HasPrefix(line, "RAUC_SYSTEM_VARIANT=") {
			t.Errorf("a serial number of two lines becomes two variables: %q", out.String())
		}
	}
}
