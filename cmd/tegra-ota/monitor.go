package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/dbusapi"
	"github.com/tegra-ota/tegra-ota/internal/cli"
)

func monitorVerb() cli.Verb {
	return cli.Verb{
		Name: "monitor", Synopsis: "[--json]", Summary: "print what changes, as it comes",
		Help: `
First what is, then what changes, one line each: the properties and signals of tegra-slotd, under their names there. An update by
SWUpdate and one by RAUC look the same. The lines come from tegra-slotd if that runs; if not, monitor looks by itself, and sees
what its privilege allows. It ends with SIGINT or SIGTERM, exit 0. With --json every line is an object: time, slot (for a slot's
property), name, value.`,
		Flags: func(f *pflag.FlagSet) { f.Bool("json", false, "print JSON, one object for each line") },
		Run:   monitor,
	}
}

func monitor(ctx context.Context, in *cli.Invocation) error {
	if _, err := arguments(in, 0); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var broken error
	err := dbusapi.Monitor(ctx, in.Machine, bridge(ctx, in), func(changes []dbusapi.Change) {
		if broken = printChanges(in, changes, time.Now()); broken != nil {
			stop() // nobody reads any longer
		}
	}, in.Log)
	if err == nil {
		err = broken
	}
	return err
}

func printChanges(in *cli.Invocation, changes []dbusapi.Change, now time.Time) error {
	var b strings.Builder
	for _, c := range changes {
		stamp := now.UTC().Format("2006-01-02T15:04:05.000Z")
		if !wantsJSON(in) {
			name := c.Name
			if c.Slot != "" {
				name = "slot " + c.Slot + " " + name
			}
			b.WriteString(strings.TrimSpace(stamp+" "+name+" "+oneLine(show(c.Name, c.Value))) + "\n")
			continue
		}
		line := map[string]any{"time": stamp, "name": c.Name, "value": c.Value}
		if c.Slot != "" {
			line["slot"] = c.Slot
		}
		text, err := json.Marshal(line)
		if err != nil {
			return err
		}
		b.WriteString(string(text) + "\n")
	}
	_, err := io.WriteString(in.Stdout, b.String())
	return err
}

// show is a value in one line for people.
func show(name string, value any) string {
	switch v := value.(type) {
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case map[string]any:
		return pairs(v)
	case []any:
		switch {
		case name == "Progress" && len(v) == 3:
			return fmt.Sprintf("%v %% %v", v[0], v[1])
		case name == "UpdateFinished" && len(v) == 2:
			if v[0] == true {
				return "success " + show("", v[1])
			}
			return "failure " + show("", v[1])
		}
		var all []string
		for _, one := range v {
			all = append(all, show("", one))
		}
		return strings.Join(all, " ")
	}
	return fmt.Sprint(value)
}

// pairs are a structure's members by name, without the empty ones.
func pairs(all map[string]any) string {
	var list []string
	for name, v := range all {
		if text := show("", v); text != "" {
			list = append(list, name+"="+text)
		}
	}
	sort.Strings(list)
	return strings.Join(list, " ")
}

// oneLine keeps what others say from being more than text to a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ReplaceAll(s, "\n", "; "))
}
