package syntax

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// ParseJSON reads a JSON text (RFC 8259); the root is an object, a Group. A number without point and exponent that fits in 64
// bits is an Int, any other a Float. Refused are null, which SWUpdate cannot use, a name that an object has twice, of which json-c
// would take the last, text that is not UTF-8, and nesting that json-c refuses. json-c takes some texts that are no JSON; those
// are refused. The error is an *Error.
func ParseJSON(src []byte) (Value, error) {
	r, err := open(jsonName, MaxDepthJSON, src)
	if err != nil {
		return Value{}, err
	}
	p := jsonParser{reader: r}
	p.blanks()
	if !p.at('{') {
		return Value{}, p.expected("the '{' of the object that is the whole text")
	}
	v, err := p.value(1)
	if err != nil {
		return Value{}, err
	}
	p.blanks()
	if !p.end() {
		return Value{}, p.expected("the end of the text")
	}
	return v, nil
}

type jsonParser struct{ reader }

func (p *jsonParser) blanks() {
	p.advance(run(p.rest(), func(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }))
}

func (p *jsonParser) at(c byte) bool { return !p.end() && p.src[p.offset] == c }

// take goes over a character and the blanks behind it, if it is the next one.
func (p *jsonParser) take(c byte) bool {
	if !p.at(c) {
		return false
	}
	p.advance(1)
	p.blanks()
	return true
}

func (p *jsonParser) expected(what string) error {
	return p.errorf(p.position(), "%s was expected, not %s", what, show(p.rest()))
}

// value reads a value; the blanks before it were read.
func (p *jsonParser) value(level int) (v Value, err error) {
	v.Position = p.position()
	if err := p.enter(v.Position, level); err != nil {
		return Value{}, err
	}
	rest := p.rest()
	switch {
	case p.at('{'):
		return p.object(v, level)
	case p.at('['):
		return p.array(v, level)
	case p.at('"'):
		v.Kind = String
		v.String, err = p.text()
		return v, err
	case len(rest) > 0 && (rest[0] == '-' || isDigit(rest[0])):
		return p.number(v)
	}
	word := rest[:run(rest, isNameByte)]
	switch string(word) {
	case "true", "false":
		v.Kind, v.Bool = Bool, len(word) == len("true")
		p.advance(len(word))
		return v, nil
	case "null":
		return Value{}, p.errorf(v.Position, "null has no meaning in sw-description; leave the setting out")
	}
	return Value{}, p.expected("a value")
}

func (p *jsonParser) object(v Value, level int) (Value, error) {
	v.Kind = Group
	p.take('{')
	seen := names{}
	for first := true; !p.at('}'); first = false {
		if !first {
			if !p.take(',') {
				return Value{}, p.expected(fmt.Sprintf("',' or the '}' of the object that begins at %s", v.Position))
			}
		}
		s := Setting{Position: p.position()}
		if !p.at('"') {
			return Value{}, p.expected("the name of a setting, in double quotes,")
		}
		var err error
		if s.Name, err = p.text(); err != nil {
			return Value{}, err
		}
		if earlier, twice := seen.add(s.Name, s.Position); twice {
			return Value{}, p.twice(s.Name, s.Position, earlier)
		}
		p.blanks()
		if !p.take(':') {
			return Value{}, p.expected(fmt.Sprintf("':' after the name %q", brief(s.Name)))
		}
		if s.Value, err = p.value(level + 1); err != nil {
			return Value{}, err
		}
		v.Settings = append(v.Settings, s)
		p.blanks()
	}
	p.advance(1)
	return v, nil
}

func (p *jsonParser) array(v Value, level int) (Value, error) {
	v.Kind = List
	p.take('[')
	for first := true; !p.at(']'); first = false {
		if !first {
			if !p.take(',') {
				return Value{}, p.expected(fmt.Sprintf("',' or the ']' of the array that begins at %s", v.Position))
			}
		}
		e, err := p.value(level + 1)
		if err != nil {
			return Value{}, err
		}
		v.Elements = append(v.Elements, e)
		p.blanks()
	}
	p.advance(1)
	return v, nil
}

func (p *jsonParser) number(v Value) (Value, error) {
	rest := p.rest()
	n := 0
	if rest[0] == '-' {
		n = 1
	}
	whole := run(rest[n:], isDigit)
	if whole == 0 || whole > 1 && rest[n] == '0' {
		return Value{}, p.errorf(v.Position, "a number begins with one digit at least, and with 0 only before a point")
	}
	n += whole
	integer := true
	if n < len(rest) && rest[n] == '.' {
		fraction := run(rest[n+1:], isDigit)
		if fraction == 0 {
			return Value{}, p.errorf(v.Position, "the number has no digit behind its point")
		}
		integer, n = false, n+1+fraction
	}
	if n < len(rest) && rest[n]|0x20 == 'e' {
		exponent := exponentLength(rest[n:])
		if exponent == 0 {
			return Value{}, p.errorf(v.Position, "the number has an exponent without digits")
		}
		integer, n = false, n+exponent
	}
	text := string(rest[:n])
	p.advance(n)
	var err error
	if integer {
		if v.Int, err = strconv.ParseInt(text, 10, 64); err == nil {
			v.Kind = Int
			return v, nil
		}
		v.Int = 0 // ParseInt returned the nearest
	}
	v.Kind = Float
	if v.Float, err = strconv.ParseFloat(text, 64); err != nil {
		return Value{}, p.errorf(v.Position, "the number %s is too large", brief(text))
	}
	return v, nil
}

// text reads a string.
func (p *jsonParser) text() (string, error) {
	begin := p.position()
	var text []byte
	p.advance(1)
	for {
		rest := p.rest()
		n := bytes.IndexAny(rest, "\"\\")
		if n < 0 {
			return "", p.errorf(begin, "the string has no end")
		}
		for i := 0; i < n; {
			c, size := utf8.DecodeRune(rest[i:])
			if c < ' ' || c == utf8.RuneError && size == 1 {
				p.advance(i)
				if c < ' ' {
					return "", p.errorf(p.position(), "a string cannot hold the bare control character 0x%02x; write \\u%04x", c, c)
				}
				return "", p.errorf(p.position(), "byte 0x%02x is not UTF-8", rest[i])
			}
			i += size
		}
		text = append(text, rest[:n]...)
		p.advance(n)
		if rest[n] == '"' {
			p.advance(1)
			return string(text), nil
		}
		decoded, length, err := p.escape(rest[n:])
		if err != nil {
			return "", err
		}
		text = utf8.AppendRune(text, decoded)
		p.advance(length)
	}
}
