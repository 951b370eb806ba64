package virtual

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Scratch is the PMC scratch register SR_RF and the boot chain's one (L4TRootfsValidation.h; T234ResourceConfig.c), held in
// the files through which Linux sees and writes them. It outlives a warm reset and is lost at power-off.
type Scratch struct {
	Magic   uint32    `json:"magic"` // SR_RF bits [15:0]
	Current Slot      `json:"current"`
	Retry   [2]uint32 `json:"retry"` // two bits each
	Failed  [2]uint32 `json:"failed"`
	Chain   Slot      `json:"chain"`
}

const (
	scratchMagic = 0xface
	maxRetry     = 3 // two bits
)

type scratchFile struct {
	name  string
	value func(*Scratch) *uint32
	mask  uint32
}

func scratchFiles() []scratchFile {
	return []scratchFile{
		{"rootfs_sr_magic", func(s *Scratch) *uint32 { return &s.Magic }, 0xffff},
		{"rootfs_current", func(s *Scratch) *uint32 { return (*uint32)(&s.Current) }, 1},
		{"rootfs_retry_count_a", func(s *Scratch) *uint32 { return &s.Retry[A] }, maxRetry},
		{"rootfs_retry_count_b", func(s *Scratch) *uint32 { return &s.Retry[B] }, maxRetry},
		{"boot_chain_status_a", func(s *Scratch) *uint32 { return &s.Failed[A] }, 1},
		{"boot_chain_status_b", func(s *Scratch) *uint32 { return &s.Failed[B] }, 1},
		{"boot_chain_current", func(s *Scratch) *uint32 { return (*uint32)(&s.Chain) }, 1},
	}
}

// readScratch reads the register back as Linux left it. A file that is missing or holds no number counts as 0: the kernel
// would have refused to write it.
func (o *Orin) readScratch() (Scratch, error) {
	var s Scratch
	for _, f := range scratchFiles() {
		raw, err := os.ReadFile(o.path(o.board.PMC, f.name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s, fmt.Errorf("cannot read scratch register: %w", err)
		}
		if v, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 0, 32); err == nil {
			*f.value(&s) = uint32(v) & f.mask
		}
	}
	return s, nil
}

func (o *Orin) writeScratch(s Scratch) error {
	for _, f := range scratchFiles() {
		if err := o.write(o.board.PMC+"/"+f.name, []byte(fmt.Sprintf("0x%x\n", *f.value(&s)))); err != nil {
			return err
		}
	}
	return nil
}
