package bup

import "fmt"

// HeaderVersion is the version word of a header in parts. Month and Year are 0 if the generator wrote none.
type HeaderVersion struct {
	Major, Minor, Revision int
	Month                  int // 1 to 12
	Year                   int // the last two digits
}

// DecodedVersion takes the version word apart: bits 27..24 minor, 23..16 major, 15..14 revision, and as hexadecimal
// digits that are read as decimal ones, 12..8 month and 7..0 year. 0x01030622 is 3.1 of June 2022.
func (h Header) DecodedVersion() HeaderVersion {
	v := h.Version
	return HeaderVersion{
		Minor:    int(v >> 24 & 0xf),
		Major:    int(v >> 16 & 0xff),
		Revision: int(v >> 14 & 0x3),
		Month:    fromBCD(v >> 8 & 0x1f),
		Year:     fromBCD(v & 0xff),
	}
}

// String returns "3.1 (2022-06)", or "2.0" if there is no date; a revision other than 0 follows as a third number.
func (v HeaderVersion) String() string {
	s := fmt.Sprintf("%d.%d", v.Major, v.Minor)
	if v.Revision != 0 {
		s += fmt.Sprintf(".%d", v.Revision)
	}
	if v.Month != 0 || v.Year != 0 {
		s += fmt.Sprintf(" (%d-%02d)", 2000+v.Year, v.Month)
	}
	return s
}

func fromBCD(v uint32) int { return int(v>>4)*10 + int(v&0xf) }
