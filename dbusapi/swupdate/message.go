package swupdate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// status is SWUpdate's RECOVERY_STATUS (include/swupdate_status.h), the same from 2022.12 to 2026.05.
type status uint32

const (
	idle status = iota
	start
	run
	success
	failure
	download
	done
	subprocess
	progress
)

// message is one struct progress_msg (include/progress_ipc.h), without what nobody asks for.
type message struct {
	status     status
	downloaded uint32 // percent
	steps      uint32
	step       uint32 // from 1; 0 before the first
	percent    uint32 // of the step
	image      string
	handler    string
	info       string // "" unless it belongs to this message; what an older one left in the buffer is not in it
}

// Sizes of fields, in every version.
const (
	imageSize   = 256
	handlerSize = 64
	infoSize    = 2048
)

// layout is where the fields of a message lie. Status and percent of the download follow the version in both.
type layout struct {
	size                         int
	steps, step, percent         int
	image, handler, source, info int // info's length is the word before it
}

// SWUpdate packs the struct since 2025.12. Before, the compiler put 4 bytes before the 64-bit number of bytes to download, and 4 at
// the end, on 64-bit machines and 32-bit Arm. 2024.12 and 2025.05 acknowledge with the same version as 2025.12 and do not pack.
var (
	unpacked = layout{size: 2416, steps: 24, step: 28, percent: 32, image: 36, handler: 292, source: 356, info: 364}
	packed   = layout{size: 2408, steps: 20, step: 24, percent: 28, image: 32, handler: 288, source: 352, info: 360}
)

// ackSize is the size of struct progress_connect_ack: the version, and "ACK" with its zero. 2024.12 and later send it first.
const ackSize = 8

// decoder cuts what comes from one connection into messages. It does no input or output.
type decoder struct {
	buf     []byte
	opened  bool // the beginning was seen: acknowledged or not
	version uint32
	layout  *layout
	unsure  bool // the layout was chosen from one message, with none behind it
}

// feed takes the next bytes, however they were split, and returns the messages that they complete. After an error the rest of the
// connection means nothing.
func (d *decoder) feed(b []byte) ([]message, error) {
	d.buf = append(d.buf, b...)
	if !d.opened {
		if len(d.buf) < ackSize {
			return nil, nil
		}
		if err := d.open(); err != nil {
			return nil, err
		}
	}
	var messages []message
	for {
		if d.layout == nil {
			if err := d.choose(); err != nil {
				return messages, err
			}
		}
		if d.unsure {
			d.settle()
		}
		if d.layout == nil || len(d.buf) < d.layout.size {
			if len(messages) > 0 { // what was read is let go
				d.buf = append([]byte(nil), d.buf...)
			}
			return messages, nil
		}
		m, err := d.layout.parse(d.buf[:d.layout.size], d.version)
		if err != nil {
			return messages, err
		}
		messages = append(messages, m)
		d.buf = d.buf[d.layout.size:]
	}
}

// open tells from the first bytes which SWUpdate this is. An acknowledgement has "ACK" where a message has its status.
func (d *decoder) open() error {
	d.version = word(d.buf, 0)
	d.opened = true
	major := d.version >> 16
	if !bytes.Equal(d.buf[4:ackSize], []byte("ACK\x00")) {
		// The word is a magic number that is 0 up to 2023.05, and version 1.0 up to 2024.05.
		if major > 1 || word(d.buf, 4) > uint32(progress) {
			return fmt.Errorf("its first bytes, %x, begin neither an acknowledgement nor a message", d.buf[:ackSize])
		}
		d.layout = &unpacked
		return nil
	}
	if major != 2 { // upstream's rule: another major version is another protocol
		return fmt.Errorf("version %d.%d of its progress interface is not known", major, d.version>>8&0xff)
	}
	d.buf = d.buf[ackSize:]
	return nil
}

// choose finds the layout from where the second message begins, and without one from how much there is: SWUpdate sends a message
// whole, and a Unix socket delivers it so. It leaves it open while more must come.
func (d *decoder) choose() error {
	n := len(d.buf)
	begins := func(at int) bool { return n >= at+4 && word(d.buf, at) == d.version }
	switch {
	case begins(packed.size):
		d.layout = &packed
	case begins(unpacked.size), n == unpacked.size:
		d.layout = &unpacked
	case n == packed.size && packed.likely(d.buf, d.version):
		d.layout, d.unsure = &packed, true
	case n >= 4 && word(d.buf, 0) != d.version:
		return fmt.Errorf("its message is of version %#x after an acknowledgement of version %#x", word(d.buf, 0), d.version)
	case n >= unpacked.size+4:
		return fmt.Errorf("its messages have neither %d bytes nor %d", packed.size, unpacked.size)
	}
	return nil
}

// settle corrects a choice that the next message disproves: those were the first 2408 bytes of 2416.
func (d *decoder) settle() {
	const rest = 8
	switch n := len(d.buf); {
	case n >= 4 && word(d.buf, 0) == d.version:
		d.unsure = false
	case n >= rest+4 && word(d.buf, rest) == d.version:
		d.buf, d.layout, d.unsure = d.buf[rest:], &unpacked, false
	case n >= rest+4:
		d.unsure = false // parse says what is wrong
	}
}

// parse reads one message. What it checks holds in every version, and for sums of unlucky bytes hardly ever.
func (l *layout) parse(b []byte, version uint32) (message, error) {
	if v := word(b, 0); v != version {
		return message{}, fmt.Errorf("a message begins with %#x instead of %#x", v, version)
	}
	m := message{status: status(word(b, 4)), downloaded: word(b, 8),
		steps: word(b, l.steps), step: word(b, l.step), percent: word(b, l.percent)}
	if m.status > progress {
		return message{}, fmt.Errorf("a message has the unknown status %d", m.status)
	}
	image, imageEnds := text(b[l.image : l.image+imageSize])
	handler, handlerEnds := text(b[l.handler : l.handler+handlerSize])
	if !imageEnds || !handlerEnds {
		return message{}, fmt.Errorf("the name in a message does not end")
	}
	length := word(b, l.info-4)
	if length > infoSize {
		return message{}, fmt.Errorf("a message says that its text has %d bytes of %d", length, infoSize)
	}
	info, _ := text(b[l.info : l.info+int(length)])
	m.image, m.handler, m.info = clean(image), clean(handler), info
	return m, nil
}

// likely says whether the bytes look like a message in this layout rather than in another.
func (l *layout) likely(b []byte, version uint32) bool {
	m, err := l.parse(b, version)
	const lastSource = 5 // SOURCE_CHUNKS_DOWNLOADER
	if err != nil || word(b, l.source) > lastSource || len(m.info) != int(word(b, l.info-4)) {
		return false
	}
	// Some versions count scripts once and run them twice, and take one more step at the end; 2026.05 runs them again after a failure.
	if uint64(m.step) > 2*uint64(m.steps)+1 {
		return false
	}
	image, _ := text(b[l.image : l.image+imageSize])
	handler, _ := text(b[l.handler : l.handler+handlerSize])
	return image == m.image && handler == m.handler
}

func word(b []byte, at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }

// text returns a C string, and whether it ends within its field.
func text(b []byte) (string, bool) {
	s, _, ends := bytes.Cut(b, []byte{0})
	return string(s), ends
}

// clean makes a text fit for D-Bus and for one line of a log: valid UTF-8 without control characters.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}
