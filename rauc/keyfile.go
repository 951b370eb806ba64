package rauc

import "strings"

// keyFile writes GLib's GKeyFile, RAUC's format of system.conf.
type keyFile struct{ b strings.Builder }

// commentWidth is where lines of comments end.
const commentWidth = 118

// group starts a section.
func (w *keyFile) group(name string) {
	w.b.WriteString("\n[" + name + "]\n")
}

// comment writes text as lines of comment. Whatever blanks it holds, no line of it is anything else.
func (w *keyFile) comment(text string) {
	line := "#"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > commentWidth && line != "#" {
			w.b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	if line != "#" {
		w.b.WriteString(line + "\n")
	}
}

// set writes a key. Of what g_key_file_get_string takes for an escape only the backslash is left in a value that unfit accepts;
// udev writes one into the name of a link for a label with a blank.
func (w *keyFile) set(key, value string) {
	w.b.WriteString(key + "=" + strings.ReplaceAll(value, `\`, `\\`) + "\n")
}
