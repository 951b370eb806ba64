package syntax

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// rules say what one syntax can write. The functions return why it cannot, or "".
type rules struct {
	syntax   string
	depth    int
	name     func(string) string
	text     func(string) string
	elements func(Value) string // of an Array
}

// checker goes over a tree before it is printed, so that nothing is written of a tree that cannot be.
type checker struct {
	rules
	values int
	path   []string // to the value at hand: ".NAME" and "[INDEX]"
}

func (c *checker) root(v Value) error {
	if v.Kind != Group {
		return c.errorf("the whole must be a group")
	}
	return c.value(v)
}

func (c *checker) errorf(format string, args ...any) error {
	place := "the description"
	if len(c.path) > 0 {
		place = strings.TrimPrefix(strings.Join(c.path, ""), ".")
	}
	if strings.ContainsFunc(place, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		place = strconv.Quote(place)
	}
	return fail.New(fail.Data, "cannot print %s as %s: %s", place, c.syntax, fmt.Sprintf(format, args...))
}

func (c *checker) value(v Value) error {
	if len(c.path) >= c.depth {
		return c.errorf("values are nested more than %d levels deep", c.depth)
	}
	if c.values++; c.values > MaxValues {
		return c.errorf("there are more than %d values", MaxValues)
	}
	problem := ""
	switch v.Kind {
	case Bool, Int:
	case Float:
		if math.IsNaN(v.Float) || math.IsInf(v.Float, 0) {
			problem = fmt.Sprintf("%v cannot be written as a number", v.Float)
		}
	case String:
		problem = c.text(v.String)
	case Group:
		return c.settings(v.Settings)
	case Array, List:
		if v.Kind == Array {
			problem = c.elements(v)
		}
	default:
		problem = fmt.Sprintf("there is no kind %d of value", v.Kind)
	}
	if problem != "" {
		return c.errorf("%s", problem)
	}
	if v.Kind != List && v.Kind != Array {
		return nil
	}
	return c.list(v.Elements)
}

func (c *checker) list(elements []Value) error {
	for i, e := range elements {
		c.path = append(c.path, fmt.Sprintf("[%d]", i))
		if err := c.value(e); err != nil {
			return err
		}
		c.path = c.path[:len(c.path)-1]
	}
	return nil
}

func (c *checker) settings(settings []Setting) error {
	seen := names{}
	for _, s := range settings {
		c.path = append(c.path, "."+brief(s.Name))
		if problem := c.name(s.Name); problem != "" {
			return c.errorf("%s", problem)
		}
		if _, twice := seen.add(s.Name, s.Position); twice {
			return c.errorf("the name is used twice in its group")
		}
		if err := c.value(s.Value); err != nil {
			return err
		}
		c.path = c.path[:len(c.path)-1]
	}
	return nil
}

// write writes a whole text, or nothing if it is too long to be read again.
func write(w io.Writer, syntax string, text *bytes.Buffer) error {
	if text.Len() > MaxSize {
		return fail.New(fail.Data, "cannot print the description as %s: it has %d bytes, more than %d", syntax, text.Len(), MaxSize)
	}
	if _, err := w.Write(text.Bytes()); err != nil {
		return fmt.Errorf("cannot write the description as %s: %w", syntax, err)
	}
	return nil
}

func indent(out *bytes.Buffer, level int) { out.WriteString(strings.Repeat("\t", level)) }

// floatText has a point or an exponent always, so that it is read as a Float again.
func floatText(f float64) string {
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// plain says whether a character may stand in a string as it is. Others, among them those that turn the direction of writing,
// would make a text look like what it is not.
func plain(c rune) bool { return c != '"' && c != '\\' && unicode.IsPrint(c) }
