package syntax

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// longLine is where elements no longer share a line, in bytes.
const longLine = 100

var libconfigRules = rules{
	syntax: libconfigName,
	depth:  MaxDepth,
	name: func(name string) string {
		if isBool(name) {
			return "libconfig reads this name as a boolean"
		}
		if name == "" || name[0] != '*' && !isLetter(name[0]) || run([]byte(name), isNameByte) < len(name) {
			return "a name of libconfig begins with a letter or *, and has letters, digits, - _ and * only"
		}
		return ""
	},
	text: func(text string) string {
		if strings.IndexByte(text, 0) >= 0 {
			return "a string of libconfig cannot hold a NUL byte"
		}
		return ""
	},
	elements: func(v Value) string {
		for _, e := range v.Elements {
			if e.Kind < Bool || e.Kind > String || e.Kind != v.Elements[0].Kind {
				return "an array of libconfig holds booleans, numbers or strings, all of one type; this must be a list"
			}
		}
		return ""
	},
}

// PrintLibconfig writes a Group as a libconfig text that every release from 1.5 reads, and reads alike. A string of more than one
// line becomes one literal per line. An error about the tree (exit code 65) names the setting; then nothing was written.
func PrintLibconfig(w io.Writer, v Value) error {
	c := checker{rules: libconfigRules}
	if err := c.root(v); err != nil {
		return err
	}
	var out bytes.Buffer
	libconfigSettings(&out, v.Settings, 0)
	return write(w, libconfigName, &out)
}

func libconfigSettings(out *bytes.Buffer, settings []Setting, level int) {
	for _, s := range settings {
		indent(out, level)
		out.WriteString(s.Name)
		switch lines := literals(s.Value.String); {
		case s.Value.Kind >= Group:
			out.WriteString(": ")
			libconfigValue(out, s.Value, level, false)
		case len(lines) > 1:
			out.WriteString(" =\n")
			indent(out, level+1)
			libconfigString(out, lines, level+1)
		default:
			out.WriteString(" = ")
			libconfigValue(out, s.Value, level, false)
		}
		out.WriteString(";\n")
	}
}

// libconfigValue writes a value whose line has the given level; wide: an integer gets an L because its array holds one of 64 bits.
func libconfigValue(out *bytes.Buffer, v Value, level int, wide bool) {
	switch v.Kind {
	case Bool:
		out.WriteString(strconv.FormatBool(v.Bool))
	case Int:
		out.WriteString(strconv.FormatInt(v.Int, 10))
		if wide || is64(v) {
			out.WriteByte('L')
		}
	case Float:
		out.WriteString(floatText(v.Float))
	case String:
		libconfigString(out, literals(v.String), level)
	case Group:
		out.WriteString("{\n")
		libconfigSettings(out, v.Settings, level+1)
		indent(out, level)
		out.WriteByte('}')
	case List:
		libconfigElements(out, v, level, "()")
	case Array:
		libconfigElements(out, v, level, "[]")
	}
}

func libconfigElements(out *bytes.Buffer, v Value, level int, brackets string) {
	wide := false
	for _, e := range v.Elements {
		wide = wide || v.Kind == Array && is64(e)
	}
	element := func(out *bytes.Buffer, e Value, level int) { libconfigValue(out, e, level, wide) }
	out.WriteByte(brackets[0])
	joinElements(out, v.Elements, level, element)
	out.WriteByte(brackets[1])
}

// joinElements writes elements on one line where they are few scalars, else each on its own.
func joinElements(out *bytes.Buffer, elements []Value, level int, element func(*bytes.Buffer, Value, int)) {
	var line bytes.Buffer
	short := true
	for i, e := range elements {
		if i > 0 {
			line.WriteString(", ")
		}
		if short = short && e.Kind < Group && line.Len() < longLine && len(e.String) < longLine; short {
			element(&line, e, level)
		}
	}
	if short && line.Len() < longLine && !bytes.ContainsRune(line.Bytes(), '\n') {
		out.Write(line.Bytes())
		return
	}
	for i, e := range elements {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
		indent(out, level+1)
		element(out, e, level+1)
	}
	out.WriteByte('\n')
	indent(out, level)
}

// literals cuts a text behind its line feeds; one at least is returned.
func literals(text string) []string {
	lines := strings.SplitAfter(text, "\n")
	if n := len(lines) - 1; n > 0 && lines[n] == "" {
		return lines[:n]
	}
	return lines
}

// libconfigString writes literals, each on its own line. libconfig joins adjacent literals.
func libconfigString(out *bytes.Buffer, lines []string, level int) {
	for i, line := range lines {
		if i > 0 {
			out.WriteByte('\n')
			indent(out, level)
		}
		libconfigLiteral(out, line)
	}
}

var libconfigEscapes = map[rune]string{'\n': `\n`, '\r': `\r`, '\t': `\t`, '\f': `\f`, '\\': `\\`, '"': `\"`}

func libconfigLiteral(out *bytes.Buffer, text string) {
	out.WriteByte('"')
	for len(text) > 0 {
		c, size := utf8.DecodeRuneInString(text)
		if escape, known := libconfigEscapes[c]; known {
			out.WriteString(escape)
		} else if plain(c) && (c != utf8.RuneError || size > 1) {
			out.WriteString(text[:size])
		} else {
			for i := 0; i < size; i++ {
				fmt.Fprintf(out, `\x%02x`, text[i])
			}
		}
		text = text[size:]
	}
	out.WriteByte('"')
}

func is64(v Value) bool { return v.Kind == Int && int64(int32(v.Int)) != v.Int }
