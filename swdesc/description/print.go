package description

import (
	"io"

	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// PrintLibconfig writes the description as libconfig, which every SWUpdate reads. Reading it again gives the same model. The error
// is the writer's, or names what libconfig cannot express, for example a property whose name has a dot.
func (d *Description) PrintLibconfig(w io.Writer) error { return syntax.PrintLibconfig(w, d.Tree()) }

// PrintJSON writes the description as JSON; see PrintLibconfig. SWUpdate's JSON reader has 32 bits for numbers: a larger Offset is
// written as a string, which SWUpdate takes since 2023.12, and a larger Size is cut by every version.
func (d *Description) PrintJSON(w io.Writer) error { return syntax.PrintJSON(w, d.Tree()) }

// Tree is the description as a tree, without positions. Attributes stand in a fixed order, absent ones are left out. A setting in
// Unknown is left out where the model itself has one of that name.
func (d *Description) Tree() syntax.Value {
	var g group
	g.add(rootName, d.Software.tree())
	g.rest(d.Unknown)
	return g.value
}

// group is a group that grows; a name is never used twice.
type group struct {
	value syntax.Value
	names map[string]bool
}

func (g *group) add(name string, v syntax.Value) {
	if g.names == nil {
		g.value.Kind, g.names = syntax.Group, map[string]bool{}
	}
	if !g.names[name] {
		g.names[name] = true
		g.value.Settings = append(g.value.Settings, syntax.Setting{Name: name, Value: v})
	}
}

func (g *group) rest(unknown []syntax.Setting) {
	for _, s := range unknown {
		g.add(s.Name, s.Value)
	}
}

// done returns the group, which may be empty.
func (g *group) done() syntax.Value {
	g.value.Kind = syntax.Group
	return g.value
}

func put[T any](g *group, table []attribute[T], t *T) {
	for _, a := range table {
		if v, present := a.value(t); present {
			g.add(a.name, v)
		}
	}
}

func (n *Node) tree() syntax.Value {
	var g group
	put(&g, nodeAttributes, n)
	for _, l := range n.Links {
		var link group
		link.add("ref", str(l.Ref))
		link.rest(l.Unknown)
		g.add(l.Name, link.done())
	}
	for _, s := range artifactSections {
		addList(&g, s.name, *s.list(n), (*Artifact).tree)
	}
	bootenv := "bootenv"
	if n.UBoot {
		bootenv = "uboot"
	}
	addList(&g, bootenv, n.BootEnv, (*Variable).tree)
	addList(&g, "vars", n.Vars, (*Variable).tree)
	for _, l := range n.Lists {
		addList(&g, l.Name, l.Artifacts, (*Artifact).tree)
		addList(&g, l.Name, l.Variables, (*Variable).tree)
	}
	for i := range n.Children {
		g.add(n.Children[i].Name, n.Children[i].Node.tree())
	}
	g.rest(n.Unknown)
	return g.done()
}

// addList adds a list unless it is nil: an empty one hides those of the nodes above.
func addList[T any](g *group, name string, list []T, tree func(*T) syntax.Value) {
	if list == nil {
		return
	}
	v := syntax.Value{Kind: syntax.List}
	for i := range list {
		v.Elements = append(v.Elements, tree(&list[i]))
	}
	g.add(name, v)
}

func (a *Artifact) tree() syntax.Value {
	var g, properties group
	put(&g, artifactAttributes, a)
	for _, p := range a.Properties {
		switch {
		case p.List:
			properties.add(p.Name, array(p.Values))
		case len(p.Values) > 0:
			properties.add(p.Name, str(p.Values[0]))
		}
	}
	properties.rest(a.UnknownProperties)
	if len(properties.names) > 0 {
		g.add("properties", properties.done())
	}
	put(&g, artifactHook, a)
	g.rest(a.Unknown)
	return g.done()
}

func (v *Variable) tree() syntax.Value {
	var g group
	put(&g, variableAttributes, v)
	g.rest(v.Unknown)
	return g.done()
}
