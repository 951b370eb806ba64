package check

import (
	"regexp"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// SWUpdate copies strings into buffers of fixed size, their NUL included, and cuts what is longer without a word (include/globals.h,
// include/swupdate.h, include/swupdate_image.h).
const (
	maxText        = 256 - 1 // SWUPDATE_GENERAL_STRING_SIZE
	maxDescription = 512 - 1 // SWUPDATE_UPDATE_DESCRIPTION_STRING_SIZE
	maxOffset      = 32 - 1  // MAX_SEEK_STRING_SIZE
)

// Placeholders of the programs that make descriptions: @@VAR@@ and $swupdate_get_sha256(FILE) are those of meta-swupdate and
// swugenerator, ${VAR} is BitBake's and the shell's, and @NAME@ what many scripts use. SWUpdate itself knows none.
var (
	doubleAt     = regexp.MustCompile(`@@[A-Za-z0-9_]+@@`)
	placeholders = regexp.MustCompile(`@@[A-Za-z0-9_]+@@|@[A-Z][A-Z0-9_]*@|\$swupdate_[a-z0-9_]+\(|\$\{[A-Za-z_][A-Za-z0-9_]*\}`)
)

// checkStrings looks for placeholders and for what SWUpdate cuts.
func (c *checker) checkStrings(it *item) {
	for _, s := range []struct{ name, value string }{
		{"filename", it.Filename}, {"type", it.Type}, {"name", it.Name}, {"version", it.Version}, {"device", it.Device},
		{"mtdname", it.MTDName}, {"volume", it.Volume}, {"filesystem", it.Filesystem}, {"path", it.Path}, {"data", it.Data},
		{"preinstall", it.PreInstall}, {"postinstall", it.PostInstall},
	} {
		c.checkLength(it.Position, s.name, s.value, maxText)
		c.checkPlaceholder(it.Position, s.name, s.value, placeholders)
	}
	c.checkLength(it.Position, "offset", it.Offset, maxOffset)
	for _, s := range []struct{ name, value string }{
		{"sha256", it.SHA256}, {"ivt", it.IVT}, {"aes-key", it.AESKey}, {"offset", it.Offset}, {"compressed", it.Compressed}, {"hook",
			it.Hook},
	} {
		c.checkPlaceholder(it.Position, s.name, s.value, placeholders)
	}
	c.checkFileDigest(it.Position, "sha256", it.SHA256)
	for _, p := range it.Properties {
		for _, value := range p.Values {
			c.checkPlaceholder(it.Position, "property "+p.Name, value, placeholders)
			if p.Name == "sha256" || p.Name == "size" {
				c.checkFileDigest(it.Position, "property "+p.Name, value)
			}
		}
	}
}

func (c *checker) checkLength(at syntax.Position, name, value string, longest int) {
	if len(value) > longest {
		c.add(at, problem.Errorf("too-long", "%s %.40q... has %d bytes, and SWUpdate cuts it to %d without a word", name, value,
			len(value), longest).
			Then("shorten it"))
	}
}

func (c *checker) checkPlaceholder(at syntax.Position, name, value string, kind *regexp.Regexp) {
	if found := kind.FindString(value); found != "" {
		c.add(at, problem.Errorf("placeholder", "%s still has the placeholder %.60s, which SWUpdate takes literally", name, found).
			Then("fill it in, or run the program that does"))
	}
}

// checkFileDigest finds "@FILE", for which meta-swupdate puts in the file's own SHA-256.
func (c *checker) checkFileDigest(at syntax.Position, name, value string) {
	if strings.HasPrefix(value, "@") && placeholders.FindString(value) == "" {
		c.add(at, problem.Errorf("placeholder", "%s still has the placeholder %.60s, which SWUpdate takes literally", name, value).
			Then("write the number itself, or run the program that puts it in"))
	}
}

// checkVariables looks at what is no entry: the nodes' own strings, bootenv and vars. U-Boot expands ${VAR} in a value, and Lua
// knows strings of any kind, so that there only the placeholder of meta-swupdate counts.
func (c *checker) checkVariables() { c.checkNode(&c.description.Software) }

func (c *checker) checkNode(n *description.Node) {
	at := n.Position
	c.checkLength(at, "description", n.Description, maxDescription)
	c.checkPlaceholder(at, "description", n.Description, doubleAt)
	c.checkPlaceholder(at, "embedded-script", n.EmbeddedScript, doubleAt)
	for _, s := range []struct{ name, value string }{
		{"version", n.Version}, {"update-type", n.UpdateType}, {"namespace-for-vars", n.NamespaceForVars}, {"output", n.Output},
	} {
		c.checkLength(at, s.name, s.value, maxText)
		c.checkPlaceholder(at, s.name, s.value, placeholders)
	}
	for _, revision := range n.HardwareCompatibility {
		c.checkLength(at, "hardware-compatibility", revision, maxText)
		c.checkPlaceholder(at, "hardware-compatibility", revision, placeholders)
	}
	lists := [][]description.Variable{n.BootEnv, n.Vars}
	for _, l := range n.Lists {
		lists = append(lists, l.Variables)
	}
	for _, list := range lists {
		for _, v := range list {
			c.checkLength(v.Position, "name", v.Name, maxText)
			c.checkLength(v.Position, "value", v.Value, maxText)
			c.checkPlaceholder(v.Position, "name", v.Name, placeholders)
			c.checkPlaceholder(v.Position, "value", v.Value, doubleAt)
		}
	}
	for i := range n.Children {
		c.checkNode(&n.Children[i].Node)
	}
}
