package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/cli"
)

func statusVerb() cli.Verb {
	return cli.Verb{
		Name: "status", Synopsis: "DIR [--json]",
		Summary: "show what the hardware holds: chains, scratch register, variables, ESRT, slot metadata",
		Flags:   jsonFlag, Run: status,
	}
}

func status(_ context.Context, in *cli.Invocation) error {
	dir, err := oneFolder(in)
	if err != nil {
		return err
	}
	o, err := virtual.Open(dir)
	if err != nil {
		return err
	}
	s, err := o.Status()
	if err != nil {
		return err
	}
	if in.Set("json") {
		return printJSON(in.Stdout, s)
	}
	_, err = fmt.Fprint(in.Stdout, statusText(s))
	return err
}

func statusText(s virtual.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, flashed with L4T %s, %s\n", s.Module, s.L4T, counted(s.Boots, "boot"))
	for _, slot := range []virtual.Slot{virtual.A, virtual.B} {
		c := s.Chains[slot]
		word := "whole"
		switch {
		case !c.Startable:
			word = "does not start"
		case !c.Whole:
			word = "of mixed versions"
		}
		active := ""
		if slot == s.Active {
			active = ", active"
		}
		fmt.Fprintf(&b, "chain %s: %s, %s%s\n", slot, c.VersionText, word, active)
		for _, p := range c.Problems {
			fmt.Fprintf(&b, "  %s\n", p)
		}
	}
	if m := s.SMD; m != nil {
		fmt.Fprintf(&b, "slot metadata: version %d, features %d, %s\n", m.Version, m.Features, counted(uint64(m.MaxSlots), "slot"))
		for _, slot := range []virtual.Slot{virtual.A, virtual.B} {
			r := m.Slots[slot]
			fmt.Fprintf(&b, "slot %s: priority %d, retries %d, successful %t\n", slot, r.Priority, r.Retry, r.Successful)
		}
		for _, label := range m.Torn {
			fmt.Fprintf(&b, "%s: torn\n", label)
		}
		return b.String()
	}
	r := s.Scratch
	fmt.Fprintf(&b, "scratch register: magic 0x%x, current %s, retries A %d B %d, failed A %d B %d\n",
		r.Magic, r.Current, r.Retry[0], r.Retry[1], r.Failed[0], r.Failed[1])
	fmt.Fprintf(&b, "ESRT: last attempt %s, status %d, lowest supported %s\n", s.ESRT.Version, s.ESRT.Status, s.Lowest)
	for _, c := range s.Capsules {
		fmt.Fprintf(&b, "capsule on the ESP: %s\n", c)
	}
	for _, v := range s.Variables {
		value := v.Value
		if value == "" {
			value = v.Hex
		}
		fmt.Fprintf(&b, "%s = %s\n", v.Name, value)
	}
	return b.String()
}
