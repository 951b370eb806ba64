package main

import (
	"context"
	"runtime/debug"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi"
	"github.com/tegra-ota/tegra-ota/internal/cli"
)

// slotdProgram is tegra-slotd.
func slotdProgram() cli.Program {
	return cli.Program{
		Name:    "tegra-slotd",
		Summary: "shows the slots, the update in flight and its progress on the system bus",
		Help: `
The service io.github.tegra_ota.SlotManager: an application reads the slots and follows an update without privilege, with busctl
or any D-Bus library; ` + "`busctl introspect`" + ` and the XML files in share/dbus-1/interfaces say what there is. Changing something
takes root, the group in [dbus], or polkit's word. Updates are followed whoever installs them: SWUpdate, RAUC, or the executables.

It runs until it is told to end. systemd and D-Bus start it (tegra-slotd.service); DBUS_SYSTEM_BUS_ADDRESS names another bus. While
nothing happens it does nothing. What it cannot see it says in the property LastError.`,
		Verbs: []cli.Verb{{Run: serve}},
	}
}

func serve(ctx context.Context, in *cli.Invocation) error {
	if _, err := arguments(in, 0); err != nil {
		return err
	}
	// It runs as long as the device: a collector that starts early is cheaper there than memory that lies idle.
	debug.SetGCPercent(25)
	return dbusapi.New(in.Machine, bridge(ctx, in), in.Log).Run(ctx)
}

// bridge are the settings of what tegra-slotd and the monitor share.
func bridge(ctx context.Context, in *cli.Invocation) dbusapi.Options {
	bus := in.Getenv("DBUS_SYSTEM_BUS_ADDRESS")
	if bus == "" || in.Elevated {
		bus = dbusapi.SystemBus
	}
	return dbusapi.Options{
		Bus:     bus,
		Control: func() (*backends.Control, error) { return newPatientControl(ctx, in, slotdPatience) },
		Group:   in.Config.DBus.Group, SWUpdateSockets: in.Config.DBus.SWUpdateProgress, Version: cli.Version,
	}
}
