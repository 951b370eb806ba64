package esrt

import (
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// newLayout is the first release whose firmware can take a payload of R36 and later (L4T R36 release notes; older ones
// end with ESRT 6155).
const newLayout = capsule.Version(35<<16 | 5<<8)

// Refuse says why firmware of a version must not be installed over this one (65): it lies below the floor, or its flash layout is too new.
func (e Entry) Refuse(v capsule.Version) error {
	switch {
	case v < e.Lowest:
		return fail.New(fail.Data, "cannot install the firmware: its version %s is below the lowest supported version %s", v, e.Lowest).
			Then("install %s or newer", e.Lowest)
	case v>>16 >= 36 && e.Version < newLayout:
		return fail.New(fail.Data, "cannot install the firmware: firmware %s cannot take %s, whose flash layout is newer", e.Version, v).
			Then("install 35.5.0 or newer first")
	}
	return nil
}
