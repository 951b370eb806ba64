package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// result is what one call left behind.
type result struct {
	code           int
	stdout, stderr string
	in             *cli.Invocation // nil when no verb ran
}

func call(t *testing.T, env map[string]string, elevated bool, verbErr error, args ...string) result {
	t.Helper()
	var r result
	var stdout, stderr bytes.Buffer
	p := cli.Program{Name: "prog", Summary: "does it", Help: "More.", Verbs: []cli.Verb{
		{
			Name: "do", Synopsis: "[--id ID] [-t VIEW] [FILE|-]", Summary: "do it",
			Flags: func(f *pflag.FlagSet) {
				f.String("id", "", "an `ID`")
				f.StringP("target", "t", "x", "a `VIEW`")
				f.Bool("json", false, "print JSON")
				f.IntP("number", "n", 0, "a `NUMBER`")
			},
			Stdin: func(files []string) bool { return len(files) == 0 || files[0] == "-" },
			Run: func(_ context.Context, in *cli.Invocation) error {
				r.in = in
				if verbErr != nil && verbErr.Error() == "panic" {
					panic("at the disco")
				}
				return verbErr
			},
		},
		{Name: "plain", Summary: "no flags", Run: func(_ context.Context, in *cli.Invocation) error { r.in = in; return nil }},
	}}
	e := cli.Env{Args: args, Getenv: func(k string) string { return env[k] }, Stdout: &stdout, Stderr: &stderr, Elevated: elevated}
	r.code = cli.Run(context.Background(), e, p)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

func TestRootComesFromFlagOrEnvironment(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	env := map[string]string{"TEGRA_OTA_ROOT": a}
	for _, tt := range []struct {
		name     string
		env      map[string]string
		elevated bool
		args     []string
		want     string
	}{
		{"neither", nil, false, nil, "/"},
		{"the environment", env, false, nil, a},
		{"the flag wins", env, false, []string{"--root", b}, b},
		// With more privilege than its caller the process believes the environment nothing.
		{"elevated", env, true, nil, "/"},
		{"elevated, the flag", env, true, []string{"--root", b}, b},
	} {
		r := call(t, tt.env, tt.elevated, nil, append(tt.args, "do")...)
		if r.code != 0 || r.in == nil || r.in.Machine.Root() != tt.want {
			t.Errorf("%s: exit %d %s: %+v, want root %s", tt.name, r.code, r.stderr, r.in, tt.want)
		}
	}
}

func TestVerbIsFoundBehindFlags(t *testing.T) {
	for _, tt := range []struct {
		args  string
		verb  string
		files string
		id    string
	}{
		{"do", "do", "", ""},
		{"do file", "do", "file", ""},
		{"do -", "do", "-", ""},
		{"--id x do file", "do", "file", "x"},
		{"--id=x do file", "do", "file", "x"},
		{"-t rootfs do", "do", "", ""},
		{"-trootfs do", "do", "", ""},
		{"--target rootfs do --id do", "do", "", "do"},
		{"--json do file --id x", "do", "file", "x"},
		{"--log-level debug do", "do", "", ""},
		{"do -- --id", "do", "--id", ""},
		{"plain do", "plain", "do", ""},
	} {
		r := call(t, nil, false, nil, strings.Fields(tt.args)...)
		if r.code != 0 || r.in == nil || r.in.Verb != tt.verb || strings.Join(r.in.Flags.Args(), " ") != tt.files {
			t.Errorf("%q: exit %d: %s", tt.args, r.code, r.stderr)
			continue
		}
		if id, _ := r.in.Flags.GetString("id"); id != tt.id {
			t.Errorf("%q: id %q, want %q", tt.args, id, tt.id)
		}
	}
}

func TestErrorsBecomeExitCodes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		code   int
		stderr string
	}{
		{"none", nil, 0, ""},
		{"coded", fail.New(fail.Busy, "cannot x").Then("wait"), 75, "prog: cannot x; wait\n"},
		{"wrapped", fmt.Errorf("cannot y: %w", fail.New(fail.Data, "z")), 65, "prog: cannot y: z\n"},
		{"an answer says nothing", &cli.Answer{Code: 2}, 2, ""},
		{"a wrapped answer", fmt.Errorf("x: %w", &cli.Answer{Code: fail.No}), 1, ""},
		{"unclassified is a bug", errors.New("oops"), 70, "prog: oops\n"},
		{"privilege is the cure", fmt.Errorf("cannot lock: %w", fs.ErrPermission), 77, "prog: cannot lock: permission denied; run as root\n"},
		{"or what the error says", fail.New(fail.Permission, "cannot x").Then("ask"), 77, "prog: cannot x; ask\n"},
		{"more lines become one", fail.New(fail.IO, "a\nb\n"), 74, "prog: a; b\n"},
	} {
		r := call(t, nil, false, tt.err, "do")
		if r.code != tt.code || r.stderr != tt.stderr || r.stdout != "" {
			t.Errorf("%s: exit %d, stderr %q; want %d, %q", tt.name, r.code, r.stderr, tt.code, tt.stderr)
		}
	}
	r := call(t, nil, false, errors.New("panic"), "do")
	if r.code != 70 || !strings.HasSuffix(r.stderr, "prog: internal error: at the disco; please report it with the lines above\n") {
		t.Errorf("a panic: exit %d, %q", r.code, r.stderr)
	}
}

func TestErrorsKeepTheLogsShape(t *testing.T) {
	err := fail.New(fail.IO, "cannot x")
	for format, want := range map[string]string{
		"text":    "prog: cannot x\n",
		"journal": "<3>prog: cannot x\n",
		"json":    `"level":"error","msg":"cannot x"`,
	} {
		for _, level := range []string{"debug", "error"} {
			r := call(t, nil, false, err, "do", "--log-format", format, "--log-level", level)
			if r.code != 74 || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("%s, %s: exit %d, %q", format, level, r.code, r.stderr)
			}
		}
	}
}

func TestLogLines(t *testing.T) {
	for format, want := range map[string]string{
		"text":    "prog: warning: careful\nprog: done bytes=5 sha256=ab\n",
		"journal": "<4>prog: careful\n<6>prog: done bytes=5 sha256=ab\n",
	} {
		r := call(t, nil, false, nil, "do", "--log-format", format)
		var b bytes.Buffer
		r.in.Log.Logger.SetOutput(&b)
		r.in.Log.Debug("not shown")
		r.in.Log.Warn("careful")
		r.in.Log.WithField("sha256", "ab").WithField("bytes", 5).Info("done")
		if b.String() != want {
			t.Errorf("%s: %q, want %q", format, b.String(), want)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range []string{"", "other", "do --other", "do --id", "do --log-level loud", "do --log-format xml", "do --config /absent.toml", "--root"} {
		r := call(t, map[string]string{"TEGRA_OTA_ROOT": t.TempDir()}, false, nil, strings.Fields(args)...)
		if r.code != 64 || r.in != nil || !strings.Contains(r.stderr, "prog: cannot ") {
			t.Errorf("%q: exit %d, %q", args, r.code, r.stderr)
		}
	}
	// Asking is never wrong, whatever else stands there.
	for _, args := range []string{"--help", "-h", "help", "do --help", "do --id x -h", "--version", "do --version"} {
		if r := call(t, nil, false, nil, strings.Fields(args)...); r.code != 0 || r.in != nil || r.stdout == "" || r.stderr != "" {
			t.Errorf("%q: exit %d, %q", args, r.code, r.stderr)
		}
	}
}

// A value that Go's library does not take is called wrong in plain words.
func TestFlagValues(t *testing.T) {
	for args, want := range map[string]string{
		"do --number 3M":                   `"3M" is no value of -n, --number: want a whole number without a unit`,
		"do -n 99999999999999999999":       `is no value of -n, --number: want a whole number`,
		"do --json=maybe":                  `"maybe" is no value of --json: want true or false`,
		"do --number 3M --log-format json": `"3M" is no value`,
	} {
		r := call(t, nil, false, nil, strings.Fields(args)...)
		if r.code != 64 || !strings.Contains(r.stderr, want) || strings.Contains(r.stderr, "strconv") {
			t.Errorf("%s: exit %d, %q, want %q", args, r.code, r.stderr, want)
		}
	}
}

// A program that is none of the device's takes no device's flags and looks for no configuration.
func TestBareProgram(t *testing.T) {
	p := cli.Program{Name: "bare", Bare: true, Verbs: []cli.Verb{{Name: "do", Run: func(_ context.Context, in *cli.Invocation) error {
		if in.Machine != nil || in.Log != nil {
			t.Errorf("a bare program was given a device: %+v", in)
		}
		return nil
	}}}}
	for args, want := range map[string]int{"do": 0, "do --help": 0, "--version": 0, "do --root x": 64, "do --config x": 64, "do --log-level info": 64} {
		var stdout, stderr bytes.Buffer
		env := cli.Env{Args: strings.Fields(args), Getenv: func(string) string { return "/nonexistent" }, Stdout: &stdout, Stderr: &stderr}
		if got := cli.Run(context.Background(), env, p); got != want || strings.Contains(stdout.String(), "--root") {
			t.Errorf("%s: exit %d, want %d\n%s%s", args, got, want, stdout.String(), stderr.String())
		}
	}
}

func TestReadsStdin(t *testing.T) {
	p := cli.Program{Name: "prog", Verbs: []cli.Verb{
		{
			Name: "install", Flags: func(f *pflag.FlagSet) { f.String("id", "", "") }, Run: func(context.Context, *cli.Invocation) error { return nil },
			Stdin: func(files []string) bool { return len(files) == 0 || len(files) == 1 && files[0] == "-" },
		},
		{Name: "check"},
	}}
	for args, want := range map[string]bool{
		"install": true, "install -": true, "install --id x": true, "--id x install": true, "install --id x -": true, "install --root /x": true,
		"install file": false, "install --id x file": false, "install --help": false, "install --version": false, "install --wrong": false,
		"check": false, "check -": false, "": false, "wrong": false, "help install": false,
	} {
		if got := p.ReadsStdin(strings.Fields(args)); got != want {
			t.Errorf("%q: %t, want %t", args, got, want)
		}
	}
}

func TestProcessIsNotElevated(t *testing.T) {
	if e := cli.Process(nil); e.Elevated || e.Stdin == nil {
		t.Errorf("a test has its caller's privilege: %+v", e)
	}
}
