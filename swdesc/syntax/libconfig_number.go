package syntax

import (
	"errors"
	"strconv"
	"strings"
)

// number reads an integer or a floating point number.
func (s *libconfigScanner) number() (token, error) {
	t := token{position: s.position()}
	text := s.rest()
	sign := 0
	if text[0] == '+' || text[0] == '-' {
		sign = 1
	}
	whole := sign + run(text[sign:], isDigit)
	if sign == 0 && len(text) > 2 && text[0] == '0' && text[1]|0x20 == 'x' && isHex(text[2]) {
		return s.hex(t)
	}
	if n := floatLength(text, sign, whole); n > 0 {
		return s.float(t, string(text[:n]))
	}
	if whole == sign {
		return t, s.errorf(t.position, "%s cannot stand here", show(text))
	}
	return s.decimal(t, whole)
}

// decimal reads an integer whose digits end at whole. Without L it has 64 bits if it needs them; not so in Debian 12's 1.5, which
// was released before that was added. A leading zero made an octal number in 1.7 by mistake: strtoll was given base 0.
func (s *libconfigScanner) decimal(t token, whole int) (token, error) {
	text := s.rest()
	n := whole + suffix(text[whole:])
	t.kind, t.text, t.wide = tokenInt, string(text[:n]), n > whole
	var err error
	if t.int, err = strconv.ParseInt(string(text[:whole]), 10, 64); err != nil {
		return t, s.errorf(t.position, "the number %s does not fit in 64 bits", brief(t.text))
	}
	if octal, err := strconv.ParseInt(string(text[:whole]), 0, 64); err != nil || octal != t.int {
		return t, s.errorf(t.position, "the number %s has a leading zero: libconfig 1.5 reads it as decimal, newer ones as octal or not at all",
			brief(t.text))
	}
	if !t.wide && int64(int32(t.int)) != t.int {
		t.wide = true
		s.caveat(t.position, "libconfig 1.5 reads %s as %d, because it keeps 32 bits of a number without L; write %[1]sL", t.text, int32(t.int))
	}
	s.advance(n)
	return t, nil
}

// hex reads 0x and digits. Before 1.8 libconfig keeps the low 32 bits of a number without L, with their sign, and says nothing.
func (s *libconfigScanner) hex(t token) (token, error) {
	text := s.rest()
	whole := 2 + run(text[2:], isHex)
	n := whole + suffix(text[whole:])
	t.kind, t.text, t.wide = tokenInt, string(text[:n]), n > whole
	var err error
	if t.int, err = strconv.ParseInt(string(text[2:whole]), 16, 64); err != nil {
		return t, s.errorf(t.position, "the number %s does not fit in 64 bits with a sign", brief(t.text))
	}
	if !t.wide && int64(int32(t.int)) != t.int {
		return t, s.errorf(t.position, "libconfig would read %s as %d: it keeps 32 bits; write %[1]sL", brief(t.text), int32(t.int))
	}
	s.advance(n)
	return t, nil
}

// float reads a number with a point or an exponent. libconfig takes a point without digits for 0 and a number that is too large
// for infinity; both are mistakes.
func (s *libconfigScanner) float(t token, text string) (token, error) {
	t.kind, t.text = tokenFloat, text
	var err error
	if t.float, err = strconv.ParseFloat(text, 64); err != nil {
		if errors.Is(err, strconv.ErrRange) {
			return t, s.errorf(t.position, "the number %s is too large", brief(text))
		}
		return t, s.errorf(t.position, "the number %s has no digits beside its point", brief(text))
	}
	s.advance(len(text))
	return t, nil
}

// floatLength returns the length of a floating point number, or 0. Digits may lack on one side of the point.
func floatLength(text []byte, sign, whole int) int {
	n := whole
	point := n < len(text) && text[n] == '.'
	if point {
		n++
		n += run(text[n:], isDigit)
	} else if whole == sign {
		return 0
	}
	if exponent := exponentLength(text[n:]); exponent > 0 {
		return n + exponent
	}
	if !point {
		return 0
	}
	return n
}

func exponentLength(text []byte) int {
	if len(text) == 0 || text[0]|0x20 != 'e' {
		return 0
	}
	n := 1
	if len(text) > 1 && (text[1] == '+' || text[1] == '-') {
		n = 2
	}
	if d := run(text[n:], isDigit); d > 0 {
		return n + d
	}
	return 0
}

// suffix returns the length of L or LL.
func suffix(text []byte) int {
	n := 0
	for n < 2 && n < len(text) && text[n] == 'L' {
		n++
	}
	return n
}

func isBool(text string) bool {
	return strings.EqualFold(text, "true") || strings.EqualFold(text, "false")
}
