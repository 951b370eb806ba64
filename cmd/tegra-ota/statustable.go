package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/tegra-ota/tegra-ota/backends"
)

// printStatus prints what a person reads first when something is wrong.
func printStatus(w io.Writer, st backends.Status) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 8, 3, ' ', 0)
	fmt.Fprintf(t, "board\t%s, %s\n", orUnknown(st.Board.Chip), orUnknown(st.Board.Spec))
	fmt.Fprintf(t, "backend\t%s (%s), journal in %s\n", st.Backend, st.Reason, orDash(st.Journal))
	fmt.Fprintf(t, "firmware by\t%s\n", method(st.Method))
	fmt.Fprintf(t, "redundancy\t%s\n", redundancy(st.Redundancy))
	if st.Lowest != nil {
		fmt.Fprintf(t, "firmware floor\t%s\n", st.Lowest)
	}
	if st.ESP != nil {
		fmt.Fprintf(t, "ESP\t%s\n", *st.ESP)
	}
	if st.Launcher != nil {
		fmt.Fprintf(t, "launcher\t%s (one for both slots, not updated by tegra-ota)\n", *st.Launcher)
	}
	_ = t.Flush()
	b.WriteByte('\n')

	t = tabwriter.NewWriter(&b, 0, 8, 3, ' ', 0)
	fmt.Fprintf(t, "slot\trole\tbootable\tretries\tfirmware\troot file system\n")
	for _, s := range backends.Slots {
		slot := st.Slots[s]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n",
			s, role(st, s), yesNo(slot.Bootable), number(slot.Retries), chainFirmware(slot), rootFiles(slot))
	}
	_ = t.Flush()

	fmt.Fprintf(&b, "\nupdate: %s", st.Update.State)
	if st.Update.Target != nil && st.Update.State != backends.Idle {
		fmt.Fprintf(&b, ", slot %s", *st.Update.Target)
	}
	if st.Update.Firmware != nil {
		fmt.Fprintf(&b, ", firmware %s", st.Update.Firmware)
	}
	if st.Update.Boots > 0 {
		fmt.Fprintf(&b, ", %s", counted(int(st.Update.Boots), "boot"))
	}
	if st.Update.Reason != "" {
		fmt.Fprintf(&b, ": %s", st.Update.Reason)
	}
	fmt.Fprintf(&b, "\nverdict: %s", st.Verdict.Outcome)
	if st.Verdict.Reason != "" {
		fmt.Fprintf(&b, ": %s", st.Verdict.Reason)
	}
	if st.Verdict.NextStep != "" {
		fmt.Fprintf(&b, "\n  next step: %s", st.Verdict.NextStep)
	}
	b.WriteByte('\n')
	if len(st.Problems) > 0 {
		b.WriteByte('\n')
		if err := printProblems(&b, st.Problems); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// printProblems prints findings, errors first.
func printProblems(w io.Writer, problems []backends.Problem) error {
	var b bytes.Buffer
	for _, severity := range []backends.Severity{backends.SeverityError, backends.SeverityWarning} {
		for _, p := range problems {
			if p.Severity != severity {
				continue
			}
			fmt.Fprintf(&b, "%s (%s): %s\n", p.Severity, p.Check, p.Reason)
			if p.NextStep != "" {
				fmt.Fprintf(&b, "  next step: %s\n", p.NextStep)
			}
		}
	}
	if len(problems) == 0 {
		b.WriteString("nothing is wrong: an update can begin\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

func role(st backends.Status, s backends.Slot) string {
	switch {
	case st.Current != nil && *st.Current == s && (st.Next == nil || *st.Next == s):
		return "runs"
	case st.Current != nil && *st.Current == s:
		return "runs, not next"
	case st.Next != nil && *st.Next == s:
		return "boots next"
	}
	return "-"
}

func chainFirmware(s *backends.SlotStatus) string {
	text := "unknown"
	if s.Firmware != nil {
		text = s.Firmware.String()
	}
	if s.FirmwareDirty && (s.Bootable == nil || !*s.Bootable) {
		text += " (may be half written)"
	}
	return text
}

func rootFiles(s *backends.SlotStatus) string {
	text := string(s.Rootfs)
	if s.Rootfs == backends.Torn {
		text = "may be half written"
	}
	if s.Mounted {
		text += ", mounted at /"
	}
	return text
}

func redundancy(level *uint32) string {
	switch {
	case level == nil:
		return "unknown: the firmware neither counts retries nor falls back"
	case *level == 0:
		return "0: the root file system is always slot A's"
	}
	return fmt.Sprintf("%d: the root file system follows the chain", *level)
}

func yesNo(v *bool) string {
	switch {
	case v == nil:
		return "unknown"
	case *v:
		return "yes"
	}
	return "no"
}

func number(n *int) string {
	if n == nil {
		return "unknown"
	}
	return strconv.Itoa(*n)
}

func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

func orUnknown(s *string) string {
	if s == nil {
		return "unknown"
	}
	return *s
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// method says how firmware gets into the flash.
func method(m backends.Method) string {
	switch m {
	case backends.ByEngine:
		return "nv_update_engine"
	case backends.ByMTD:
		return "the flash itself (mtd)"
	}
	return "UEFI capsule"
}
