// Package guid reads and prints GUIDs in the byte order of UEFI: the first three fields little endian, the rest as written
// (UEFI specification 2.10, appendix A). Capsules, UEFI variables and GPT all store them so.
package guid

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// GUID is the sixteen bytes as they lie on disk.
type GUID [16]byte

// Parse reads the text form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, in either case.
func Parse(s string) (GUID, error) {
	var g GUID
	parts := strings.Split(s, "-")
	lengths := []int{8, 4, 4, 4, 12}
	if len(parts) != len(lengths) {
		return g, fmt.Errorf("cannot parse GUID %q: want five groups of hexadecimal digits", s)
	}
	for i, p := range parts {
		if len(p) != lengths[i] {
			return g, fmt.Errorf("cannot parse GUID %q: group %d has %d digits, want %d", s, i+1, len(p), lengths[i])
		}
	}
	raw, err := hex.DecodeString(strings.Join(parts, ""))
	if err != nil {
		return g, fmt.Errorf("cannot parse GUID %q: %w", s, err)
	}
	binary.LittleEndian.PutUint32(g[0:], binary.BigEndian.Uint32(raw[0:]))
	binary.LittleEndian.PutUint16(g[4:], binary.BigEndian.Uint16(raw[4:]))
	binary.LittleEndian.PutUint16(g[6:], binary.BigEndian.Uint16(raw[6:]))
	copy(g[8:], raw[8:])
	return g, nil
}

// MustParse is Parse for constants; it panics on a malformed one.
func MustParse(s string) GUID {
	g, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return g
}

// String returns the text form in lower case.
func (g GUID) String() string {
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", binary.LittleEndian.Uint32(g[0:]),
		binary.LittleEndian.Uint16(g[4:]), binary.LittleEndian.Uint16(g[6:]), g[8:10], g[10:])
}

// IsZero says whether all bytes are zero, which GPT uses for an unused entry.
func (g GUID) IsZero() bool { return g == GUID{} }

// MarshalText prints the text form, so that JSON holds it readably.
func (g GUID) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads the text form.
func (g *GUID) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*g = parsed
	return nil
}
