package dbusapi_test

import (
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// described is an interface as an introspection XML has it.
type described struct {
	name    string
	members map[string]xmlMember
}

// xmlMember is a method, signal or property.
type xmlMember struct {
	Kind    string // method, signal, property
	In, Out string // signatures; a signal's and a property's is Out
	Access  string
	Emits   string // annotation EmitsChangedSignal; "" stands for true
	Args    string // names and types, in order
	comment string
}

// description parses an introspection: its interfaces by name, and the nodes right below. A member's comment is the one before it.
func description(t *testing.T, text string) (faces map[string]described, nodes []string) {
	t.Helper()
	faces = map[string]described{}
	comment, face, name := "", "", ""
	var now xmlMember
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return faces, nodes
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, text)
		}
		switch e := token.(type) {
		case xml.Comment:
			comment = strings.Join(strings.Fields(string(e)), " ")
		case xml.StartElement:
			at := map[string]string{}
			for _, a := range e.Attr {
				at[a.Name.Local] = a.Value
			}
			switch e.Name.Local {
			case "node":
				if at["name"] != "" {
					nodes = append(nodes, at["name"])
				}
			case "interface":
				face, comment = at["name"], ""
				faces[face] = described{name: face, members: map[string]xmlMember{}}
			case "method", "signal", "property":
				name = at["name"]
				now = xmlMember{Kind: e.Name.Local, Out: at["type"], Access: at["access"], comment: comment}
				comment = ""
				if _, twice := faces[face].members[name]; twice {
					t.Errorf("%s has two %s", face, name)
				}
			case "arg":
				now.Args += at["name"] + " " + at["type"] + ","
				if now.Kind == "method" && at["direction"] != "out" {
					now.In += at["type"]
				} else {
					now.Out += at["type"]
				}
			case "annotation":
				if at["name"] != "org.freedesktop.DBus.Property.EmitsChangedSignal" {
					t.Errorf("%s.%s: unknown annotation %s", face, name, at["name"])
				}
				now.Emits = at["value"]
			}
		case xml.EndElement:
			if l := e.Name.Local; l == "method" || l == "signal" || l == "property" {
				faces[face].members[name] = now
			}
		}
	}
}

// source are our interfaces, from the files that are their source.
func source(t *testing.T) map[string]described {
	t.Helper()
	all := map[string]described{}
	for _, name := range []string{"io.github.tegra_ota.SlotManager", slotFace} {
		text, err := os.ReadFile(filepath.Join(suite.source, "dbusapi", name+".xml"))
		if err != nil {
			t.Fatal(err)
		}
		faces, _ := description(t, string(text))
		if len(faces) != 1 || len(faces[name].members) == 0 {
			t.Fatalf("%s.xml does not describe %s alone", name, name)
		}
		all[name] = faces[name]
	}
	return all
}

// of are the names of a kind's members, with their signatures.
func (d described) of(kind string) map[string]string {
	all := map[string]string{}
	for name, m := range d.members {
		if m.Kind == kind {
			all[name] = m.Out
		}
	}
	return all
}

var listed = regexp.MustCompile(`\b([a-z_]+) (as|[sbui])(?: \(([^)]*)\))?(?:[,;.]|$| and\b| \()`)

// keys are those of an a{sv} that a member's comment lists, with their types: "outcome s (none, applied), esrt u".
func (d described) keys(t *testing.T, name string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, m := range listed.FindAllStringSubmatch(d.members[name].comment, -1) {
		all[m[1]] = m[2]
	}
	if len(all) == 0 {
		t.Fatalf("%s: the comment lists no keys: %q", name, d.members[name].comment)
	}
	return all
}
