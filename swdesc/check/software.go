package check

import (
	"regexp"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// checkSoftware looks for what every device needs before it looks at any entry.
func (c *checker) checkSoftware() {
	installs := false
	for _, v := range c.views {
		if !v.installs() {
			continue
		}
		installs = true
		at := v.levels[0].node.Position
		if _, ok := v.has(func(n *description.Node) bool { return n.Version != "" }, "version"); !ok {
			c.add(at, problem.Errorf("version", "%s has no version, and SWUpdate refuses the update", v.name()).
				Then(`write version = "1.0.0"; into software`))
		}
		revisions := func(n *description.Node) bool { return n.HardwareCompatibility != nil }
		if l, ok := v.has(revisions, "hardware-compatibility"); !ok {
			c.add(at, problem.Errorf("hardware-compatibility",
				"%s has no hardware-compatibility, and every SWUpdate that is built with HW_COMPATIBILITY refuses it, Debian's too",
				v.name()).
				Then(`write hardware-compatibility = [ "1.0" ]; with the second word of /etc/hwrevision`))
		} else {
			c.checkRevisions(l.node)
		}
	}
	if !installs {
		c.add(c.description.Software.Position, problem.Errorf("nothing-to-install",
			"no images, files, scripts or bootenv are where SWUpdate looks for them, and it refuses the update").
			Then("put them into software, software.SET.MODE, software.BOARD or software.BOARD.SET.MODE"))
	}
}

// installs says whether a view has anything that SWUpdate counts as an installation: partitions alone do count
// (parser/parser.c puts them among the images).
func (v *view) installs() bool {
	if len(v.items) > 0 {
		return true
	}
	_, ok := v.has(func(n *description.Node) bool { return len(n.BootEnv) > 0 }, "bootenv")
	if !ok {
		_, ok = v.has(func(*description.Node) bool { return false }, "uboot")
	}
	return ok
}

// rePrefix marks a revision that is a regular expression (core/util.c, hwid_match).
const rePrefix = "#RE:"

func (c *checker) checkRevisions(n *description.Node) {
	if n.HardwareCompatibility != nil && len(n.HardwareCompatibility) == 0 {
		c.add(n.Position, problem.Errorf("hardware-compatibility", "hardware-compatibility is empty, and no device takes the update").
			Then("write the second word of /etc/hwrevision into it"))
	}
	for _, revision := range n.HardwareCompatibility {
		expression, ok := strings.CutPrefix(revision, rePrefix)
		if !ok {
			continue
		}
		if _, err := regexp.CompilePOSIX(gnuExtension.ReplaceAllString(expression, ".")); err != nil {
			c.add(n.Position, problem.Errorf("hardware-compatibility", "%q is no POSIX extended regular expression: %v", revision, err).
				Then(`in a string of libconfig and of JSON a backslash is written \\`))
		} else if !anchored(expression) {
			c.add(n.Position, problem.Warnf("hardware-compatibility", "%q also takes revisions that only contain it: it is not anchored",
				revision).
				Then(`write "#RE:^(%s)$"`, strings.TrimSuffix(strings.TrimPrefix(expression, "^"), "$")))
		}
	}
}

// gnuExtension is what glibc's and musl's regcomp take beyond POSIX, each for something that may stand once.
var gnuExtension = regexp.MustCompile(`\\[wWsSbB<>]`)

// anchored says whether an expression starts with ^ and ends with $, both for all its alternatives.
func anchored(expression string) bool {
	if !strings.HasPrefix(expression, "^") || !strings.HasSuffix(expression, "$") || strings.HasSuffix(expression, `\$`) {
		return false
	}
	depth, class := 0, false
	for i := 0; i < len(expression); i++ {
		switch b := expression[i]; {
		case b == '\\' && !class:
			i++
		case b == '[':
			class = true
		case b == ']':
			class = false
		case class:
		case b == '(':
			depth++
		case b == ')':
			depth--
		case b == '|' && depth == 0:
			return false
		}
	}
	return true
}
