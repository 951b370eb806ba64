package swupdate

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// server is one kind of SWUpdate as it is seen from the socket.
type server struct {
	name    string
	ack     bool
	version uint32
	layout  *layout
}

var servers = []server{
	{"2022.12", false, 0, &unpacked},
	{"2024.05", false, 0x10000, &unpacked},
	{"2024.12", true, 0x20000, &unpacked},
	{"2025.12", true, 0x20000, &packed},
	{"a later minor version", true, 0x20103, &packed},
}

// greet returns what the server sends to everybody who connects.
func (s server) greet() []byte {
	if !s.ack {
		return nil
	}
	return append(binary.NativeEndian.AppendUint32(nil, s.version), "ACK\x00"...)
}

// encode returns a message as the server sends it, with what older messages left in the fields.
func (s server) encode(m message) []byte {
	l := s.layout
	b := make([]byte, l.size)
	put := func(at int, v uint32) { binary.NativeEndian.PutUint32(b[at:], v) }
	put(0, s.version)
	put(4, uint32(m.status))
	put(8, m.downloaded)
	put(l.steps, m.steps)
	put(l.step, m.step)
	put(l.percent, m.percent)
	copy(b[l.image:], "an-older-and-longer-name.img")
	copy(b[l.image:], m.image+"\x00")
	copy(b[l.handler:], m.handler+"\x00")
	put(l.source, 4)
	put(l.info-4, uint32(len(m.info)))
	copy(b[l.info:], `{"0": {"VERSION" : "1.2.3"}}`)
	copy(b[l.info:], m.info)
	return b
}

// sample is an install, with messages that one layout could take for another's.
var sample = []message{
	{status: start, steps: 1},
	{status: run, steps: 1, info: `{"0": {"VERSION" : "1.2.3"}}`},
	{status: run, steps: 1, step: 1, image: "TEGRA_BL.Cap", handler: "tegra-bup"},
	{status: progress, steps: 1, step: 1, percent: 50, image: "TEGRA_BL.Cap", handler: "tegra-bup"},
	{status: download, downloaded: 100, steps: 1, step: 1, percent: 50, image: "TEGRA_BL.Cap", handler: "tegra-bup"},
	{status: progress, steps: 1, step: 1, percent: 50, image: strings.Repeat("i", 255), handler: strings.Repeat("h", 63),
		info: strings.Repeat("w", 2047)},
	{status: failure, steps: 1, step: 1, percent: 100},
	{status: failure},
	{status: start, steps: 40},
	{status: success, steps: 2, step: 3},
	{status: done},
}

// Every message is understood however the bytes were cut, from the first on and alone.
func TestMessages(t *testing.T) {
	for _, s := range servers {
		var all []byte
		for _, m := range sample {
			all = append(all, s.encode(m)...)
		}
		all = append(s.greet(), all...)
		for _, size := range []int{1, 7, 8, 2408, 2416, 2407, 4096, 10000, len(all)} {
			var d decoder
			var got []message
			for rest := all; len(rest) > 0; {
				n := min(size, len(rest))
				some, err := d.feed(rest[:n])
				if err != nil {
					t.Fatalf("%s, %d bytes at a time: %v", s.name, size, err)
				}
				got, rest = append(got, some...), rest[n:]
			}
			if diff := cmp.Diff(sample, got, cmp.AllowUnexported(message{})); diff != "" {
				t.Errorf("%s, %d bytes at a time:\n%s", s.name, size, diff)
			}
		}
		for i, m := range sample {
			var d decoder
			for _, b := range [][]byte{s.greet(), s.encode(m)} {
				got, err := d.feed(b)
				if err != nil || len(b) > ackSize && (len(got) != 1 || got[0] != m) {
					t.Errorf("%s, message %d alone: %+v, %v", s.name, i, got, err)
				}
			}
		}
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestGarbage(t *testing.T) {
	v2 := servers[2]
	old := servers[0]
	with := func(b []byte, at int, v uint32) []byte {
		b = append([]byte(nil), b...)
		binary.NativeEndian.PutUint32(b[at:], v)
		return b
	}
	for _, tt := range []struct {
		name, want string
		bytes      []byte
	}{
		{"web server", "neither an acknowledgement nor a message", []byte("HTTP/1.1 400 Bad Request\r\n")},
		{"major 3", "version 3.1 of its progress interface is not known", append([]byte{0, 1, 3, 0}, "ACK\x00"...)},
		{"major 2 without ack", "neither an acknowledgement", server{version: 0x20000, layout: &unpacked}.encode(sample[0])},
		{"longer messages", "neither 2408 bytes nor 2416", join(v2.greet(), v2.encode(sample[0]), make([]byte, 100), v2.encode(sample[1]))},
		{"other version behind", "version 0x10000 after an acknowledgement of version 0x20000",
			join(v2.greet(), servers[1].encode(sample[0])[:100])},
		{"unknown status", "unknown status 9", join(v2.greet(), with(v2.encode(sample[0]), 4, 9))},
		{"text too long", "2049 bytes of 2048", with(old.encode(sample[0]), unpacked.info-4, 2049)},
		{"endless name", "does not end", join(old.encode(sample[0])[:unpacked.image], bytes.Repeat([]byte{'x'}, unpacked.size))},
		{"lost in between", "begins with", join(v2.greet(), v2.encode(sample[0]), v2.encode(sample[1]), bytes.Repeat([]byte{'x'}, 5000))},
	} {
		var d decoder
		if _, err := d.feed(tt.bytes); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Names reach D-Bus, which ends a connection that sends invalid UTF-8.
func TestNamesAreClean(t *testing.T) {
	s := servers[0]
	var d decoder
	got, err := d.feed(s.encode(message{status: run, steps: 1, step: 1, image: "a\xff\nb\x1b[31m"}))
	if err != nil || len(got) != 1 || got[0].image != "a\uFFFD b [31m" {
		t.Errorf("%+v, %v", got, err)
	}
}
