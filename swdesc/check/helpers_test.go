package check_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/check"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// hash is a digest of nothing in particular.
const hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// signed is what Debian's SWUpdate wants.
var signed = check.Options{Signed: true}

// software is a description with the settings that every one needs.
func software(body string) string {
	return `software = { version = "1.0"; hardware-compatibility = [ "1.0" ]; ` + body + ` }`
}

// entry is an entry without problems of its own, with more attributes.
func entry(filename, attributes string) string {
	return fmt.Sprintf(`{ filename = %q; sha256 = %q; %s }`, filename, hash, attributes)
}

// The entries of tegra-ota, as the example has them.
func rootfs(attributes string) string {
	return entry("rootfs.img",
		`type = "tegra-image"; properties: { partition = "APP"; size = "4096"; sha256 = "`+hash+`"; update = "1"; }; `+attributes)
}

var (
	capsuleEntry  = entry("TEGRA_BL.Cap", `type = "tegra-bup"; properties: { update = "1"; };`)
	activateEntry = entry("activate", `type = "tegra-activate"; properties: { update = "1"; };`)
)

// brief is what a test compares of problems: "error check", each once and sorted.
func brief(list problem.List) []string {
	seen := map[string]bool{}
	out := []string{}
	for _, p := range list {
		s := string(p.Severity) + " " + p.Check
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	sort.Strings(out)
	return out
}

// lines is every problem in full, for messages.
func lines(list problem.List) string {
	var b strings.Builder
	for _, p := range list {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// rule is one case of a table: the problems of a description, and words that one of them says.
type rule struct {
	name string
	src  string
	want []string // as brief makes them; none if it is all right
	says string
	not  string // words that none says
	o    *check.Options
}

func (r rule) run(t *testing.T) {
	t.Helper()
	t.Run(r.name, func(t *testing.T) {
		t.Helper()
		o := signed
		if r.o != nil {
			o = *r.o
		}
		list, err := check.Description("sw-description", []byte(r.src), o)
		if err != nil {
			t.Fatal(err)
		}
		want := r.want
		if want == nil {
			want = []string{}
		}
		if diff := cmp.Diff(want, brief(list)); diff != "" {
			t.Errorf("problems (-want +got):\n%s\nin full:%s", diff, lines(list))
		}
		if !strings.Contains(lines(list), r.says) {
			t.Errorf("no problem says %q:%s", r.says, lines(list))
		}
		if r.not != "" && strings.Contains(lines(list), r.not) {
			t.Errorf("a problem says %q:%s", r.not, lines(list))
		}
		for _, p := range list {
			if p.Where == "" || strings.HasSuffix(p.Reason, ".") || p.Severity == problem.Error && p.NextStep == "" && !parsed[p.Check] {
				t.Errorf("not a whole problem: %+v", p)
			}
		}
	})
}

// parsed are the checks of package description, which do not always know better.
var parsed = map[string]bool{"unknown-attribute": true, "attribute-type": true, "property-type": true, "link": true}

func tool(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func exitCode(err error) int { return int(fail.CodeOf(err)) }
