package release

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/spelling"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// schema compares a tree with the Go type it is to be decoded into, by the names of one struct tag: each unknown key and each
// value of a wrong type is a finding. It remembers where each key stands, for the checks that follow.
type schema struct {
	file     string
	tag      string // "toml" or "json"
	findings []finding
	places   map[string]syntax.Position // by path: component[1].file
	names    map[string]string          // a component's own name for messages, by path: component[1]
}

// finding is something wrong in a file. The zero place is not known.
type finding struct {
	at   syntax.Position
	text string
}

// maxFindings is how many findings an error names.
const maxFindings = 20

func newSchema(file, tag string) *schema {
	return &schema{file: file, tag: tag, places: map[string]syntax.Position{}, names: map[string]string{}}
}

// add notes a finding about a key's value, such as `hardware.boards[0] "x" must be ...`, where the key or what it is in stands.
func (s *schema) add(path, format string, args ...any) {
	at, known := s.places[path]
	for p := path; !known && p != ""; at, known = s.places[p] {
		p = p[:max(strings.LastIndexAny(p, ".["), 0)]
	}
	text := fmt.Sprintf(format, args...)
	if key := s.words(path); key != "" {
		text = key + " " + text
	}
	s.findings = append(s.findings, finding{at, text})
}

// words names a key for people: component[1].partition is "component 2 (rootfs.ext4): partition".
func (s *schema) words(path string) string {
	list, rest, ok := strings.Cut(path, "]")
	name, index, _ := strings.Cut(list, "[")
	if !ok || name != "component" && name != "components" {
		return path
	}
	n := 0
	_, _ = fmt.Sscan(index, &n)
	text := fmt.Sprintf("component %d", n+1)
	if file := s.names[list+"]"]; file != "" {
		text += " (" + file + ")"
	}
	if rest == "" {
		return text
	}
	return text + ": " + strings.TrimPrefix(rest, ".")
}

// err returns all findings as one error, in the order of the file, or nil.
func (s *schema) err(verb string) error {
	if len(s.findings) == 0 {
		return nil
	}
	sort.SliceStable(s.findings, func(i, k int) bool {
		a, b := s.findings[i].at, s.findings[k].at
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	var texts []string
	for i, f := range s.findings {
		if i == maxFindings {
			texts = append(texts, fmt.Sprintf("and %d more", len(s.findings)-i))
			break
		}
		place := s.file
		if f.at != (syntax.Position{}) {
			place += ":" + f.at.String()
		}
		texts = append(texts, place+": "+f.text)
	}
	return fail.New(fail.Data, "cannot %s %s", verb, strings.Join(texts, "; "))
}

var (
	textType = reflect.TypeOf((*encoding.TextUnmarshaler)(nil)).Elem()
	rawType  = reflect.TypeOf(json.RawMessage(nil))
)

// check compares v with t. A json.RawMessage takes anything: its owner looks at it.
func (s *schema) check(v syntax.Value, t reflect.Type, path string) {
	want := ""
	switch {
	case t == rawType:
	case t.Kind() == reflect.Pointer:
		s.check(v, t.Elem(), path)
	case reflect.PointerTo(t).Implements(textType):
		if v.Kind != syntax.String {
			want = `a string in quotes, such as "100M"`
		} else if err := reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(v.String)); err != nil {
			s.add(path, "%q %v", v.String, err)
		}
	case t.Kind() == reflect.String && v.Kind != syntax.String:
		want = "a string in quotes"
	case t.Kind() == reflect.Bool && v.Kind != syntax.Bool:
		want = "true or false"
	case (t.Kind() == reflect.Int || t.Kind() == reflect.Int64) && v.Kind != syntax.Int:
		want = "a whole number"
	case t.Kind() == reflect.Slice:
		if v.Kind != syntax.Array && v.Kind != syntax.List {
			want = "a list in brackets"
		}
		for i, e := range v.Elements {
			at := fmt.Sprintf("%s[%d]", path, i)
			s.places[at] = e.Position
			s.check(e, t.Elem(), at)
		}
	case t.Kind() == reflect.Struct:
		if v.Kind != syntax.Group {
			want = "a table"
		}
		s.fields(v, t, path)
	}
	if want != "" {
		s.add(path, "must be %s", want)
	}
}

func (s *schema) fields(v syntax.Value, t reflect.Type, path string) {
	types := map[string]reflect.Type{}
	var known []string
	for i := 0; i < t.NumField(); i++ {
		if name := t.Field(i).Tag.Get(s.tag); name != "" && name != "-" {
			types[name] = t.Field(i).Type
			known = append(known, name)
		}
	}
	for _, key := range []string{"file", "filename"} {
		if name, ok := v.Get(key); ok && name.Kind == syntax.String && len(name.String) <= 255 {
			s.names[path] = name.String
		}
	}
	for _, member := range v.Settings {
		at := strings.TrimPrefix(path+"."+member.Name, ".")
		if types[member.Name] == nil {
			f := finding{member.Position, fmt.Sprintf("unknown key %q", at)}
			if owner := s.words(path); owner != path {
				f.text = fmt.Sprintf("%s: unknown key %q", owner, member.Name)
			}
			if name := spelling.Closest(member.Name, known); name != "" {
				f.text += fmt.Sprintf(", did you mean %q?", name)
			}
			s.findings = append(s.findings, f)
			continue
		}
		s.places[at] = member.Position
		s.check(member.Value, types[member.Name], at)
	}
}
