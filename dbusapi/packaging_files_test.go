package dbusapi_test

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// method is a method of an interface: its name, and the signature of what goes in.
type method struct{ name, in string }

// interfaces returns the methods of each interface that the XML files describe.
func interfaces(t *testing.T) map[string][]method {
	t.Helper()
	files, err := filepath.Glob("*.xml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no XML files here: %v", err)
	}
	all := map[string][]method{}
	for _, file := range files {
		var node struct {
			Interface []struct {
				Name   string `xml:"name,attr"`
				Method []struct {
					Name string `xml:"name,attr"`
					Arg  []struct {
						Type      string `xml:"type,attr"`
						Direction string `xml:"direction,attr"`
					} `xml:"arg"`
				} `xml:"method"`
			} `xml:"interface"`
		}
		if err := xml.Unmarshal([]byte(textOf(t, file)), &node); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, i := range node.Interface {
			all[i.Name] = nil
			for _, m := range i.Method {
				in := ""
				for _, a := range m.Arg {
					if a.Direction != "out" { // a method's argument goes in unless it says otherwise (D-Bus specification)
						in += a.Type
					}
				}
				all[i.Name] = append(all[i.Name], method{m.Name, in})
			}
		}
	}
	return all
}

// policy is one of a bus configuration, for the default context, a user or a group.
type policy struct {
	Context string `xml:"context,attr"`
	User    string `xml:"user,attr"`
	Group   string `xml:"group,attr"`
	Allow   []rule `xml:"allow"`
	Deny    []rule `xml:"deny"`
}

// rule is what an element allow or deny is about.
type rule struct {
	Own             string `xml:"own,attr"`
	SendDestination string `xml:"send_destination,attr"`
	SendType        string `xml:"send_type,attr"`
	SendInterface   string `xml:"send_interface,attr"`
	SendMember      string `xml:"send_member,attr"`
}

func policies(t *testing.T, path string) []policy {
	t.Helper()
	var file struct {
		Policy []policy `xml:"policy"`
	}
	if err := xml.Unmarshal([]byte(textOf(t, path)), &file); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return file.Policy
}

func rules(t *testing.T, path string) []rule {
	t.Helper()
	var all []rule
	for _, p := range policies(t, path) {
		all = append(append(all, p.Allow...), p.Deny...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", path)
	}
	return all
}

// settings are the assignments of a file in systemd's or D-Bus's syntax; of several to the same name the last one.
func settings(t *testing.T, path string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, line := range strings.Split(textOf(t, path), "\n") {
		if k, v, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			values[k] = v
		}
	}
	return values
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func putText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// outputOf runs a program to its end and returns what it prints; a program that fails ends the test.
func outputOf(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(c.Args, " "), err, out)
	}
	return string(out)
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}
