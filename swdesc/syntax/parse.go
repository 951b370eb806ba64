package syntax

import "bytes"

// Format names the syntax that a text was read as.
type Format string

// The formats.
const (
	Libconfig Format = "libconfig"
	JSON      Format = "json"
)

// Parse reads a text as SWUpdate does: as libconfig, and if that fails as JSON, whatever the file's name is (core/parser.c). An
// empty text is a libconfig text without settings. The error, an *Error, is that of the syntax that the text looks like.
func Parse(src []byte) (Value, Format, error) {
	v, asLibconfig := ParseLibconfig(src)
	if asLibconfig == nil {
		return v, Libconfig, nil
	}
	v, asJSON := ParseJSON(src)
	if asJSON == nil {
		return v, JSON, nil
	}
	if looksLikeJSON(src) {
		return Value{}, JSON, asJSON
	}
	return Value{}, Libconfig, asLibconfig
}

// A libconfig text begins with a name or a comment, never with a brace.
func looksLikeJSON(src []byte) bool {
	src = bytes.TrimLeft(bytes.TrimPrefix(src, byteOrderMark), " \t\r\n\f")
	return len(src) > 0 && (src[0] == '{' || src[0] == '[')
}
