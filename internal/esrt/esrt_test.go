package esrt_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/esrt"
)

const folder = "sys/firmware/efi/esrt/entries/entry0"

func table(t *testing.T, change map[string]string) *device.Machine {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"fw_class": "bf0d4599-20d4-414e-b2c5-3595b1cda402\n", "fw_type": "1\n", "fw_version": "2360320\n",
		"lowest_supported_fw_version": "2293760\n", "last_attempt_version": "2360323\n", "last_attempt_status": "6163\n",
	}
	for name, content := range change {
		files[name] = content
	}
	if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if content == "absent" {
			continue
		}
		if err := os.WriteFile(filepath.Join(root, folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return device.New(root)
}

func TestRead(t *testing.T) {
	got, err := esrt.Read(table(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := esrt.Entry{
		Class: guid.MustParse("bf0d4599-20d4-414e-b2c5-3595b1cda402"), Version: 0x240400, Lowest: 0x230000, LastVersion: 0x240403, LastStatus: 6163,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(esrt.Attempt{Version: 0x240403, Status: 6163}, got.Last()); d != "" {
		t.Error(d)
	}
	// The kernel prints decimal; hexadecimal is understood, too.
	if got, err := esrt.Read(table(t, map[string]string{"fw_version": "0x00240400"})); err != nil || got.Version != 0x240400 {
		t.Error(got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, change := range map[string]map[string]string{
		"fw_class":            {"fw_class": "nonsense"},
		"fw_version":          {"fw_version": "-1"},
		"last_attempt_status": {"last_attempt_status": "4294967296"},
		"lowest_supported":    {"lowest_supported_fw_version": ""},
	} {
		if _, err := esrt.Read(table(t, change)); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "cannot read the firmware's update table: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"fw_class", "fw_version", "last_attempt_status"} {
		if _, err := esrt.Read(table(t, map[string]string{name: "absent"})); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every status that UEFI, FmpDxe or NVIDIA's firmware is known to report, each with what it means and what to do about it.
func TestExplain(t *testing.T) {
	codes := []uint32{1, 2, 3, 4, 5, 6, 7, 8, 4112, 4114}
	for c := uint32(6144); c <= 6170; c++ {
		codes = append(codes, c)
	}
	reasons := map[string]uint32{}
	for _, c := range codes {
		e := esrt.Explain(c)
		if e.Reason == "" || e.NextStep == "" || strings.Contains(e.Reason, "does not know") || strings.HasSuffix(e.Reason, ".") || strings.ContainsAny(e.Reason+e.NextStep, "\n") {
			t.Errorf("%d: %+v", c, e)
		}
		if other, ok := reasons[e.Reason]; ok {
			t.Errorf("%d and %d have the same reason: %s", c, other, e.Reason)
		}
		reasons[e.Reason] = c
	}
	for _, c := range []uint32{9, 4113, 6143, 6171, 0xFFFFFFFF} {
		if e := esrt.Explain(c); !strings.Contains(e.Reason, "does not know") || e.NextStep == "" || e.Untouched {
			t.Errorf("%d: %+v", c, e)
		}
	}
	// From the first erase on a code leaves doubt; a chain must never count as whole after one of these.
	for _, c := range []uint32{6152, 6157, 6158, 6159, 6160, 6164, 6165, 6166, 6167, 6168, 6169, 6170} {
		if esrt.Explain(c).Untouched {
			t.Errorf("%d is called untouched", c)
		}
	}
	for _, c := range []uint32{4112, 4114, 6145, 6151, 6155, 6163} {
		if !esrt.Explain(c).Untouched {
			t.Errorf("%d is refused before the first erase, and not called untouched", c)
		}
	}
}
