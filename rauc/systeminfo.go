package rauc

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// serialPath is the module's serial number, which cboot and UEFI put into the device tree.
const serialPath = "/proc/device-tree/serial-number"

// PrintSystemInfo writes variables for system.conf's system-info handler. RAUC 1.8 knows RAUC_SYSTEM_SERIAL and says of the
// others that it ignores them; from 1.10 on every handler and full custom hook gets them. A variant is not printed: it
// would replace the one that system.conf may name.
func PrintSystemInfo(w io.Writer, m *device.Machine, st backends.Status) error {
	var b strings.Builder
	add := func(name string, value any) { fmt.Fprintf(&b, "%s=%v\n", name, value) }
	if serial, err := m.ReadText(serialPath); err == nil {
		// A C string; nothing that could end the line goes on.
		if end := strings.IndexFunc(serial, unicode.IsControl); end >= 0 {
			serial = serial[:end]
		}
		if serial = strings.TrimSpace(serial); serial != "" {
			add("RAUC_SYSTEM_SERIAL", serial)
		}
	}
	for _, v := range []struct {
		name  string
		value *string
	}{{"RAUC_TEGRA_CHIP", st.Board.Chip}, {"RAUC_TEGRA_SPEC", st.Board.Spec}, {"RAUC_TEGRA_COMPAT", st.Board.Compat}} {
		if v.value != nil {
			add(v.name, *v.value)
		}
	}
	for _, slot := range backends.Slots {
		if s := st.Slots[slot]; s != nil && s.Firmware != nil {
			add("RAUC_TEGRA_FIRMWARE_"+string(slot), s.Firmware)
			if st.Current != nil && *st.Current == slot {
				add("RAUC_TEGRA_FIRMWARE", s.Firmware)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
