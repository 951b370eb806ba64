package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// slotdPatience is how long a verb over D-Bus waits for another one: its client waits for an answer.
const slotdPatience = time.Second

// newControl wires the device's backend and stager into Control.
func newControl(ctx context.Context, in *cli.Invocation) (*backends.Control, error) {
	return newPatientControl(ctx, in, 0)
}

// newPatientControl is newControl for a caller who does not wait as long as usual for another verb's end.
func newPatientControl(ctx context.Context, in *cli.Invocation, patience time.Duration) (*backends.Control, error) {
	c, chipErr := chip.Detect(in.Machine)
	backend, reason, err := chooseBackend(ctx, in, c, chipErr)
	if err != nil {
		return nil, err
	}
	return backends.New(in.Machine, backend, chooseStager(in, c), backends.Options{
		BackendReason:        reason,
		Notices:              func() []backends.Problem { return notices(in, c) },
		Tries:                in.Config.Boot.Tries,
		AllowWithoutFallback: in.Config.Boot.AllowWithoutFallback,
		AllowOlderChain:      in.Config.Firmware.AllowOlderChain,
		HealthFolder:         in.Config.Boot.HealthFolder,
		HealthTimeout:        time.Duration(in.Config.Boot.HealthTimeout),
		JournalFolder:        in.Config.Journal.Path,
		ESPMountPoint:        in.Config.ESP.MountPoint,
		Misconfigured:        in.ConfigErr,
		LockPatience:         patience,
	}, in.Log), nil
}

// printJSON writes one indented JSON value to stdout.
func printJSON(in *cli.Invocation, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fail.New(fail.Internal, "cannot print the result: %w", err)
	}
	_, err = in.Stdout.Write(append(text, '\n'))
	return err
}

// arguments wants at most n arguments behind the verb.
func arguments(in *cli.Invocation, n int) ([]string, error) {
	args := in.Flags.Args()
	if len(args) > n {
		return nil, fail.New(fail.Usage, "cannot use argument %q: %s %s takes at most %d", args[n], in.Program, in.Verb, n)
	}
	return args, nil
}

// first returns the first argument, or "".
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
