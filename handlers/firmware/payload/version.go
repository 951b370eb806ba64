package payload

import (
	"fmt"
	"io"
	"strconv"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// maxVER is the largest VER image looked at, in bytes: the partition of T234 has 64 KiB, the text about a hundred bytes.
const maxVER = 64 << 10

// oldestBranch is the lowest branch that a version word is taken for: below it digits mean something else.
const oldestBranch = 28

// EntriesVersion is the version that the entries of a package agree on, as far as they tell one; 0 where they tell none or
// contradict each other.
//
// The generator of a BUP makes a number of the digits of branch, major and minor: read as hexadecimal ones (R39.2.0 is 0x3920)
// or as decimal ones (3275 is R32.7.5; both are seen in public dumps). Four digits are unambiguous, more are not. Other
// builds count from 1 or write 0.
func EntriesVersion(p *bup.Package) capsule.Version {
	var found capsule.Version
	for _, e := range p.Entries {
		v := entryVersion(e.Version)
		if v == 0 {
			continue
		}
		if found != 0 && v != found {
			return 0
		}
		found = v
	}
	return found
}

func entryVersion(word uint32) capsule.Version {
	for _, base := range []int{16, 10} {
		digits := strconv.FormatUint(uint64(word), base)
		if len(digits) != 4 {
			continue
		}
		n, err := strconv.Atoi(digits) // hexadecimal digits above 9 do not tell a version
		if branch := n / 100; err == nil && branch >= oldestBranch {
			return capsule.Version(branch<<16 | n/10%10<<8 | n%10)
		}
	}
	return 0
}

// Version is the version of what is inside: the capsule header's, else the text of the VER image, else what the entries agree on;
// 0 where nothing tells it.
func (p *Payload) Version() capsule.Version {
	if p.capsule != 0 {
		return p.capsule
	}
	if ver, found, err := p.VER(); err == nil && found {
		return ver.Version
	}
	return EntriesVersion(p.Package)
}

// VER reads the first VER image, the text that says what release the firmware is; found is false where there is none. A text that
// cannot be read or whose checksum is wrong is an error (fail.Data).
func (p *Payload) VER() (ver VER, found bool, err error) {
	for i, e := range p.Package.Entries {
		if e.Name != "VER" {
			continue
		}
		if e.Length > maxVER {
			return VER{}, true, noVER(0, "VER", "%d bytes are more than a version has", e.Length)
		}
		text, err := io.ReadAll(p.Image(i))
		if err != nil {
			return VER{}, true, fmt.Errorf("cannot read the VER image in %s: %w", p.File, err)
		}
		ver, err := ParseVER(text)
		return ver, true, err
	}
	return VER{}, false, nil
}
