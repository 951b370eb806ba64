package syntax

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

var jsonRules = rules{
	syntax:   jsonName,
	depth:    MaxDepthJSON,
	name:     jsonText,
	text:     jsonText,
	elements: func(Value) string { return "" },
}

func jsonText(text string) string {
	if !utf8.ValidString(text) {
		return "it is not UTF-8"
	}
	return ""
}

// PrintJSON writes a Group as JSON. Lists and Arrays both become arrays, which ParseJSON reads as Lists. An error about the tree
// (exit code 65) names the setting; then nothing was written.
func PrintJSON(w io.Writer, v Value) error {
	c := checker{rules: jsonRules}
	if err := c.root(v); err != nil {
		return err
	}
	var out bytes.Buffer
	jsonValue(&out, v, 0)
	out.WriteByte('\n')
	return write(w, jsonName, &out)
}

func jsonValue(out *bytes.Buffer, v Value, level int) {
	switch v.Kind {
	case Bool:
		out.WriteString(strconv.FormatBool(v.Bool))
	case Int:
		out.WriteString(strconv.FormatInt(v.Int, 10))
	case Float:
		out.WriteString(floatText(v.Float))
	case String:
		jsonString(out, v.String)
	case Group:
		jsonObject(out, v.Settings, level)
	case List, Array:
		out.WriteByte('[')
		joinElements(out, v.Elements, level, jsonValue)
		out.WriteByte(']')
	}
}

func jsonObject(out *bytes.Buffer, settings []Setting, level int) {
	if len(settings) == 0 {
		out.WriteString("{}")
		return
	}
	out.WriteByte('{')
	for i, s := range settings {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
		indent(out, level+1)
		jsonString(out, s.Name)
		out.WriteString(": ")
		jsonValue(out, s.Value, level+1)
	}
	out.WriteByte('\n')
	indent(out, level)
	out.WriteByte('}')
}

var jsonLetters = map[rune]string{'\n': `\n`, '\r': `\r`, '\t': `\t`, '\f': `\f`, '\b': `\b`, '\\': `\\`, '"': `\"`}

// jsonString writes valid UTF-8.
func jsonString(out *bytes.Buffer, text string) {
	out.WriteByte('"')
	for _, c := range text {
		if letter, known := jsonLetters[c]; known {
			out.WriteString(letter)
		} else if plain(c) {
			out.WriteRune(c)
		} else if high, low := utf16.EncodeRune(c); high != utf8.RuneError {
			fmt.Fprintf(out, `\u%04x\u%04x`, high, low)
		} else {
			fmt.Fprintf(out, `\u%04x`, c)
		}
	}
	out.WriteByte('"')
}
