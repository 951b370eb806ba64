package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/esrt"
)

// dumpSlots is nvbootctrl's dump-slots-info.
func dumpSlots(ctx context.Context, in *cli.Invocation, control *backends.Control) error {
	if _, err := arguments(in, 0); err != nil {
		return err
	}
	st, err := control.Status(ctx)
	if err != nil {
		return err
	}
	state, err := control.State(ctx)
	if err != nil {
		return err
	}
	var b strings.Builder
	view := "bootloader"
	if rootfsView(in) {
		view = "rootfs"
	} else {
		fmt.Fprintf(&b, "Current version: %s\n", runningVersion(st, in))
		fmt.Fprintf(&b, "Capsule update status: %d\n", capsuleStatus(st, in))
	}
	fmt.Fprintf(&b, "Current %s slot: %s\n", view, seen(in, state, *st.Current))
	fmt.Fprintf(&b, "Active %s slot: %s\nnum_slots: 2\n", view, seen(in, state, *st.Next))
	for _, s := range backends.Slots {
		fmt.Fprintf(&b, "slot: %d,             ", s.Index())
		if view == "rootfs" {
			fmt.Fprintf(&b, "retry_count: %d,             status: %s\n", retryCount(state.Slots[s]), condition(state.Slots[s].Status))
			continue
		}
		dirty := backends.StatusNormal
		if st.Slots[s].FirmwareDirty {
			dirty = backends.StatusUnbootable
		}
		fmt.Fprintf(&b, "status: %s\n", condition(&dirty))
	}
	_, err = fmt.Fprint(in.Stdout, b.String())
	return err
}

// runningVersion is the running firmware's; 0.0.0, as NVIDIA's prints, where it is not known.
func runningVersion(st backends.Status, in *cli.Invocation) string {
	if v := st.Slots[*st.Current].Firmware; v != nil {
		return v.String()
	}
	if entry, err := esrt.Read(in.Machine); err == nil {
		return entry.Version.String()
	}
	return "0.0.0"
}

// capsuleStatus is NVIDIA's summary: 0 none, 1 success, 2 installed but did not boot, 3 failed (tier4/ota-client).
func capsuleStatus(st backends.Status, in *cli.Invocation) int {
	entry, err := esrt.Read(in.Machine)
	switch {
	case err != nil || entry.LastVersion == 0:
		return 0
	case entry.LastStatus != 0:
		return 3
	case st.Verdict.Outcome == backends.FellBack && st.Verdict.ESRT != nil:
		return 2
	}
	return 1
}

func retryCount(s backends.SlotState) int {
	if s.Retries == nil {
		return 0
	}
	return *s.Retries
}

func condition(status *uint32) string {
	if status != nil && *status == backends.StatusUnbootable {
		return "unbootable"
	}
	return "normal"
}
