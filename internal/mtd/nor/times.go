package nor

import "time"

// Times is how long a chip is busy with one operation.
type Times struct {
	Program  time.Duration // one page of 256 bytes
	Erase4K  time.Duration // a sector of 4 KiB
	Erase64K time.Duration // a block of 64 KiB
}

// Typical are the typical times of Macronix's MX66L1G45G, from the table that the chip itself holds (JESD216 SFDP, basic table, double
// words 10 and 11, in the copy of QEMU's hw/block/m25p80_sfdp.c). It is of one series with the 64 MiB MX25U51245G, whose data sheet
// was not at hand. They are for comparing writers, not for time-outs: the longest erase may take 14 times as long there.
var Typical = Times{Program: 256 * time.Microsecond, Erase4K: 30 * time.Millisecond, Erase64K: 288 * time.Millisecond}

// Of returns the time that counts operations take with erase blocks of eraseSize bytes. Transfers over the bus are left out, and
// a program of less than a page counts as a whole one.
func (t Times) Of(counts Counts, eraseSize int64) time.Duration {
	erase := t.Erase4K * time.Duration((eraseSize+4<<10-1)/(4<<10))
	if eraseSize%(64<<10) == 0 {
		erase = t.Erase64K * time.Duration(eraseSize/(64<<10))
	}
	return time.Duration(counts.Programs)*t.Program + time.Duration(counts.Erases)*erase
}
