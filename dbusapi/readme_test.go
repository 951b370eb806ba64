package dbusapi_test

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/dbusapi"
)

// TestREADME: every member of the interfaces is in the README's section, and every name of an error.
func TestREADME(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "\n### On D-Bus\n")
	section, _, _ = strings.Cut(section, "\n### ")
	members := 0
	for _, file := range []string{"io.github.tegra_ota.SlotManager.xml", "io.github.tegra_ota.Slot.xml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var node struct {
			Interface struct {
				Members []struct {
					XMLName xml.Name
					Name    string `xml:"name,attr"`
				} `xml:",any"`
			} `xml:"interface"`
		}
		if err := xml.Unmarshal(text, &node); err != nil {
			t.Fatal(err)
		}
		for _, m := range node.Interface.Members {
			members++
			if !strings.Contains(section, "`"+m.Name+"`") {
				t.Errorf("the README lacks the %s %s", m.XMLName.Local, m.Name)
			}
		}
	}
	if members < 30 {
		t.Errorf("the XML files have %d members", members)
	}
	code, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\terr[A-Z]\w+ += "(\w+)"`).FindAllStringSubmatch(string(code), -1) {
		if !strings.Contains(section, "."+m[1]+"`") {
			t.Errorf("the README lacks the error %s", m[1])
		}
	}
}

// TestREADMECommands: what the README tells somebody to type works as it stands there, where the service is installed.
func TestREADMECommands(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "\n### On D-Bus\n")
	_, block, _ := strings.Cut(section, "```\n")
	block, _, _ = strings.Cut(block, "```")
	r := started(t)
	n := 0
	for _, line := range strings.Split(strings.TrimSpace(block), "\n") {
		words := strings.Fields(line)
		if words[0] != "busctl" {
			continue // monitor does not end, and has tests of its own
		}
		n++
		answer, failure := r.answer(r.bus.CommandAs(65534, 65534, words[0], append([]string{"--system"}, words[1:]...)...))
		if failure != "" || answer == "" {
			t.Errorf("%s: %s", line, failure)
		}
	}
	if n < 3 || !strings.Contains(block, "tegra-bootctl monitor") || !strings.Contains(block, dbusapi.BusName) {
		t.Errorf("%d commands in\n%s", n, block)
	}
}
