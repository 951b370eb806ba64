package syntax

import (
	"bytes"
	"fmt"
)

// What a text may hold. SWUpdate sets no limits; these keep a hostile text from taking the memory of a build host.
const (
	// MaxSize is the longest text that is read or printed, in bytes.
	MaxSize = 4 << 20
	// MaxValues is how many values one text may hold, groups and lists included.
	MaxValues = 1 << 16
	// MaxDepth is the deepest level of a value in libconfig; the root is level 1. libconfig's own limit, the stack of its
	// parser, is at some thousands.
	MaxDepth = 64
	// MaxDepthJSON is the same for JSON. json-c's json_tokener_parse, which SWUpdate calls, refuses a value on level 33
	// (JSON_TOKENER_DEFAULT_DEPTH).
	MaxDepthJSON = 32
)

// The names of the syntaxes in errors.
const (
	libconfigName = "libconfig"
	jsonName      = "JSON"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// reader is what both parsers share: a place in a text, and the limits.
type reader struct {
	syntax    string
	depth     int // the deepest level
	src       []byte
	offset    int
	line      int // of offset, from 1
	lineStart int // offset of the line's first byte
	values    int
}

// open checks what can be said before the first token.
func open(syntax string, depth int, src []byte) (reader, error) {
	r := reader{syntax: syntax, depth: depth, src: src, line: 1}
	if len(src) > MaxSize {
		return r, r.errorf(r.position(), "the text has %d bytes, more than %d", len(src), MaxSize)
	}
	if bytes.HasPrefix(src, byteOrderMark) {
		return r, r.errorf(r.position(), "the text begins with a byte order mark; save it as plain UTF-8")
	}
	return r, nil
}

func (r *reader) position() Position {
	return Position{Line: r.line, Column: r.offset - r.lineStart + 1}
}

func (r *reader) errorf(at Position, format string, args ...any) error {
	return &Error{Syntax: r.syntax, Position: at, Problem: fmt.Sprintf(format, args...)}
}

// rest is the text that was not read yet.
func (r *reader) rest() []byte { return r.src[r.offset:] }

func (r *reader) end() bool { return r.offset >= len(r.src) }

// advance goes over n bytes and counts the lines in them.
func (r *reader) advance(n int) {
	for i := r.offset; i < r.offset+n; i++ {
		if r.src[i] == '\n' {
			r.line, r.lineStart = r.line+1, i+1
		}
	}
	r.offset += n
}

// enter counts a value on a level.
func (r *reader) enter(at Position, level int) error {
	if level > r.depth {
		return r.errorf(at, "values are nested more than %d levels deep", r.depth)
	}
	if r.values++; r.values > MaxValues {
		return r.errorf(at, "the text has more than %d values", MaxValues)
	}
	return nil
}

// names finds a name that a group has twice.
type names map[string]Position

// add returns the place of an earlier setting of that name.
func (n names) add(name string, at Position) (Position, bool) {
	first, twice := n[name]
	if !twice {
		n[name] = at
	}
	return first, twice
}

func (r *reader) twice(name string, at, first Position) error {
	return r.errorf(at, "the name %q was used before in this group, at %s", brief(name), first)
}

// show names a byte, or the character that begins there, for a sentence.
func show(rest []byte) string {
	if len(rest) == 0 {
		return "the end of the text"
	}
	if c := rest[0]; c > ' ' && c < 0x7f {
		return fmt.Sprintf("'%c'", c)
	}
	return fmt.Sprintf("byte 0x%02x", rest[0])
}

// brief cuts what would make a message unreadable.
func brief(text string) string {
	if len(text) > 40 {
		return text[:40] + "..."
	}
	return text
}

// run returns how many bytes at the beginning are of a kind.
func run(text []byte, is func(byte) bool) int {
	n := 0
	for n < len(text) && is(text[n]) {
		n++
	}
	return n
}
