package cli_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// A program that does one thing has no word for it: flags, help and version are those of every program.
func TestProgramWithoutVerbs(t *testing.T) {
	ran := 0
	p := cli.Program{Name: "prog", Summary: "does it", Help: "More.", Verbs: []cli.Verb{{Run: func(_ context.Context, in *cli.Invocation) error {
		ran++
		if in.Machine.Root() != "/x" || len(in.Flags.Args()) > 0 {
			return fail.New(fail.Usage, "root %s, arguments %v", in.Machine.Root(), in.Flags.Args())
		}
		return nil
	}}}}
	run := func(args ...string) (code int, stdout, stderr string) {
		var out, log bytes.Buffer
		code = cli.Run(context.Background(), cli.Env{Args: args, Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &log}, p)
		return code, out.String(), log.String()
	}
	if code, out, log := run("--root", "/x"); code != 0 || out+log != "" || ran != 1 {
		t.Errorf("exit %d, ran %d times: %s%s", code, ran, out, log)
	}
	for _, word := range []string{"help", "--help", "-h"} {
		code, out, _ := run(word)
		if code != 0 || !strings.HasPrefix(out, "prog: does it\n\nusage: prog\n\nMore.\n") || !strings.HasSuffix(out, cli.ExitCodes) {
			t.Errorf("%s: exit %d:\n%s", word, code, out)
		}
	}
	if code, out, _ := run("--version"); code != 0 || out != "prog development\n" {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, log := run("--root", "/x", "more"); code != int(fail.Usage) || !strings.Contains(log, "more") {
		t.Errorf("an argument: exit %d: %s", code, log)
	}
	if code, _, _ := run("--rot"); code != int(fail.Usage) {
		t.Errorf("a wrong flag: exit %d", code)
	}
	if ran != 2 {
		t.Errorf("ran %d times", ran)
	}
}
