package description

import (
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// node reads "software" or a group below it.
func (r *reader) node(s *syntax.Setting) Node {
	n := Node{Position: s.Position}
	for i := range s.Value.Settings {
		if e := &s.Value.Settings[i]; !r.setting(&n, &s.Value, e) {
			n.Unknown = append(n.Unknown, *e)
		}
	}
	if n.Ref != "" {
		r.onlyNodeRef(&s.Value)
	}
	return n
}

// onlyNodeRef reports what SWUpdate does not read because the node is a link; groups and lists may be what other links lead to.
func (r *reader) onlyNodeRef(v *syntax.Value) {
	var beside syntax.Value
	for i := range v.Settings {
		s := &v.Settings[i]
		if s.Value.Kind != syntax.Group && r.links.roles[&s.Value] == 0 {
			beside.Settings = append(beside.Settings, *s)
		}
	}
	r.onlyRef(&beside)
}

// setting reads a setting of a node. False says that it does not fit the model; what is wrong with it is reported.
func (r *reader) setting(n *Node, v *syntax.Value, s *syntax.Setting) bool {
	if ref, ok := refOf(&s.Value); ok && isKnown(s.Name) {
		r.link(n, s, ref.Value.String)
		return true
	}
	for _, section := range artifactSections {
		if section.name == s.Name {
			return list(r, section.list(n), s, r.artifact)
		}
	}
	switch s.Name {
	case "bootenv":
		return list(r, &n.BootEnv, s, r.variable)
	case "uboot":
		if _, both := v.Get("bootenv"); both {
			r.add(s.Position, problem.Errorf("unknown-attribute", `"uboot" is the old name of "bootenv", and SWUpdate ignores it beside "bootenv"`))
			return false
		}
		n.UBoot = list(r, &n.BootEnv, s, r.variable)
		return n.UBoot
	case "vars":
		ok := list(r, &n.Vars, s, r.variable)
		r.linkedVars(n.Vars)
		return ok
	}
	if known, ok := take(r, nodeAttributes, n, s); known {
		return ok
	}
	if s.Value.Kind == syntax.Group {
		n.Children = append(n.Children, Child{Name: s.Name, Node: r.node(s)})
		return true
	}
	return r.target(n, s)
}

// link reads a setting that stands elsewhere.
func (r *reader) link(n *Node, s *syntax.Setting, ref string) {
	l := Link{Name: s.Name, Ref: ref, Position: s.Position}
	for _, e := range s.Value.Settings {
		if e.Name != "ref" {
			l.Unknown = append(l.Unknown, e)
		}
	}
	r.onlyRef(&s.Value)
	n.Links = append(n.Links, l)
}

// linkedVars reports links among variables of SWUpdate, which it follows as if they were the bootloader's (parser/parser.c,
// _parse_vars, 2023.12 to 2026.05).
func (r *reader) linkedVars(vars []Variable) {
	for _, v := range vars {
		if v.Ref != "" {
			r.add(v.Position, problem.Errorf("link", `a link in an entry of "vars" sets variables of the bootloader instead`).
				Then("write vars: { ref = %q; }", v.Ref))
		}
	}
}

// target reads a list of any name that only links lead to. What a link reads as a single attribute is kept, and no problem.
func (r *reader) target(n *Node, s *syntax.Setting) bool {
	l := List{Name: s.Name, Position: s.Position}
	ok := false
	switch r.links.roles[&s.Value] {
	case artifacts:
		ok = list(r, &l.Artifacts, s, r.artifact)
	case variables:
		ok = list(r, &l.Variables, s, r.variable)
	case other:
	default:
		r.unknown(s, nodeNames)
	}
	if ok {
		n.Lists = append(n.Lists, l)
	}
	return ok
}

func isKnown(name string) bool {
	for _, known := range nodeNames {
		if name == known && name != "ref" {
			return true
		}
	}
	return name == "uboot"
}

// wantList is what SWUpdate reads of a section. Since 2024.12 its JSON reader also takes an object for a list of one; older ones
// and libconfig do not (core/parsing_library.c, get_array_length).
const wantList = "a list of groups"

// list reads the groups of a list into where. False says that it is no list of groups.
func list[T any](r *reader, where *[]T, s *syntax.Setting, entry func(*syntax.Value) T) bool {
	if s.Value.Kind != syntax.List && s.Value.Kind != syntax.Array {
		r.wrongType(s, wantList, "write "+s.Name+": ( { ... } ); in JSON [ { ... } ]", nil)
		return false
	}
	for i, e := range s.Value.Elements {
		if e.Kind != syntax.Group {
			r.add(e.Position, problem.Errorf("attribute-type", "entry %d of %q is %s; SWUpdate reads only groups", i+1, s.Name, describe(e)))
			return false
		}
	}
	*where = make([]T, 0, len(s.Value.Elements))
	for i := range s.Value.Elements {
		*where = append(*where, entry(&s.Value.Elements[i]))
	}
	return true
}
