package virtual

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Vendor GUIDs and attribute words of the variables (edk2-nvidia NVIDIA.dec; UEFI specification 2.10, 8.2).
const (
	publicGUID = "781e084c-a330-417c-b678-38e696380cb9"
	globalGUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

	attrNonVolatile = 0x01
	attrVolatile    = 0x06 // boot service and runtime access
	attrStored      = 0x07 // the same, kept in flash
)

// variables is the firmware's variable store over the files that efivarfs shows: four bytes of attributes, then the data.
type variables struct{ dir string }

func (o *Orin) variables() variables { return variables{dir: o.path(efivarsDir)} }

func (v variables) file(name, vendor string) string { return filepath.Join(v.dir, name+"-"+vendor) }

// get returns a variable's data. A file too short for attributes is no variable: efivarfs leaves such phantoms behind
// after a failed first write.
func (v variables) get(name, vendor string) ([]byte, bool, error) {
	raw, err := os.ReadFile(v.file(name, vendor))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot read variable %s: %w", name, err)
	}
	if len(raw) <= 4 {
		return nil, false, nil
	}
	return raw[4:], true, nil
}

// word is what GetVariable with a four byte buffer returns: ok says the variable is there, fits that it was no larger.
func (v variables) word(name string) (value uint32, ok, fits bool, err error) {
	data, ok, err := v.get(name, publicGUID)
	if err != nil || !ok {
		return 0, false, false, err
	}
	if len(data) > 4 {
		return 0, true, false, nil
	}
	var buf [4]byte
	copy(buf[:], data)
	return binary.LittleEndian.Uint32(buf[:]), true, true, nil
}

func (v variables) set(name, vendor string, attributes uint32, data []byte) error {
	raw := append(binary.LittleEndian.AppendUint32(nil, attributes), data...)
	if err := writeFile(v.file(name, vendor), raw); err != nil {
		return fmt.Errorf("cannot write variable %s: %w", name, err)
	}
	return nil
}

func (v variables) remove(name, vendor string) error {
	if err := os.Remove(v.file(name, vendor)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot delete variable %s: %w", name, err)
	}
	return nil
}

// variable is one to set.
type variable struct {
	name, vendor string
	data         []byte
}

// renew is what a reset does to the store: variables without the non-volatile attribute are gone, phantoms too, and the
// firmware sets its own volatile ones.
func (v variables) renew(volatile []variable) error {
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return fmt.Errorf("cannot list variables: %w", err)
	}
	ours := map[string]bool{}
	for _, e := range volatile {
		ours[e.name+"-"+e.vendor] = true
		if err := v.set(e.name, e.vendor, attrVolatile, e.data); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if ours[e.Name()] {
			continue
		}
		name := filepath.Join(v.dir, e.Name())
		raw, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("cannot read variable %s: %w", e.Name(), err)
		}
		if len(raw) > 4 && binary.LittleEndian.Uint32(raw)&attrNonVolatile != 0 {
			continue
		}
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("cannot delete variable %s: %w", e.Name(), err)
		}
	}
	return nil
}

func u16(v uint16) []byte { return binary.LittleEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
