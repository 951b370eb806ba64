package syntax

import "bytes"

// tokenKind is what the scanner tells apart.
type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenMark
	tokenBool
	tokenName
	tokenInt
	tokenFloat
	tokenString
)

// token is a word of a libconfig text.
type token struct {
	kind     tokenKind
	mark     byte   // of tokenMark: one of =,;{}[]() where = stands for : too
	text     string // as it was written; of tokenString the characters it stands for
	bool     bool
	int      int64
	wide     bool // the integer is of 64 bits for libconfig
	float    float64
	position Position
}

func (t token) is(mark byte) bool { return t.kind == tokenMark && t.mark == mark }

// libconfigScanner follows lib/scanner.l of libconfig 1.5 and 1.7: at each place the longest word wins.
type libconfigScanner struct {
	reader
	caveats []Caveat
}

// next returns the next word.
func (s *libconfigScanner) next() (token, error) {
	if err := s.blanks(); err != nil {
		return token{}, err
	}
	t := token{position: s.position()}
	if s.end() {
		return t, nil
	}
	rest := s.rest()
	switch c := rest[0]; {
	case bytes.IndexByte([]byte("=:,;{}[]()"), c) >= 0:
		s.advance(1)
		t.kind, t.mark, t.text = tokenMark, c, string(c)
		if c == ':' {
			t.mark = '='
		}
		return t, nil
	case c == '"':
		return s.literal()
	case isLetter(c) || c == '*':
		n := 1
		for n < len(rest) && isNameByte(rest[n]) {
			n++
		}
		s.advance(n)
		t.kind, t.text = tokenName, string(rest[:n])
		if isBool(t.text) {
			t.kind, t.bool = tokenBool, len(t.text) == len("true")
		}
		return t, nil
	case bytes.HasPrefix(rest, []byte("@include")):
		return t, s.errorf(t.position, "@include is not accepted: a signed sw-description must hold everything itself, "+
			"because the signature does not cover other files")
	}
	return s.number()
}

// blanks goes over white space and comments. A vertical tab is white space since 1.8 only.
func (s *libconfigScanner) blanks() error {
	for !s.end() {
		rest := s.rest()
		switch {
		case bytes.IndexByte([]byte(" \t\r\n\f"), rest[0]) >= 0:
			s.advance(1)
		case rest[0] == '#' || bytes.HasPrefix(rest, []byte("//")):
			n := bytes.IndexByte(rest, '\n')
			if n < 0 {
				s.caveat(s.position(), "libconfig 1.5 and 1.6 refuse a comment on a last line that has no line feed")
				n = len(rest)
			}
			s.advance(n)
		case bytes.HasPrefix(rest, []byte("/*")):
			n := bytes.Index(rest[2:], []byte("*/"))
			if n < 0 {
				return s.errorf(s.position(), "the comment has no end")
			}
			s.advance(n + 4)
		default:
			return nil
		}
	}
	return nil
}

// literal reads one string literal. A backslash before a character without a meaning stays, as in libconfig.
func (s *libconfigScanner) literal() (token, error) {
	t := token{kind: tokenString, position: s.position()}
	var text []byte
	s.advance(1)
	for {
		rest := s.rest()
		n := bytes.IndexAny(rest, "\"\\\x00")
		if n < 0 {
			return t, s.errorf(t.position, "the string has no end")
		}
		text = append(text, rest[:n]...)
		s.advance(n)
		rest = rest[n:]
		switch rest[0] {
		case 0:
			return t, s.errorf(s.position(), "a string cannot hold a NUL byte: libconfig would end it there")
		case '"':
			s.advance(1)
			t.text = string(text)
			return t, nil
		}
		decoded, n, err := s.escape(rest)
		if err != nil {
			return t, err
		}
		text = append(text, decoded)
		s.advance(n)
	}
}

// escape decodes what begins with a backslash, and says how long it is.
func (s *libconfigScanner) escape(rest []byte) (decoded byte, length int, err error) {
	if len(rest) < 2 {
		return '\\', 1, nil
	}
	switch c := rest[1]; c {
	case 'n':
		return '\n', 2, nil
	case 'r':
		return '\r', 2, nil
	case 't':
		return '\t', 2, nil
	case 'f':
		return '\f', 2, nil
	case '\\', '"':
		return c, 2, nil
	case 'a', 'b', 'v':
		s.caveat(s.position(), "libconfig reads \\%c as two characters, since 1.8 as one; write \\\\%c or \\x%02x", c, c,
			map[byte]byte{'a': 7, 'b': 8, 'v': 11}[c])
	case 'x', 'X':
		if len(rest) >= 4 && isHex(rest[2]) && isHex(rest[3]) {
			if decoded = unhex(rest[2])<<4 | unhex(rest[3]); decoded == 0 {
				return 0, 0, s.errorf(s.position(), "a string cannot hold a NUL byte: libconfig would leave it out")
			}
			return decoded, 4, nil
		}
	}
	return '\\', 1, nil
}

func isLetter(c byte) bool   { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool    { return c >= '0' && c <= '9' }
func isHex(c byte) bool      { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
func isNameByte(c byte) bool { return isLetter(c) || isDigit(c) || c == '-' || c == '_' || c == '*' }

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
