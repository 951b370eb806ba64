package virtual

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/guid"
)

// espVariablesDir is where Linux leaves variables that it can not set at run time, because the flash that holds them is its own
// by then: AGX Xavier with R35.
const espVariablesDir = "boot/efi/EFI/NVDA/Variables"

// takeESPVariables is GetAndProcessEspVariables of DefaultVariableDxe.c: it runs before anybody reads a variable, sets or, where
// a file has attributes alone, deletes, and removes every file, also those that it refuses. The source does so on all boards.
func (b *boot) takeESPVariables() error {
	entries, err := os.ReadDir(b.o.path(espVariablesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look for variables on the ESP: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		full := b.o.path(espVariablesDir, e.Name())
		raw, err := os.ReadFile(full)
		if err != nil {
			return fmt.Errorf("cannot read a variable on the ESP: %w", err)
		}
		if err := b.takeESPVariable(e.Name(), raw); err != nil {
			return err
		}
		if err := b.power.step("esp-variable-remove", func() error { return os.Remove(full) }, nil); err != nil {
			return err
		}
	}
	return nil
}

// takeESPVariable reads the name up to the first hyphen and the GUID behind it; what follows those is not looked at.
func (b *boot) takeESPVariable(file string, raw []byte) error {
	const guidLen, maxName = 36, 63
	name, rest, ok := strings.Cut(file, "-")
	if !ok || name == "" || len(name) > maxName || len(rest) < guidLen || len(raw) < 4 ||
		binary.LittleEndian.Uint32(raw)&attrStored != attrStored {
		b.say("UEFI refuses %s on the ESP", file)
		return nil
	}
	vendor, err := guid.Parse(rest[:guidLen])
	if err != nil {
		b.say("UEFI refuses %s on the ESP", file)
		return nil //nolint:nilerr // the firmware's answer to a bad name is to pass it over
	}
	if len(raw) == 4 {
		b.say("UEFI deletes variable %s, as the ESP asks", name)
		return b.deleteVariable(name, vendor.String())
	}
	b.say("UEFI takes variable %s from the ESP", name)
	return b.setVariable(name, vendor.String(), raw[4:])
}
