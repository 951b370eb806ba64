package cli

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
)

// flags are those of one call: every executable's, and the verb's own where there is one.
func (p Program) flags(verb *Verb, c *common) *pflag.FlagSet {
	f := pflag.NewFlagSet(p.Name, pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	c.register(f, p.Bare)
	if verb != nil && verb.Flags != nil {
		verb.Flags(f)
	}
	return f
}

// badValue is how pflag words a value that strconv does not take.
var badValue = regexp.MustCompile(`^invalid argument (".*") for "(.*)" flag: strconv\.Parse(Int|Uint|Float|Bool): `)

// flagProblem says what is wrong with a flag without the words of Go's libraries.
func flagProblem(err error) string {
	m := badValue.FindStringSubmatch(err.Error())
	if m == nil {
		return err.Error()
	}
	want := "a whole number without a unit"
	if m[3] == "Bool" {
		want = "true or false"
	}
	return fmt.Sprintf("%s is no value of %s: want %s", m[1], m[2], want)
}

// split finds the verb: the first argument that is neither a flag nor a flag's value. Any verb's flag may stand before it, as
// in nvbootctrl's "-t rootfs dump-slots-info".
func (p Program) split(args []string) (verb string, rest []string) {
	takesValue := p.valued()
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			break
		}
		if strings.HasPrefix(a, "-") && a != "-" {
			if takesValue[a] {
				i++
			}
			continue
		}
		rest = append(append(rest, args[:i]...), args[i+1:]...)
		return a, rest
	}
	return "", args
}

// valued are the flags, as they are written, that take the next argument for their value.
func (p Program) valued() map[string]bool {
	names := map[string]bool{}
	collect := func(register func(*pflag.FlagSet)) {
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		register(f)
		f.VisitAll(func(flag *pflag.Flag) {
			if flag.NoOptDefVal != "" {
				return
			}
			names["--"+flag.Name] = true
			if flag.Shorthand != "" {
				names["-"+flag.Shorthand] = true
			}
		})
	}
	collect(func(f *pflag.FlagSet) { (&common{}).register(f, p.Bare) })
	for _, v := range p.Verbs {
		if v.Flags != nil {
			collect(v.Flags)
		}
	}
	return names
}

// only is the verb of a program that does one thing and has no word for it; nil for any other.
func (p Program) only() *Verb {
	if len(p.Verbs) == 1 && p.Verbs[0].Name == "" {
		return &p.Verbs[0]
	}
	return nil
}

// ReadsStdin says whether a call reads stdin: its verb may, and its arguments name no file. A call that is wrong or asks for
// help does not.
func (p Program) ReadsStdin(args []string) bool {
	name, rest := p.split(args)
	verb := p.find(name)
	if verb == nil || verb.Stdin == nil {
		return false
	}
	var c common
	flags := p.flags(verb, &c)
	return flags.Parse(rest) == nil && !c.help && !c.version && verb.Stdin(flags.Args())
}

func (p Program) find(name string) *Verb {
	for i := range p.Verbs {
		if p.Verbs[i].Name == name {
			return &p.Verbs[i]
		}
	}
	return nil
}
