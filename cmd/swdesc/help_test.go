package main_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

var (
	flagWord  = regexp.MustCompile(`--?[a-z][a-z-]*`)
	flagTable = regexp.MustCompile(`(?m)^ +(?:(-\w), )? *(--[a-z-]+)`)
	codeLine  = regexp.MustCompile(`(?m)^ +(0|1|6[459]|7[0457])  \S`)
)

// Each verb's help has its usage, in which every flag stands, a text, the table of flags and the exit codes.
func TestHelpIsComplete(t *testing.T) {
	whole, _ := swdesc(t, 0, "--help")
	for _, verb := range []string{"pack", "check", "verify", "render", "import"} {
		if !strings.Contains(whole, "\n  swdesc "+verb+" ") {
			t.Errorf("swdesc --help lacks %s:\n%s", verb, whole)
		}
		help, _ := swdesc(t, 0, verb, "--help")
		usage := regexp.MustCompile(`(?m)^usage: .*$`).FindString(help)
		text := strings.Split(strings.Split(help, "\nflags:\n")[0], "\n\n")
		if !strings.HasPrefix(usage, "usage: swdesc "+verb+" ") || len(text) < 3 || len(text[2]) < 100 || len(codeLine.FindAllString(help, -1)) != 9 {
			t.Errorf("swdesc %s --help lacks usage, text or exit codes:\n%s", verb, help)
		}
		named := map[string]bool{}
		for _, f := range flagWord.FindAllString(usage, -1) {
			named[f] = true
		}
		for _, m := range flagTable.FindAllStringSubmatch(strings.Split(help, "\nflags:\n")[1], -1) {
			short, long := m[1], m[2]
			if !named[long] && !named[short] && long != "--help" && long != "--version" {
				t.Errorf("swdesc %s: %s is not in the usage line %q", verb, long, usage)
			}
			delete(named, long)
			delete(named, short)
		}
		if len(named) > 0 {
			t.Errorf("swdesc %s: the usage line has %v, which the table of flags lacks", verb, named)
		}
	}
}

// Long work shows bytes and percent on a terminal, and is silent in a pipe.
func TestProgressOnATerminal(t *testing.T) {
	dir := releaseFolder(t, "36.4.3", "")
	line := filepath.Join(suite.bin, "swdesc") + " pack " + filepath.Join(dir, "release.toml") + " -o " + filepath.Join(dir, "update.swu") +
		" --key " + suite.key + " --cert " + suite.cert
	code, out, _ := orintest.Run(t, exec.Command("script", "-qec", line, "/dev/null"))
	if code != 0 || !regexp.MustCompile(`\rreading: 100 %, 6\.\d MiB of 6\.\d MiB`).MatchString(out) || !strings.Contains(out, "\rpacking: ") {
		t.Errorf("exit %d, on a terminal: %q", code, out)
	}
	code, out, log := orintest.Run(t, exec.Command("sh", "-c", line))
	if code != 0 || strings.Contains(out, "\r") || log != "" {
		t.Errorf("exit %d, in a pipe: %q, %q", code, out, log)
	}
}
