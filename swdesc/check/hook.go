package check

import (
	"regexp"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// script is an embedded-script: the names that occur in it, and the handlers that it registers.
type script struct {
	names     map[string]bool
	registers []string
}

var (
	luaName      = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
	registerCall = regexp.MustCompile(`register_handler\s*\(\s*["']([^"'\n]{1,255})["']`)
)

func newScript(text string) *script {
	s := &script{names: map[string]bool{}}
	for _, name := range luaName.FindAllString(text, -1) {
		s.names[name] = true
	}
	for _, call := range registerCall.FindAllStringSubmatch(text, -1) {
		s.registers = append(s.registers, call[1])
	}
	return s
}

const embeddedScript = "embedded-script"

// script returns the script that a view's devices run, and nil if they run none. False says that it was not found, though there
// is a link to one.
func (c *checker) script(v *view) (*script, bool) {
	l, ok := v.has(func(n *description.Node) bool { return n.EmbeddedScript != "" }, embeddedScript)
	if !ok {
		return nil, true
	}
	path := below(l.path, embeddedScript)
	for _, link := range l.node.Links {
		if link.Name == embeddedScript {
			path, _ = resolve(l.path, link.Ref)
		}
	}
	key := strings.Join(path, "\x00")
	s, known := c.scripts[key]
	if !known {
		if text, ok := c.tree.text(path); ok {
			s = newScript(text)
		}
		c.scripts[key] = s
	}
	return s, s != nil
}

// text returns the string at a path.
func (t *tree) text(path []string) (string, bool) {
	last := len(path) - 1
	if last < 0 {
		return "", false
	}
	settings := t.description.Unknown
	if path[0] == rootName {
		n := t.node(path[:last])
		if n == nil {
			return "", false
		}
		if path[last] == embeddedScript {
			return n.EmbeddedScript, n.EmbeddedScript != ""
		}
		path, settings = path[last:], n.Unknown
	}
	at := syntax.Value{Kind: syntax.Group, Settings: settings}
	for _, name := range path {
		var ok bool
		if at, ok = at.Get(name); !ok {
			return "", false
		}
	}
	return at.String, at.Kind == syntax.String
}

// registered returns the handlers that the embedded scripts register, whichever of them a device runs.
func (c *checker) registered() map[string]bool {
	if c.registers == nil {
		c.registers = map[string]bool{}
		for _, v := range c.views {
			s, _ := c.script(v)
			if s == nil {
				continue
			}
			for _, name := range s.registers {
				c.registers[name] = true
			}
		}
	}
	return c.registers
}

// checkHooks looks for the functions that entries name. SWUpdate does not look at a hook at all where there is no script
// (parser/parser.c, run_embscript), and fails on a function that is not there.
func (c *checker) checkHooks(v *view) {
	s, found := c.script(v)
	if !found {
		return
	}
	look := func(at syntax.Position, attribute, function string) {
		switch {
		case function == "" || placeholders.MatchString(function):
		case s == nil:
			c.add(at, problem.Errorf("hook", "%s names the function %q and there is no embedded-script, so SWUpdate goes on without it",
				attribute, function).Then("write the function into embedded-script"))
		case !s.names[function]:
			c.add(at, problem.Errorf("hook", "%s names the function %q, which does not occur in embedded-script", attribute, function).
				Then("write it, or correct the name"))
		}
	}
	for _, it := range v.items {
		look(it.Position, "hook", it.Hook)
		look(it.Position, "preinstall", it.PreInstall)
		look(it.Position, "postinstall", it.PostInstall)
		if it.PreInstall != "" || it.PostInstall != "" {
			c.add(it.Position, problem.Warnf("hook", "SWUpdate before 2026.05 ignores preinstall and postinstall").
				Then("use a script of type lua or shellscript"))
		}
	}
	for _, l := range v.levels {
		for _, e := range l.node.BootEnv {
			look(e.Position, "hook", e.Hook)
		}
	}
}
