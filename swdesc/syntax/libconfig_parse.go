package syntax

import (
	"fmt"
	"strings"
)

// maxCaveats keeps Caveats short.
const maxCaveats = 100

// Caveat is a place of a libconfig text that libconfig's releases do not read alike. Debian 12 has libconfig 1.5, Yocto's
// scarthgap 1.7.3.
type Caveat struct {
	Position Position
	Problem  string // one sentence
}

// ParseLibconfig reads a libconfig text; the root is a Group. It accepts what libconfig 1.7 accepts (Caveats finds what older
// ones refuse) and is stricter where libconfig's reading is surely not what the author meant: @include, a string or comment
// without an end, a NUL byte in a string, an integer beyond its 32 or 64 bits or with a leading zero that may make it octal, a
// floating point number without digits or beyond its range, two commas in a row. The error is an *Error.
func ParseLibconfig(src []byte) (Value, error) {
	v, _, err := parseLibconfig(src)
	return v, err
}

// Caveats returns the first 100 places of a libconfig text that only some releases of libconfig accept, or read in another way;
// nothing for a text that ParseLibconfig refuses.
func Caveats(src []byte) []Caveat {
	_, caveats, err := parseLibconfig(src)
	if err != nil {
		return nil
	}
	return caveats
}

func parseLibconfig(src []byte) (Value, []Caveat, error) {
	r, err := open(libconfigName, MaxDepth, src)
	if err != nil {
		return Value{}, nil, err
	}
	p := libconfigParser{libconfigScanner: libconfigScanner{reader: r}}
	root := Value{Kind: Group, Position: p.position()}
	if err := p.enter(root.Position, 1); err != nil {
		return Value{}, nil, err
	}
	if err := p.step(); err != nil {
		return Value{}, nil, err
	}
	if root.Settings, err = p.settings(2); err != nil {
		return Value{}, nil, err
	}
	if p.token.kind != tokenEnd {
		return Value{}, nil, p.expected("the name of a setting")
	}
	return root, p.caveats, nil
}

func (s *libconfigScanner) caveat(at Position, format string, args ...any) {
	if len(s.caveats) < maxCaveats {
		s.caveats = append(s.caveats, Caveat{Position: at, Problem: fmt.Sprintf(format, args...)})
	}
}

// libconfigParser looks one word ahead.
type libconfigParser struct {
	libconfigScanner
	token token
}

func (p *libconfigParser) step() (err error) {
	p.token, err = p.next()
	return err
}

func (p *libconfigParser) expected(what string) error {
	return p.errorf(p.token.position, "%s was expected, not %s", what, p.token)
}

// String names a token for a sentence.
func (t token) String() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the text"
	case tokenString:
		return "a string"
	case tokenName:
		return fmt.Sprintf("the name %q", brief(t.text))
	case tokenBool:
		return "the boolean " + t.text
	case tokenInt, tokenFloat:
		return "the number " + brief(t.text)
	}
	return "'" + t.text + "'"
}

// settings reads the settings of a group, whose values are on the given level, up to a token that is no name.
func (p *libconfigParser) settings(level int) ([]Setting, error) {
	var list []Setting
	seen := names{}
	for p.token.kind == tokenName {
		s := Setting{Name: p.token.text, Position: p.token.position}
		if first, twice := seen.add(s.Name, s.Position); twice {
			return nil, p.twice(s.Name, s.Position, first)
		}
		if err := p.step(); err != nil {
			return nil, err
		}
		if !p.token.is('=') {
			return nil, p.expected(fmt.Sprintf("'=' or ':' after the name %q", brief(s.Name)))
		}
		if err := p.step(); err != nil {
			return nil, err
		}
		var err error
		if s.Value, err = p.value(level, fmt.Sprintf("a value of the setting %q", brief(s.Name))); err != nil {
			return nil, err
		}
		list = append(list, s)
		if p.token.is(';') || p.token.is(',') {
			if err := p.step(); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// value reads a value and steps behind it.
func (p *libconfigParser) value(level int, what string) (Value, error) {
	t := p.token
	v := Value{Position: t.position}
	if err := p.enter(t.position, level); err != nil {
		return Value{}, err
	}
	switch {
	case t.is('{'):
		return p.group(v, level)
	case t.is('('), t.is('['):
		return p.elements(v, level)
	case t.kind == tokenBool:
		v.Kind, v.Bool = Bool, t.bool
	case t.kind == tokenInt:
		v.Kind, v.Int = Int, t.int
	case t.kind == tokenFloat:
		v.Kind, v.Float = Float, t.float
	case t.kind == tokenString:
		return p.text(v)
	default:
		return Value{}, p.expected(what)
	}
	return v, p.step()
}

// text joins adjacent literals.
func (p *libconfigParser) text(v Value) (Value, error) {
	var all strings.Builder
	for p.token.kind == tokenString {
		all.WriteString(p.token.text)
		if err := p.step(); err != nil {
			return Value{}, err
		}
	}
	v.Kind, v.String = String, all.String()
	return v, nil
}

func (p *libconfigParser) group(v Value, level int) (Value, error) {
	v.Kind = Group
	err := p.step()
	if err != nil {
		return Value{}, err
	}
	if v.Settings, err = p.settings(level + 1); err != nil {
		return Value{}, err
	}
	if !p.token.is('}') {
		return Value{}, p.expected(fmt.Sprintf("the name of a setting, or the '}' of the group that begins at %s,", v.Position))
	}
	return v, p.step()
}
