package rootfs

// For tests and fuzzing from outside.
var (
	ParseExtlinux = parseExtlinux
	ParseRelease  = parseRelease
)

// SetSbin changes where debugfs is looked for beside the search path, and returns what puts it back.
func SetSbin(dirs ...string) (restore func()) {
	old := sbin
	sbin = dirs
	return func() { sbin = old }
}
