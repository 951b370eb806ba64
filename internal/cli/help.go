package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// help prints one verb, or the whole program.
func (p Program) help(verb *Verb, flags *pflag.FlagSet) string {
	var b strings.Builder
	if verb != nil && verb == p.only() {
		fmt.Fprintf(&b, "%s: %s\n\nusage: %s\n\n%s\n\nflags:\n%s\n%s", p.Name, p.Summary,
			strings.TrimSpace(p.Name+" "+verb.Synopsis), strings.TrimSpace(p.Help), flags.FlagUsages(), ExitCodes)
		return b.String()
	}
	if verb != nil {
		fmt.Fprintf(&b, "%s %s: %s\n\nusage: %s\n\n", p.Name, verb.Name, verb.Summary,
			strings.TrimSpace(p.Name+" "+verb.Name+" "+verb.Synopsis))
		if verb.Help != "" {
			fmt.Fprintf(&b, "%s\n\nflags:\n", strings.TrimSpace(verb.Help))
		}
		fmt.Fprintf(&b, "%s\n%s", flags.FlagUsages(), ExitCodes)
		return b.String()
	}
	fmt.Fprintf(&b, "%s: %s\n\nusage:\n", p.Name, p.Summary)
	for _, v := range p.Verbs {
		fmt.Fprintf(&b, "  %s\n      %s\n", strings.TrimSpace(p.Name+" "+v.Name+" "+v.Synopsis), v.Summary)
	}
	if p.Help != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(p.Help))
	}
	common := p.flags(nil, &common{}).FlagUsages()
	fmt.Fprintf(&b, "\nflags of every verb (%s VERB --help shows the others):\n%s\n%s", p.Name, common, ExitCodes)
	return b.String()
}

// ExitCodes is the table of exit codes that every help ends with.
const ExitCodes = `exit codes:
   0  ok
   1  a question was answered with no
  64  usage: bad arguments, unknown slot name
  65  data: the file is malformed, of another size or digest, for another board, or below a version floor
  69  unavailable: the device's condition forbids it (ESP, redundancy, BootNext, dirty chain, ...)
  70  internal: a bug
  74  io: reading or writing failed
  75  busy: another process works, or the running slot is not committed yet
  77  permission: more privilege is needed
`
