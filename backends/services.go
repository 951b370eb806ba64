package backends

import (
	"path"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// verdictServices call every boot that reaches userspace good, which takes the decision away from tegra-boot-verify.
var verdictServices = []string{"nv-l4t-bootloader-config.service", "nv_update_verifier.service", "l4t-rootfs-validation-config.service", "rauc-mark-good.service"}

// unitFolders are where systemd looks, the strongest first (systemd.unit(5)).
var unitFolders = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

func (s *session) checkServices(f *findings) {
	for _, unit := range verdictServices {
		if s.enabled(unit) && !s.disarmed(unit) {
			err := fail.New(fail.Unavailable, "%s is enabled and calls every boot good before tegra-boot-verify judged it", unit)
			f.fromError("services", "systemd's units", err.Then("disable it (`systemctl disable %s`) or install tegra-ota's drop-in for it", unit))
		}
	}
}

// enabled says that some target or unit wants or requires the unit.
func (s *session) enabled(unit string) bool {
	for _, folder := range unitFolders {
		entries, err := s.m.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, e := range entries {
			ext := path.Ext(e.Name())
			if (ext == ".wants" || ext == ".requires") && s.m.Exists(path.Join(folder, e.Name(), unit)) {
				return true
			}
		}
	}
	return false
}

// disarmed says that the unit is masked, or that tegra-ota's drop-in keeps it from starting.
func (s *session) disarmed(unit string) bool {
	for _, folder := range unitFolders {
		if s.m.Exists(path.Join(folder, unit+".d", "50-tegra-ota.conf")) {
			return true
		}
	}
	target, err := s.m.Readlink(path.Join("/etc/systemd/system", unit))
	return err == nil && target == "/dev/null"
}
