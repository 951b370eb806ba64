package yocto_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const layer = "meta-tegra-ota"

// recipe is a file of BitBake's language, as far as this layer uses it.
type recipe struct {
	// values are the assignments in their order, each with its operator: "SRC_URI:append =" and a text without quotes.
	values []assignment
	// statements are the other lines, such as "inherit systemd", and functions without their bodies.
	statements []string
}

type assignment struct{ name, operator, value string }

var (
	assigns   = regexp.MustCompile(`^(?:export )?([A-Za-z0-9_.${}-]+(?::[a-z0-9${}A-Z_-]+)*(?:\[[a-zA-Z0-9_-]+\])?)\s*(\?\?=|\?=|:=|\+=|=\+|\.=|=\.|=)\s*(.*)$`)
	function  = regexp.MustCompile(`^(?:fakeroot )?(?:python )?[A-Za-z0-9_:${}-]*\s*\(\)\s*\{$`)
	pythonDef = regexp.MustCompile(`^def [a-z_]+\(.*\):$`)
	statement = regexp.MustCompile(`^(?:inherit|require|include|addtask|deltask|addhandler|addpylib|INHERIT|EXPORT_FUNCTIONS)\b`)
)

// parse reads text; its error names the line that is not of the language.
func parse(text string) (recipe, error) {
	var r recipe
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		first, line := i+1, lines[i]
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		switch {
		case function.MatchString(line):
			r.statements = append(r.statements, line)
			for i++; i < len(lines) && lines[i] != "}"; i++ {
			}
			if i == len(lines) {
				return r, fmt.Errorf("line %d: the function does not end", first)
			}
			continue
		case pythonDef.MatchString(line):
			r.statements = append(r.statements, line)
			for i+1 < len(lines) && (lines[i+1] == "" || strings.HasPrefix(lines[i+1], " ")) {
				i++
			}
			continue
		}
		for strings.HasSuffix(line, `\`) {
			if i+1 == len(lines) {
				return r, fmt.Errorf("line %d: nothing follows the last backslash", first)
			}
			i++
			line = strings.TrimSuffix(line, `\`) + " " + lines[i]
		}
		if statement.MatchString(line) && !assigns.MatchString(line) {
			r.statements = append(r.statements, line)
			continue
		}
		m := assigns.FindStringSubmatch(line)
		if m == nil {
			return r, fmt.Errorf("line %d: not of BitBake's language: %s", first, line)
		}
		value := strings.TrimSpace(m[3])
		if len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '"' && value[0] != '\'' {
			return r, fmt.Errorf("line %d: the value of %s is not between quotes: %s", first, m[1], value)
		}
		if inner := value[1 : len(value)-1]; value[0] == '"' && strings.Contains(strings.ReplaceAll(inner, `\"`, ""), `"`) {
			return r, fmt.Errorf("line %d: a quote inside of the value of %s", first, m[1])
		}
		r.values = append(r.values, assignment{m[1], m[2], value[1 : len(value)-1]})
	}
	return r, nil
}

// get returns the last value that is assigned to name, without anything that is appended.
func (r recipe) get(name string) string {
	found := ""
	for _, a := range r.values {
		if a.name == name {
			found = strings.Join(strings.Fields(a.value), " ")
		}
	}
	return found
}

// all returns every value of name, whatever the operator.
func (r recipe) all(name string) []string {
	var words []string
	for _, a := range r.values {
		if base, _, _ := strings.Cut(a.name, ":"); a.name == name || base == name {
			words = append(words, strings.Fields(a.value)...)
		}
	}
	return words
}

// layerFiles returns every file of the layer, relative to it, that has one of the endings.
func layerFiles(t *testing.T, endings ...string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(layer, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && (len(endings) == 0 || slices.Contains(endings, filepath.Ext(path))) {
			rel, _ := filepath.Rel(layer, path)
			found = append(found, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("no files in %s: %v", layer, err)
	}
	return found
}

// load reads one file of the layer.
func load(t *testing.T, name string) recipe {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(layer, name))
	if err != nil {
		t.Fatal(err)
	}
	r, err := parse(string(data))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

// TestRecipesParse reads every recipe, append, class and configuration of the layer.
func TestRecipesParse(t *testing.T) {
	files := layerFiles(t, ".bb", ".bbappend", ".bbclass", ".inc", ".conf")
	for _, name := range files {
		if strings.HasSuffix(name, "files/system.conf") {
			continue // RAUC's
		}
		load(t, name)
	}
	if len(files) < 20 {
		t.Errorf("%d files only", len(files))
	}
}

// What is not of the language is refused.
func TestReaderRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`A = "b`:                        "not between quotes",
		`A = b`:                         "not between quotes",
		`A = "b "c" d"`:                 "a quote inside",
		"A = \"b \\":                    "nothing follows",
		"do_install() {\n    true\n":    "does not end",
		"inhert systemd":                "not of BitBake's language",
		"A = \"b \\\n\nSUMMARY = \"c\"": "not between quotes",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	r, err := parse("A:append:class-target = \" b \\\n  c\"\n# a comment\npython do_x:prepend() {\n    A = b\n}\nA[d] ?= 'e'\ninherit f\n")
	if err != nil || fmt.Sprint(r.values) != "[{A:append:class-target =  b    c} {A[d] ?= e}]" || len(r.statements) != 2 {
		t.Errorf("%v %q %v", r.values, r.statements, err)
	}
}
