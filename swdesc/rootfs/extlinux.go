package rootfs

import "strings"

// maxLabels is how many labels are read. L4TLauncher takes 10 (MAX_EXTLINUX_OPTIONS).
const maxLabels = 64

// Entry is a label of extlinux.conf.
type Entry struct {
	Label string
	// Root is the value of root= in APPEND, without quotes; the last one, as for the kernel. "" if there is none.
	Root string
	// Line is that of the APPEND with Root, else that of the label; from 1.
	Line int
	// Default says that this label boots unless a person picks another.
	Default bool
	// Linux is the kernel's path, FDT the device tree's; "" if not given.
	Linux, FDT string
}

// parseExtlinux reads extlinux.conf as L4TLauncher does (edk2-nvidia, L4TLauncher.c, ProcessExtLinuxConfig, the same from R35 to
// R39): a # starts a comment wherever it stands, a setting is one line, the last of two wins, what stands before the first label
// does not count, and the first label is the default if DEFAULT names none.
//
// Two things are read though L4TLauncher does not, because U-Boot of R32 does: keywords in lower case, and KERNEL and DEVICETREE
// for LINUX and FDT. A check had better see too much.
func parseExtlinux(text []byte) ([]Entry, error) {
	var entries []Entry
	fallback, named := "", false
	number := 0
	for rest, line := string(text), ""; rest != ""; {
		number++
		line, rest, _ = strings.Cut(rest, "\n")
		keyword, value := setting(line)
		if keyword == "LABEL" {
			if len(entries) == maxLabels {
				return nil, malformed("%s:%d: more than %d labels", extlinuxFile, number, maxLabels)
			}
			entries = append(entries, Entry{Label: value, Line: number})
			continue
		}
		if keyword == "DEFAULT" {
			fallback, named = value, true
		}
		if len(entries) == 0 {
			continue
		}
		e := &entries[len(entries)-1]
		switch keyword {
		case "LINUX", "KERNEL":
			e.Linux = value
		case "FDT", "DEVICETREE":
			e.FDT = value
		case "APPEND":
			if e.Root = rootArgument(value); e.Root != "" {
				e.Line = number
			}
		}
	}
	for i := range entries {
		if named && entries[i].Label == fallback {
			entries[i].Default = true
			return entries, nil
		}
	}
	if len(entries) > 0 {
		entries[0].Default = true
	}
	return entries, nil
}

// blanks are what L4TLauncher trims, and the carriage return that edk2's FileHandleLib drops.
const blanks = " \t\r"

// setting splits a line into its keyword, in upper case, and the rest.
func setting(line string) (keyword, value string) {
	line, _, _ = strings.Cut(line, "#")
	line = strings.Trim(line, blanks)
	if i := strings.IndexAny(line, blanks); i >= 0 {
		line, value = line[:i], strings.Trim(line[i:], blanks)
	}
	return strings.ToUpper(line), value
}

// rootArgument finds root= in a kernel command line. A blank between double quotes does not end an argument (Linux,
// lib/cmdline.c, next_arg).
func rootArgument(line string) (value string) {
	quoted := false
	for _, arg := range strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && strings.ContainsRune(blanks, r)
	}) {
		if v, ok := strings.CutPrefix(strings.ReplaceAll(arg, `"`, ""), "root="); ok {
			value = v
		}
	}
	return value
}
