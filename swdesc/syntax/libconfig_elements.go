package syntax

import "fmt"

// elements reads a list (...) or an array [...]. For libconfig an integer of 32 bits and one of 64 bits are of two types, so an
// array cannot hold both.
func (p *libconfigParser) elements(v Value, level int) (Value, error) {
	v.Kind = List
	closing, what := byte(')'), "list"
	if p.token.is('[') {
		v.Kind, closing, what = Array, ']', "array"
	}
	var first token
	var comma Position
	if err := p.step(); err != nil {
		return Value{}, err
	}
	for !p.token.is(closing) {
		t := p.token
		if v.Kind == Array {
			if len(v.Elements) == 0 {
				first = t
			}
			if err := p.fits(first, t); err != nil {
				return Value{}, err
			}
		}
		begins := fmt.Sprintf("of the %s that begins at %s", what, v.Position)
		e, err := p.value(level+1, fmt.Sprintf("an element or the '%c' %s", closing, begins))
		if err != nil {
			return Value{}, err
		}
		v.Elements = append(v.Elements, e)
		if p.token.is(closing) {
			break
		}
		if !p.token.is(',') {
			return Value{}, p.expected(fmt.Sprintf("',' or the '%c' %s,", closing, begins))
		}
		comma = p.token.position
		if err := p.step(); err != nil {
			return Value{}, err
		}
		if p.token.is(closing) {
			p.caveat(comma, "libconfig 1.5 and 1.6 refuse a comma before the end of %s", map[Kind]string{List: "a list", Array: "an array"}[v.Kind])
		}
	}
	return v, p.step()
}

// fits says whether a token may be an element of an array with that first one.
func (p *libconfigParser) fits(first, t token) error {
	if t.kind == tokenMark && (t.mark == '{' || t.mark == '(' || t.mark == '[') {
		return p.errorf(t.position, "an array [...] cannot hold groups, lists or arrays; use a list (...)")
	}
	if t.kind < tokenBool || t.kind == tokenName {
		return nil // value has the better sentence
	}
	if t.kind != first.kind {
		return p.errorf(t.position, "the elements of an array must be of one type, but %s stands in an array that begins with %s", t, first)
	}
	if t.wide != first.wide {
		return p.errorf(t.position, "the elements of an array must be of one type, but one of the integers %s and %s has 64 bits "+
			"and the other 32; write L behind all of them", first.text, t.text)
	}
	return nil
}
