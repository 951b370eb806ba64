package main_test

import (
	"regexp"
	"strings"
	"testing"
)

var (
	verbLine  = regexp.MustCompile(`(?m)^  (tegra-\S+) ([A-Za-z-]+)(.*)$`)
	flagWord  = regexp.MustCompile(`--[a-z0-9-]+`)
	codeLine  = regexp.MustCompile(`(?m)^ +(0|1|6[459]|7[0457])  \S`)
	flagTable = regexp.MustCompile(`(?m)^ +(?:-\w, )? *(--[a-z0-9-]+)(.*)$`)
)

// ownFlags are the flags of a help's table that are not those of every executable.
func ownFlags(help string) []string {
	common := map[string]bool{"--root": true, "--config": true, "--log-format": true, "--log-level": true, "--version": true, "--help": true}
	var own []string
	for _, m := range flagTable.FindAllStringSubmatch(help, -1) {
		if !common[m[1]] {
			own = append(own, m[1])
		}
		delete(common, m[1])
	}
	for name := range common {
		own = append(own, "missing "+name)
	}
	return own
}

func TestHelpIsComplete(t *testing.T) {
	// A verb that is missing here is not tested by its help either.
	want := map[string][]string{
		"tegra-bup":         {"install", "confirm", "check", "inspect", "rauc-hook", "abort"},
		"tegra-image":       {"install", "confirm"},
		"tegra-boot-verify": {"count", "run"},
		"tegra-boot-handler": {
			"get-primary", "set-primary", "get-state", "set-state", "get-current", "pre-install", "post-install", "system-info",
		},
		"tegra-bootctl": {
			"status", "check", "activate", "commit", "rollback", "abort", "verdict", "rauc-config", "monitor",
			"get-number-slots", "get-current-slot", "set-active-boot-slot", "dump-slots-info", "verify", "mark-boot-successful", "set-slot-as-unbootable",
			"is-slot-bootable", "is-slot-marked-successful", "get-suffix", "is-rootfs-ab-enabled", "is-unified-enabled", "set-SR-BR",
		},
		"tegra-slotd": nil,
	}
	for program, verbs := range want {
		help := mustSucceed(t, nil, program, "--help")
		var found []string
		for _, m := range verbLine.FindAllStringSubmatch(help, -1) {
			found = append(found, m[2])
		}
		if strings.Join(found, " ") != strings.Join(verbs, " ") {
			t.Errorf("%s --help lists %v, want %v", program, found, verbs)
		}
		if n := len(codeLine.FindAllString(help, -1)); n != 9 {
			t.Errorf("%s --help lists %d exit codes, want 9:\n%s", program, n, help)
		}
		if own := ownFlags(help); len(own) > 0 {
			t.Errorf("%s --help: %v", program, own)
		}
		if mustSucceed(t, nil, program, "help") != help || mustSucceed(t, nil, program, "-h") != help {
			t.Errorf("%s: help, -h and --help differ", program)
		}
		for _, verb := range verbs {
			help := mustSucceed(t, nil, program, verb, "--help")
			usage := regexp.MustCompile(`(?m)^usage: .*$`).FindString(help)
			if len(codeLine.FindAllString(help, -1)) != 9 || !strings.HasPrefix(usage, "usage: "+program+" "+verb) {
				t.Errorf("%s %s --help lacks its usage or exit codes:\n%s", program, verb, help)
			}
			named := map[string]bool{}
			for _, f := range flagWord.FindAllString(usage, -1) {
				named[f] = true
			}
			for _, f := range ownFlags(help) {
				if !named[f] && f != "--target" { // -t is NVIDIA's word for it
					t.Errorf("%s %s: %s is not in the usage line %q", program, verb, f, usage)
				}
				delete(named, f)
			}
			if len(named) > 0 {
				t.Errorf("%s %s: the usage line has %v, which the table of flags lacks", program, verb, named)
			}
			if strings.Contains(help, " \n") {
				t.Errorf("%s %s --help has blanks at the end of a line", program, verb)
			}
		}
		if v := mustSucceed(t, nil, program, "--version"); v != program+" development\n" {
			t.Errorf("%s --version: %q", program, v)
		}
	}
	if v := mustSucceed(t, nil, "tegra-ota", "--version"); v != "tegra-ota development\n" {
		t.Errorf("%q", v)
	}
	for _, name := range []string{"tegra-bup", "tegra-image", "tegra-bootctl", "tegra-boot-verify", "tegra-boot-handler", "tegra-slotd"} {
		if !strings.Contains(mustSucceed(t, nil, "tegra-ota", "--help"), name) {
			t.Errorf("tegra-ota --help lacks %s", name)
		}
	}
}
