package payload

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// VER is what the VER image of a BUP says.
type VER struct {
	Format  int             // 1 to 4: the digit behind "NV"
	Version capsule.Version // of L4T
	Board   string          // "BOARDID=2888 BOARDSKU=0004 FAB=400"; "" with NV1
	Built   string          // YYYYMMDDHHMMSS; "" with NV1 and NV2
}

func noVER(offset int, field, format string, args ...any) error {
	return &bup.FormatError{Format: "VER image", Offset: int64(offset), Field: field, Problem: fmt.Sprintf(format, args...)}
}

// ParseVER reads the text of a VER image and checks its checksum. Lines, by format (tegra-boot-tools ver.c, edk2-nvidia
// VerPartitionLib.c): NV1 has the first two, NV2 the board, too; NV3 time and a last line whose checksum is POSIX cksum, decimal;
// NV4 (L4T R32.6 on) a version word before the last line, whose checksum is CRC-32, hexadecimal. Both cover the bytes before the
// last line. Zeros and blank space behind the text are padding.
func ParseVER(image []byte) (VER, error) {
	var v VER
	text := bytes.TrimRight(image, "\x00\xff")
	r := lines{text: text}
	id, _ := r.next()
	if len(id) != 3 || !strings.HasPrefix(id, "NV") || id[2] < '1' || id[2] > '4' {
		return v, noVER(0, "format", "%.10q, want NV1 to NV4", id)
	}
	v.Format = int(id[2] - '0')
	release, at := r.next()
	var err error
	if v.Version, err = parseRelease(release); err != nil {
		return VER{}, noVER(at, "release", "%v", err)
	}
	if v.Format >= 2 {
		if v.Board, at = r.next(); v.Board == "" || !printable(v.Board) {
			return VER{}, noVER(at, "board", "%.40q, want BOARDID=... in printable ASCII", v.Board)
		}
	}
	if v.Format >= 3 {
		if v.Built, at = r.next(); len(v.Built) != 14 || !isDigits(v.Built) {
			return VER{}, noVER(at, "time", "%.40q, want 14 digits", v.Built)
		}
	}
	if v.Format >= 4 {
		var word string
		if word, at = r.next(); true {
			n, err := strconv.ParseUint(strings.TrimPrefix(word, "0x"), 16, 32)
			if err != nil || !strings.HasPrefix(word, "0x") || capsule.Version(n) != v.Version {
				return VER{}, noVER(at, "version word", "%.40q, the release says 0x%08x", word, uint32(v.Version))
			}
		}
	}
	if v.Format >= 3 {
		if err := v.checkSum(text, &r); err != nil {
			return VER{}, err
		}
	}
	return v, nil
}

// checkSum reads the last line, "BYTES:107 CRC32:4EFF24B8".
func (v VER) checkSum(text []byte, r *lines) error {
	last, at := r.next()
	length, sum, ok := strings.Cut(strings.TrimPrefix(last, "BYTES:"), " CRC32:")
	if !ok || !strings.HasPrefix(last, "BYTES:") {
		return noVER(at, "checksum", "%.40q, want BYTES:... CRC32:...", last)
	}
	if n, err := strconv.ParseUint(length, 10, 32); err != nil || int(n) != at {
		return noVER(at, "BYTES", "%.20q, but %d bytes stand before it", length, at)
	}
	base, got := 16, crc32.ChecksumIEEE(text[:at])
	if v.Format == 3 {
		base, got = 10, posixSum(text[:at])
	}
	if want, err := strconv.ParseUint(strings.TrimSpace(sum), base, 32); err != nil || uint32(want) != got {
		return noVER(at, "CRC32", "%.20q, computed %s", sum, strings.ToUpper(strconv.FormatUint(uint64(got), base)))
	}
	return nil
}

// parseRelease reads "# R32 , REVISION: 7.5".
func parseRelease(line string) (capsule.Version, error) {
	branch, revision, ok := strings.Cut(strings.TrimPrefix(line, "# R"), " , REVISION: ")
	if !ok || !strings.HasPrefix(line, "# R") {
		return 0, fmt.Errorf("%.40q, want # R32 , REVISION: 7.5", line)
	}
	return capsule.ParseVersion(branch + "." + strings.TrimSpace(revision))
}

// lines reads a text line by line and knows where each starts.
type lines struct {
	text []byte
	at   int
}

// next returns a line without its end, and its offset; "" behind the last.
func (l *lines) next() (line string, at int) {
	at = l.at
	rest := l.text[at:]
	n := bytes.IndexByte(rest, '\n')
	if n < 0 {
		l.at = len(l.text)
		return string(rest), at
	}
	l.at += n + 1
	return string(rest[:n]), at
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// posixSum is POSIX cksum: CRC-32 of the same polynomial, most significant bit first, over the bytes and then their number (as many
// bytes as it has, least significant first), inverted.
func posixSum(b []byte) uint32 {
	const polynomial = 0x04c11db7
	var crc uint32
	add := func(c byte) {
		crc ^= uint32(c) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ polynomial
			} else {
				crc <<= 1
			}
		}
	}
	for _, c := range b {
		add(c)
	}
	for n := len(b); n > 0; n >>= 8 {
		add(byte(n))
	}
	return ^crc
}
