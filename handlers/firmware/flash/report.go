package flash

import "fmt"

// Report counts what a write did, or what it would take. Erases and programs are of blocks of the device's erase size; a block
// device (eMMC) has neither erases nor pages, its blocks are sectors of 512 bytes.
type Report struct {
	Compared   int   // blocks read and compared with what they should hold
	Equal      int   // of these, blocks that held it already
	Erased     int   // block erases, that of mb1's head included
	Programmed int   // blocks that were programmed, wholly or in part
	Pages      int   // pages of 256 bytes that were programmed
	Bytes      int64 // bytes that were programmed
	// WholeErases and WholePages are what a writer takes that erases each image's whole partition and programs the whole image.
	WholeErases, WholePages int
}

// pageSize is what a NOR chip programs at a time. Serial NOR chips have 256 or 512 bytes; the smaller skips more.
const pageSize = 256

// notes are sentences for the log.
func (r Report) notes(lay *layout) []string {
	n := []string{fmt.Sprintf("%d blocks compared, %d held their content already", r.Compared, r.Equal)}
	if r.Erased == 0 && r.Programmed == 0 {
		return append(n, "nothing was written")
	}
	return append(n,
		fmt.Sprintf("%d blocks erased, %d programmed (%d KiB in %d pages), through %s", r.Erased, r.Programmed, r.Bytes>>10, r.Pages, lay.what),
		fmt.Sprintf("a writer of whole partitions takes %d erases and %d pages", r.WholeErases, r.WholePages))
}
