package main

import (
	"context"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/backends/nvbootctrl"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/engine"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/flash"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// chooseBackend finds who controls the slots, and says why. The chip decides: efivar where the UEFI variables of a T234 or T264 can
// be read, NVIDIA's nvbootctrl where they cannot, and on older chips.
func chooseBackend(ctx context.Context, in *cli.Invocation, c chip.Chip, chipErr error) (b backends.Backend, reason string, err error) {
	variables := func() backends.Backend {
		return efivar.New(in.Machine, c).WithNVBootctrl(in.Config.NVBootctrl)
	}
	program := func() backends.Backend {
		return nvbootctrl.New(in.Machine, c, nvbootctrl.Options{Program: in.Config.NVBootctrl, ESPMountPoint: in.Config.ESP.MountPoint})
	}
	const settled = "the configuration names it"
	switch in.Config.Backend {
	case "efivar":
		return variables(), settled, nil
	case "nvbootctrl":
		return program(), settled, nil
	}
	if chipErr != nil {
		return nil, "", fail.New(fail.Unavailable, "cannot choose a backend: %w", chipErr).Then("set backend in the configuration if you know better")
	}
	ours, err := efivar.Probe(in.Machine, c)
	if ours && err == nil {
		return variables(), "the UEFI variables of this " + c.Name + " can be read", nil
	}
	claims, reason, otherErr := nvbootctrl.Probe(ctx, in.Machine, c, in.Config.NVBootctrl)
	switch {
	case otherErr == nil && claims:
		return program(), reason, nil
	case err == nil && otherErr == nil:
		return nil, "", fail.New(fail.Unavailable, "cannot choose a backend: neither UEFI variables nor nvbootctrl control the slots of this %s", c.Name)
	case err == nil:
		return nil, "", otherErr
	case otherErr == nil:
		return nil, "", err
	}
	return nil, "", fail.New(fail.CodeOf(err), "%w; and nvbootctrl does not answer: %w", err, otherErr).Then("%s", fail.NextOf(err))
}

// chooseStager finds how firmware gets into this device's flash.
func chooseStager(in *cli.Invocation, c chip.Chip) backends.FirmwareStager {
	capsules := firmware.New(in.Machine, c, firmware.Options{
		ESPMountPoint: in.Config.ESP.MountPoint, CapsuleTrust: in.Config.Firmware.CapsuleTrust,
	})
	method := in.Config.Firmware.Method
	uefi := in.Machine.Exists("/sys/firmware/efi")
	if method == "" && (c.Name == chip.T186.Name || c.Name == chip.T194.Name && !uefi) {
		method = string(backends.ByEngine) // JetPack 4; the same T194 with JetPack 5 takes capsules
	}
	switch backends.Method(method) {
	case backends.ByEngine:
		return engine.New(in.Machine, c, engine.Options{
			Program: in.Config.Firmware.UpdateEngine, NVBootctrl: in.Config.NVBootctrl, Timeout: time.Duration(in.Config.Firmware.UpdateTimeout),
			CapsuleTrust: in.Config.Firmware.CapsuleTrust,
		})
	case backends.ByMTD:
		allowEKS, _ := in.Flags.GetBool(allowEKSFlag) // of tegra-bup alone
		opts := flash.Options{AllowEKS: allowEKS, CapsuleTrust: in.Config.Firmware.CapsuleTrust}
		if uefi {
			opts.Capsules = capsules
		}
		return flash.New(in.Machine, c, opts)
	}
	return capsules
}

// allowEKSFlag lets the direct writer write eks.
const allowEKSFlag = "allow-eks"

// notices says that the flash is visible and not used: writing it is never chosen unasked.
func notices(in *cli.Invocation, c chip.Chip) []backends.Problem {
	if in.Config.Firmware.Method != "" {
		return nil
	}
	visible, where := flash.Visible(in.Machine, c)
	if !visible {
		return nil
	}
	return []backends.Problem{{
		Check: "firmware", Severity: backends.SeverityWarning,
		Reason:   "Linux sees the boot flash (" + where + "), and tegra-ota does not write it",
		NextStep: `nothing, or set method in [firmware]: "mtd" writes the flash itself, "capsule" or "engine" silences this`,
	}}
}
