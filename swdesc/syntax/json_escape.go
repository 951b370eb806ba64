package syntax

import (
	"unicode/utf16"
	"unicode/utf8"
)

// jsonEscapes are the characters that have a letter.
var jsonEscapes = map[byte]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape decodes what begins with a backslash, and says how long it is.
func (p *jsonParser) escape(rest []byte) (decoded rune, length int, err error) {
	at := p.position()
	if len(rest) < 2 {
		return 0, 0, p.errorf(at, "the text ends with a backslash")
	}
	if decoded, known := jsonEscapes[rest[1]]; known {
		return decoded, 2, nil
	}
	if rest[1] != 'u' {
		return 0, 0, p.errorf(at, "a backslash before %s has no meaning; a backslash itself is written \\\\", show(rest[1:]))
	}
	high, ok := fourDigits(rest)
	if !ok {
		return 0, 0, p.errorf(at, "\\u needs four hexadecimal digits")
	}
	if !utf16.IsSurrogate(high) {
		return high, 6, nil
	}
	low, ok := fourDigits(rest[6:])
	decoded = utf16.DecodeRune(high, low)
	if !ok || decoded == utf8.RuneError {
		return 0, 0, p.errorf(at, "\\u%04x is half of a character; its other half has to follow", high)
	}
	return decoded, 12, nil
}

// fourDigits reads \uNNNN.
func fourDigits(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var c rune
	for _, digit := range text[2:6] {
		if !isHex(digit) {
			return 0, false
		}
		c = c<<4 | rune(unhex(digit))
	}
	return c, true
}
