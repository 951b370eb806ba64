// Package cli is what all executables share: the flags every one has, logging, and the way from an error to an exit code.
//
// An executable is a Program, a table of verbs. Verbs get an Invocation and return an error; nothing below package main and
// this one sees os.Args, an environment variable or os.Exit.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/config"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Version is stamped at build time: -ldflags "-X github.com/tegra-ota/tegra-ota/internal/cli.Version=...".
var Version = "development"

// Env is a process as its caller made it.
type Env struct {
	Args   []string // without the program's name
	Getenv func(string) string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Elevated says that the process has more privilege than its caller; the environment is not trusted then.
	Elevated bool
}

// Verb is one call of a program.
type Verb struct {
	Name     string
	Synopsis string // arguments behind the name, as in "[--json] FILE"
	Summary  string // one sentence
	Help     string // the rest of the verb's help, like a man page
	Flags    func(*pflag.FlagSet)
	// Stdin says whether a call with these arguments behind the verb reads stdin; nil: never.
	Stdin func(files []string) bool
	// Undaunted is Program's for this verb alone.
	Undaunted bool
	Run       func(ctx context.Context, in *Invocation) error
}

// Program is one executable.
type Program struct {
	Name    string
	Summary string // first line of the help
	Help    string // the rest of it, like a man page
	Verbs   []Verb
	// Bare says that the program is none of the device's: it has no root, configuration or log, and no flags for them.
	Bare bool
	// Undaunted says that an unusable configuration is no reason not to run: the defaults stand in, and ConfigErr says why.
	// For boot-verify, which has to get a device out of a slot that brings a broken one.
	Undaunted bool
}

// Invocation is one call with everything parsed; a bare program's has no Machine, Config or Log.
type Invocation struct {
	Env
	Program string
	Verb    string
	Flags   *pflag.FlagSet
	Machine *device.Machine
	Config  config.Config
	Log     *logrus.Entry
	// ConfigErr is why Config is the default although there is a file; only an Undaunted program or verb sees one.
	ConfigErr error
}

// common are the flags of every executable.
type common struct {
	root, config, logFormat, logLevel string
	version, help                     bool
}

func (c *common) register(f *pflag.FlagSet, bare bool) {
	f.BoolVar(&c.version, "version", false, "print the version")
	f.BoolVarP(&c.help, "help", "h", false, "print this help")
	if bare {
		return
	}
	f.StringVar(&c.root, "root", "", "prefix every path of the device with `DIR` (also TEGRA_OTA_ROOT)")
	f.StringVar(&c.config, "config", "", "read `FILE` instead of "+config.DefaultPath)
	f.StringVar(&c.logFormat, "log-format", "text", "log to stderr in `FORMAT`: text, json or journal (systemd's priorities)")
	f.StringVar(&c.logLevel, "log-level", "info", "log from `LEVEL` on: debug, info, warning, error")
}

// Run executes one call and returns its exit code.
func Run(ctx context.Context, env Env, p Program) int {
	var c common
	err := guarded(ctx, env, p, &c)
	if err == nil {
		return int(fail.OK)
	}
	var answer *Answer
	if errors.As(err, &answer) {
		return int(answer.Code)
	}
	message := err.Error()
	if fail.CodeOf(err) == fail.Permission && fail.NextOf(err) == "" && !p.Bare {
		message += "; run as root"
	}
	c.report(env.Stderr, p.Name, oneLine(message))
	return int(fail.CodeOf(err))
}

// guarded turns a panic into an internal error: the caller gets one line and the exit code of a bug, and the log the stack.
func guarded(ctx context.Context, env Env, p Program, c *common) (err error) {
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(env.Stderr, "%s\n", debug.Stack())
			err = fail.New(fail.Internal, "internal error: %v", v).Then("please report it with the lines above")
		}
	}()
	return run(ctx, env, p, c)
}

// Answer is a result that is an exit code and no failure: `verdict` answering no, nvbootctrl's is-rootfs-ab-enabled answering 2.
type Answer struct{ Code fail.Code }

// Error makes Answer an error, so that a verb can return it.
func (a *Answer) Error() string { return "answered " + a.Code.String() }

func oneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ") }

func run(ctx context.Context, env Env, p Program, c *common) error {
	name, rest := p.split(env.Args)
	verb := p.find(name)
	if p.only() != nil {
		name, rest, verb = "", env.Args, p.only()
		if len(rest) == 1 && rest[0] == "help" {
			name = rest[0]
		}
	}
	flags := p.flags(verb, c)
	if err := flags.Parse(rest); err != nil {
		return fail.New(fail.Usage, "cannot understand the arguments: %s", flagProblem(err)).Then("%s --help lists them", p.Name)
	}
	switch {
	case c.version:
		_, err := fmt.Fprintf(env.Stdout, "%s %s\n", p.Name, Version)
		return err
	case c.help, name == "help":
		_, err := io.WriteString(env.Stdout, p.help(verb, flags))
		return err
	case verb == nil && name == "":
		_, _ = io.WriteString(env.Stderr, p.help(nil, flags))
		return fail.New(fail.Usage, "cannot run without a verb")
	case verb == nil:
		return fail.New(fail.Usage, "cannot run %q: there is no such verb", name).Then("%s --help lists them", p.Name)
	}
	in := &Invocation{Env: env, Program: p.Name, Verb: verb.Name, Flags: flags}
	if p.Bare {
		return verb.Run(ctx, in)
	}
	err := in.prepare(*c)
	if p.Undaunted || verb.Undaunted {
		err = in.undaunted(err)
	}
	if err != nil {
		return err
	}
	return verb.Run(ctx, in)
}

func (in *Invocation) prepare(c common) error {
	root := c.root
	if root == "" && !in.Elevated {
		root = in.Getenv("TEGRA_OTA_ROOT")
	}
	in.Machine = device.New(root)
	log, err := newLog(in.Stderr, c.logFormat, c.logLevel)
	if err != nil {
		return err
	}
	in.Log = log.WithField("executable", in.Program)
	if c.config != "" {
		in.Config, err = config.LoadFile(c.config)
		return err
	}
	in.Config, err = config.Load(in.Machine)
	return err
}

// undaunted replaces a configuration that cannot be used by the default.
func (in *Invocation) undaunted(err error) error {
	if err == nil || in.Log == nil {
		return err
	}
	in.Config, in.ConfigErr = config.Default(), err
	in.Log.WithError(err).Error("the configuration cannot be used, and the defaults stand in for it")
	return nil
}
