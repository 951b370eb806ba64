package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printProblems prints one finding per line and its next step below it, as tegra-bootctl does.
func printProblems(w io.Writer, problems problem.List) error {
	for _, p := range problems {
		where := ""
		if p.Where != "" {
			where = p.Where + ": "
		}
		if _, err := fmt.Fprintf(w, "%s (%s): %s%s\n", p.Severity, p.Check, where, p.Reason); err != nil {
			return err
		}
		if p.NextStep != "" {
			if _, err := fmt.Fprintf(w, "  next step: %s\n", p.NextStep); err != nil {
				return err
			}
		}
	}
	return nil
}

// judge is the end of a verb that found problems: an error where one of them is.
func judge(verb, what string, problems problem.List) error {
	if n := problems.Errors(); n > 0 {
		return fail.New(fail.Data, "cannot %s %s: %s found", verb, what, counted(n, "error was", "errors were"))
	}
	return nil
}

func counted(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// orEmpty keeps null out of JSON where a list is empty.
func orEmpty(l problem.List) problem.List {
	if l == nil {
		return problem.List{}
	}
	return l
}

// printFirmware says which boards the firmware is for, and what it rules out later.
func printFirmware(w io.Writer, r *firmware.Report) error {
	if r == nil {
		return nil
	}
	for _, b := range r.Boards {
		verdict := "has all it needs"
		if !b.Resolves {
			verdict = fmt.Sprintf("lacks %s", counted(len(b.Missing), "image", "images"))
		}
		if _, err := fmt.Fprintf(w, "firmware for %s: %s\n", b.Name, verdict); err != nil {
			return err
		}
	}
	if r.Floor != "" {
		_, err := fmt.Fprintf(w, "firmware: %s\n", r.Floor)
		return err
	}
	return nil
}
