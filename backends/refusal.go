package backends

import "errors"

// Kinds of refusal, for errors.Is: what callers tell apart beyond the exit code.
var (
	// ErrNotBootable says that a slot must not boot: its root file system may be half written, or somebody marked it bad.
	ErrNotBootable = errors.New("the slot is not bootable")
	// ErrDirtyFirmware says that a slot must not boot because its firmware may be half written.
	ErrDirtyFirmware = errors.New("the slot's firmware may be half written")
)
