package dbusapi

import (
	"context"
	"errors"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Names of errors, behind BusName + ".Error.". Their message is the sentence that the command line prints.
const (
	errBusy          = "Busy"          // another process, or another call, is at work; or the running slot is on trial
	errNotBootable   = "NotBootable"   // the slot must not boot: half written, or marked bad
	errDirtyFirmware = "DirtyFirmware" // the slot's firmware may be half written
	errUnavailable   = "Unavailable"   // the device's condition
	errInvalidSlot   = "InvalidSlot"   // no such slot
	errData          = "Data"          // a file's fault
	errIO            = "IO"            // reading or writing failed
	errPermission    = "Permission"    // the service itself lacks privilege
	errUnfinished    = "Unfinished"    // it takes longer than a client waits, and goes on
	errInternal      = "Internal"      // a bug
)

// The bus's own name for what its policy refuses: a client sees the same whoever refused it.
const (
	accessDenied        = "org.freedesktop.DBus.Error.AccessDenied"
	interactionRequired = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
)

// byCode are the names of exit codes.
var byCode = map[fail.Code]string{
	fail.Usage: errInvalidSlot, fail.Data: errData, fail.Unavailable: errUnavailable, fail.IO: errIO, fail.Busy: errBusy,
	fail.Permission: errPermission,
}

// named is an error as a client sees it.
func named(err error) *dbus.Error {
	var own *dbus.Error
	if errors.As(err, &own) {
		return own
	}
	name := byCode[fail.CodeOf(err)]
	switch {
	case errors.Is(err, backends.ErrDirtyFirmware):
		name = errDirtyFirmware
	case errors.Is(err, backends.ErrNotBootable):
		name = errNotBootable
	case errors.Is(err, context.DeadlineExceeded):
		name = errUnfinished
	case name == "":
		name = errInternal
	}
	text := err.Error()
	switch {
	case name == errUnfinished:
		text = "the device takes longer to answer than a client should wait"
	case errors.Is(err, context.Canceled):
		name, text = errUnavailable, "tegra-slotd is ending"
	}
	return newError(name, text)
}

func newError(name, text string) *dbus.Error {
	return dbus.NewError(BusName+".Error."+name, []any{valid(strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))})
}
