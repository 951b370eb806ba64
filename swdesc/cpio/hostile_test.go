package cpio_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
)

const regular = 0o100644

// entry is a member as anybody may write one: namesize, size and check are what they are told.
func entry(magic string, mode, size, namesize int, check, name, data string) string {
	align := func(s string) string { return s + strings.Repeat("\x00", -len(s)&3) }
	head := magic + fmt.Sprintf("%08x%08X", 1, mode) + strings.Repeat("0", 32) + fmt.Sprintf("%08X", size) +
		strings.Repeat("0", 32) + fmt.Sprintf("%08x", namesize) + check
	return align(head+name) + align(data)
}

// plain is a good member of the newc format.
func plain(name, data string) string {
	return entry("070701", regular, len(data), len(name)+1, "00000000", name+"\x00", data)
}

// with puts a number, 8 characters, in place of the field that starts at an offset of the header.
func with(entry string, offset int, number string) string {
	return entry[:offset] + number + entry[offset+8:]
}

func TestHostile(t *testing.T) {
	trailer := plain("TRAILER!!!", "")
	good := plain("a", "12345")
	crc := entry("070702", regular, 2, 2, "000000c3", "a\x00", "ab")
	long := strings.Repeat("l", cpio.MaxName)
	named := func(name string) string { return plain(name, "x") + trailer }
	for name, c := range map[string]struct{ archive, want string }{
		"empty":                      {"", "at offset 0: the file is empty"},
		"part of a magic":            {"0707", "at offset 0: truncated: a header has 4 of 110 bytes"},
		"truncated header":           {good[:109], "truncated: a header has 109 of 110 bytes"},
		"truncated second header":    {good + good[:50], fmt.Sprintf("at offset %d: truncated: a header has 50 of 110", len(good))},
		"truncated name":             {plain("abcdef", "")[:113], "truncated: a name has 3 of 7 bytes"},
		"truncated fill of name":     {plain("ab", "")[:115], `at offset 113: truncated: the fill behind the name "ab" has 2 of 3`},
		"truncated data":             {good[:112+3], `at offset 115: truncated: member "a" has 5 bytes, the archive ends 2 before`},
		"truncated fill of data":     {good[:112+6], `at offset 117: truncated: the fill behind the data of "a" has 1 of 3`},
		"truncated trailer":          {good + trailer[:121], `the fill behind the name "TRAILER!!!" has 0 of 3`},
		"no trailer":                 {good, "the archive ends without its trailer"},
		"only a header":              {good[:112], `member "a" has 5 bytes, the archive ends 5 before`},
		"4 GiB":                      {with(good, 54, "FFFFFFFF") + trailer, `truncated: member "a" has 4294967295 bytes`},
		"no name":                    {with(good, 94, "00000000") + trailer, "at offset 94: namesize is 0, want 1 to 251"},
		"huge name":                  {with(good, 94, "FFFFFFFF") + trailer, "namesize is 4294967295, want 1 to 251"},
		"name too long by one":       {named(long + "l"), "namesize is 252, want 1 to 251"},
		"name without NUL":           {entry("070701", regular, 0, 2, "00000000", "ab", "") + trailer, `"ab" does not have its only NUL`},
		"name with two NUL":          {entry("070701", regular, 0, 4, "00000000", "a\x00b\x00", "") + trailer, `"a\x00b\x00" does not`},
		"empty name":                 {named(""), `member "": the name is empty`},
		"parent":                     {named("../passwd"), `at offset 110: member "../passwd": the name has a /`},
		"inner parent":               {named("a/../../b"), "the name has a /"},
		"folder of a name":           {named("./sw-description"), "the name has a /"},
		"absolute":                   {named("/etc/passwd"), "the name is an absolute path"},
		"dot":                        {named("."), "the name is that of a folder"},
		"dots":                       {named(".."), "the name is that of a folder"},
		"escape":                     {named("a\x1b[2J"), `member "a\x1b[2J": the name has a control character`},
		"line feed":                  {named("a\nb"), "the name has a control character"},
		"C1 control":                 {named("a\u0085"), "the name has a control character"},
		"duplicate":                  {good + plain("b", "") + plain("a", "other") + trailer, `a second member "a"`},
		"symbolic link":              {entry("070701", 0o120777, 4, 2, "00000000", "a\x00", "/etc") + trailer, `member "a" is a symbolic link`},
		"folder":                     {entry("070701", 0o040755, 0, 2, "00000000", "a\x00", "") + trailer, `member "a" is a folder`},
		"device":                     {entry("070701", 0o060600, 0, 2, "00000000", "a\x00", "") + trailer, "a device, pipe or socket"},
		"negative size":              {with(good, 54, "-0000001") + trailer, `at offset 54: filesize "-0000001" is not a number`},
		"size with 0x":               {with(good, 54, "0x000005") + trailer, `filesize "0x000005" is not a number of 8 hexadecimal digits`},
		"size with a sign":           {with(good, 54, "+0000005") + trailer, "filesize"},
		"size with spaces":           {with(good, 54, "       5") + trailer, "filesize"},
		"size with NUL":              {with(good, 54, "5\x00000000") + trailer, `filesize "5\x00000000"`},
		"size in unusual letters":    {with(good, 54, "0000000G") + trailer, "filesize"},
		"inode":                      {with(good, 6, "zzzzzzzz") + trailer, `at offset 6: inode "zzzzzzzz"`},
		"check":                      {with(good, 102, "0000000 ") + trailer, `at offset 102: check "0000000 "`},
		"wrong sum":                  {with(crc, 102, "000000c2") + trailer, `member "a" is damaged: the sum of its bytes is 0x000000c3`},
		"sum of no bytes":            {entry("070702", regular, 0, 2, "00000001", "a\x00", "") + trailer, "is damaged"},
		"mixed formats":              {good + crc + trailer, "a header of the format crc in an archive of the format newc"},
		"trailer of other format":    {crc + trailer, "a header of the format newc in an archive of the format crc"},
		"other magic":                {"070703" + good[6:], `no cpio header of the format crc or newc, it starts with "070703"`},
		"size too small":             {with(good, 54, "00000001") + trailer, `at offset 116: a header is expected here, found "5\x00\x00\x00`},
		"trailer in folder":          {named("./TRAILER!!!"), "the name has a /"},
		"trailer with data":          {with(trailer, 54, "00000004") + "1234", "the trailer has 4 bytes of data"},
		"garbage behind":             {good + trailer + "\x00\x01", "bytes follow the trailer, the first that is not 0 is 0x01"},
		"second archive behind":      {good + trailer + good + trailer, "bytes follow the trailer"},
		"second archive behind fill": {good + trailer + strings.Repeat("\x00", 512) + good, "bytes follow the trailer"},
		"too many zeros":             {good + trailer + strings.Repeat("\x00", cpio.MaxTrailing+1), "more than 65536 zero bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, r, _, err := read(strings.NewReader(c.archive))
			wantMalformed(t, err, c.want)
			if _, again := r.Next(); again == nil || again == io.EOF || !strings.Contains(err.Error(), again.Error()) {
				t.Errorf("the next Next: %v", again)
			}
			// Without reading the data the verdict is the same.
			if _, err := skim(strings.NewReader(c.archive)); err == nil {
				t.Error("taken if the data are not read")
			} else {
				wantMalformed(t, err, c.want)
			}
		})
	}
}

// skim only looks at the headers.
func skim(in io.Reader) (headers []cpio.Header, err error) {
	r := cpio.NewReader(in)
	for {
		h, err := r.Next()
		if err == io.EOF {
			_, err = r.Trailing()
			return headers, err
		}
		if err != nil {
			return headers, err
		}
		headers = append(headers, h)
	}
}

// What is unusual but harmless is taken, because SWUpdate takes it.
func TestUnusual(t *testing.T) {
	trailer := plain("TRAILER!!!", "")
	for name, archive := range map[string]string{
		"only a trailer":     trailer,
		"fill is not zero":   strings.Replace(plain("a", "12345"), "5\x00\x00\x00", "5xyz", 1) + trailer,
		"no file type":       entry("070701", 0, 1, 2, "00000000", "a\x00", "x") + trailer,
		"newc with a check":  entry("070701", regular, 1, 2, "ffffffff", "a\x00", "x") + trailer,
		"small letters":      with(plain("a", strings.Repeat("x", 0xab)), 54, "000000ab") + trailer,
		"Latin-1":            plain("f\xfcr", "x") + trailer,
		"dots within a name": plain("a..b", "x") + trailer,
		"most zeros":         trailer + strings.Repeat("\x00", cpio.MaxTrailing),
		"longest name":       plain(strings.Repeat("l", cpio.MaxName), "x") + trailer,
	} {
		if _, _, _, err := read(strings.NewReader(archive)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The generator has no end; the reader gives up at the limit.
func TestTooManyMembers(t *testing.T) {
	const generated = 100_000
	in, out := io.Pipe()
	go func() {
		for i := range generated {
			if _, err := io.WriteString(out, plain(fmt.Sprint("m", i), "")); err != nil {
				return // the reader gave up
			}
		}
		out.CloseWithError(errors.New("all members were read"))
	}()
	headers, err := skim(in)
	in.Close()
	wantMalformed(t, err, "more than 4096 members")
	if len(headers) != cpio.MaxMembers {
		t.Errorf("%d members were read, want %d", len(headers), cpio.MaxMembers)
	}
}
