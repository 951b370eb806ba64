package release

import (
	"fmt"
	"path"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// texts are the rules for strings, by struct tag: each returns how the string must be, or "" where it is so. They are narrow on
// purpose: the values end up in shell and Lua, in libconfig, INI and JSON.
var texts = map[string]func(string) string{
	"text":        text,
	"description": description,
	"allowable":   allowable,
	"word":        word,
	"dotted":      matches(`^[0-9]{1,9}(\.[0-9]{1,9}){0,7}$`, "must be numbers with dots between them, such as 1.2.0"),
	"compatible": matches(`^[A-Za-z0-9][A-Za-z0-9 ._,+:~-]{0,63}$`,
		"must be at most 64 letters, digits, blanks or ._,+:~-, a letter or digit first"),
	"variable":   matches(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`, "must be a variable's name, such as VERSION_ID"),
	"unit":       matches(`^[A-Za-z0-9@._:][A-Za-z0-9@._:-]{0,254}$`, "must be a systemd unit's name, such as docker.service"),
	"revision":   revision,
	"node":       node,
	"devicepath": devicePath,
}

func matches(pattern, must string) func(string) string {
	re := regexp.MustCompile(pattern)
	return func(s string) string {
		if !re.MatchString(s) {
			return must
		}
		return ""
	}
}

// word is the rule for members' names, too: shorter and narrower than cpio.CheckName asks for.
var word = matches(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$`, "must be at most 64 letters, digits or ._+~-, a letter or digit first")

func text(s string) string {
	if !utf8.ValidString(s) || strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return "must be UTF-8 without control characters"
	}
	return ""
}

// maxDescription is the longest description in bytes. SWUpdate has a buffer of 512 with the NUL, and cuts what is longer
// (include/globals.h, SWUPDATE_UPDATE_DESCRIPTION_STRING_SIZE).
const maxDescription = 500

func description(s string) string {
	if len(s) > maxDescription {
		return fmt.Sprintf("must have at most %d bytes, it has %d", maxDescription, len(s))
	}
	return text(s)
}

func allowable(s string) string {
	if slices.Contains(Allowable, s) {
		return ""
	}
	return oneOf(s, Allowable)
}

// revision refuses an expression that is not anchored: SWUpdate searches for it anywhere in the device's revision (core/util.c,
// regexec), so that "1.0" would take 11.0 and 1.01 too. A literal is one word, because /etc/hwrevision is read as two words.
func revision(s string) string {
	expression, isRE := strings.CutPrefix(s, "#RE:")
	if !isRE {
		return literal(s)
	}
	if len(s) > 255 || strings.IndexFunc(s, notPrinted) >= 0 || strings.Contains(s, `"`) {
		return "must be at most 255 printable characters without quotes and blanks"
	}
	if _, err := regexp.CompilePOSIX(expression); err != nil {
		return "must be a POSIX extended regular expression behind #RE:"
	}
	re, err := syntax.Parse(expression, syntax.POSIX)
	if err != nil || re.Op != syntax.OpConcat || len(re.Sub) < 2 || !anchor(re.Sub[0], syntax.OpBeginLine, syntax.OpBeginText) ||
		!anchor(re.Sub[len(re.Sub)-1], syntax.OpEndLine, syntax.OpEndText) {
		return "must be anchored, #RE:^...$, with any alternatives in parentheses: SWUpdate takes a match anywhere in the revision"
	}
	return ""
}

var literal = matches(`^[A-Za-z0-9._+~:/-]{1,64}$`, "must be one word of at most 64 letters, digits or ._+~:/-, or #RE:^...$")

func notPrinted(r rune) bool { return r <= ' ' || r > '~' }

func anchor(re *syntax.Regexp, ops ...syntax.Op) bool { return re.Op == ops[0] || re.Op == ops[1] }

// reserved are settings of "software" that SWUpdate would take a board of that name for (parser/parser.c).
var reserved = []string{
	"version", "description", "hardware-compatibility", "images", "files", "scripts", "partitions", "bootenv", "uboot", "vars", "reboot",
	"embedded-script", "update-type", "namespace-for-vars", "output", "bootloader_transaction_marker", "bootloader_state_marker",
}

var nodeName = matches(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`, "must be a libconfig name: at most 64 letters, digits, _ or -, a letter first")

func node(s string) string {
	for _, name := range reserved {
		if strings.EqualFold(s, name) {
			return "must not be one of SWUpdate's own settings"
		}
	}
	return nodeName(s)
}

// maxPath is the longest path on the device in bytes: SWUpdate's rawfile has a buffer of 255 with the NUL, and fails with "Path too
// long" in the middle of an update (handlers/raw_handler.c, install_raw_file).
const maxPath = 254

// devicePath takes a path on the device that a shell between double quotes leaves alone.
func devicePath(s string) string {
	if !strings.HasPrefix(s, "/") || path.Clean(s) != s || len(s) > maxPath {
		return fmt.Sprintf("must be an absolute path of at most %d bytes, without // and .. and / at its end", maxPath)
	}
	if strings.ContainsAny(s, "\"'`$\\") {
		return "must not have quotes, $ and \\"
	}
	return text(s)
}
