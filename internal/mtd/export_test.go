package mtd

import "golang.org/x/sys/unix"

// DriverOf returns the driver below a device: the kernel's own answers.
func DriverOf(f Flash) Driver { return f.(*flash).d }

// ParseList parses a /proc/mtd.
var ParseList = parseList

// Lock locks a kernel's device, which nothing but a test wants.
func Lock(f Flash, off, length int64) error {
	return f.(*flash).d.(*node).ranged(unix.MEMLOCK, off, length)
}
