package rootfs

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
)

// The superblock's place and the fields that matter here (Linux, fs/ext4/ext4.h, struct ext4_super_block).
const (
	superblockOffset = 1024
	superblockSize   = 1024
	ext4Magic        = 0xEF53
	incompat64Bit    = 0x80
	maxLogBlockSize  = 6 // 64 KiB

	roCompatMetadataCsum = 0x400
)

// checkSuperblock says whether a file of size bytes holds a whole ext2, ext3 or ext4 file system.
func checkSuperblock(f *os.File, size int64) error {
	head := make([]byte, headerMagic)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return err
	}
	head = head[:n]
	var sb []byte
	if n > superblockOffset {
		sb = head[superblockOffset:min(n, superblockOffset+superblockSize)]
	}
	if len(sb) < 58 || binary.LittleEndian.Uint16(sb[56:]) != ext4Magic {
		return &notExt4Error{kindOf(head)}
	}
	if len(sb) < superblockSize {
		return malformed("the image is cut off in the superblock, after %d bytes", n)
	}
	log := binary.LittleEndian.Uint32(sb[24:])
	if log > maxLogBlockSize {
		return malformed("the superblock at offset %d is damaged: block size 1024 << %d", superblockOffset, log)
	}
	// debugfs 1.47.0 says on stdout, in front of a file's content, that this checksum is wrong, and goes on (open_filesystem in
	// debugfs.c). The other checksums it checks well.
	if binary.LittleEndian.Uint32(sb[100:])&roCompatMetadataCsum != 0 &&
		^crc32.Checksum(sb[:1020], crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(sb[1020:]) {
		return malformed("the superblock at offset %d is damaged: its checksum is wrong", superblockOffset)
	}
	blockSize := uint64(1024) << log
	blocks := uint64(binary.LittleEndian.Uint32(sb[4:]))
	if binary.LittleEndian.Uint32(sb[96:])&incompat64Bit != 0 {
		blocks |= uint64(binary.LittleEndian.Uint32(sb[336:])) << 32
	}
	// The kernel mounts no file system that is larger than its partition, and what is missing here may be anybody's file.
	if have := uint64(size) / blockSize; blocks > have {
		return malformed("the image is cut off: it has %d bytes, which is %d of the file system's %d blocks of %d bytes",
			size, have, blocks, blockSize)
	}
	return nil
}
