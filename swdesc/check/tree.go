package check

import (
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// maxLinks is how many links SWUpdate follows one after the other before it gives up (core/parsing_library.c, MAX_LINKS_DEPTH).
const maxLinks = 10

// rootName is the node that everything is below.
const rootName = "software"

// The lists of artifacts.
const (
	images     = "images"
	files      = "files"
	scripts    = "scripts"
	partitions = "partitions"
)

// tree finds nodes and lists by their path of names, as SWUpdate's links do.
type tree struct {
	description *description.Description
	children    map[*description.Node]map[string]*description.Node
	outside     map[string][]description.Artifact // lists beside "software" that were read as a section
	problems    problem.List                      // what was found in those
}

func newTree(d *description.Description) *tree {
	return &tree{description: d, children: map[*description.Node]map[string]*description.Node{},
		outside: map[string][]description.Artifact{}}
}

// node returns the node of a path, nil if there is none; it does not follow a link there.
func (t *tree) node(path []string) *description.Node {
	if len(path) == 0 || path[0] != rootName {
		return nil
	}
	n := &t.description.Software
	for _, name := range path[1:] {
		index, ok := t.children[n]
		if !ok {
			index = make(map[string]*description.Node, len(n.Children))
			for i := range n.Children {
				index[n.Children[i].Name] = &n.Children[i].Node
			}
			t.children[n] = index
		}
		if n = index[name]; n == nil {
			return nil
		}
	}
	return n
}

// follow returns the node of a path, or the one that it links to, and that one's path: nil where a link leads nowhere. It says
// whether it gave up, as SWUpdate does, because links lead in a circle.
func (t *tree) follow(path []string) (n *description.Node, at []string, circle bool) {
	for i := 1; i < maxLinks; i++ {
		n = t.node(path)
		if n == nil || n.Ref == "" {
			return n, path, false
		}
		var ok bool
		if path, ok = resolve(path[:len(path)-1], n.Ref); !ok {
			return nil, path, false
		}
	}
	return nil, path, true
}

// list returns the list of artifacts at a path, read as one of a section, and whether there is one.
func (t *tree) list(path []string, section string) ([]description.Artifact, bool) {
	last := len(path) - 1
	if last < 0 {
		return nil, false
	}
	name := path[last]
	if path[0] != rootName {
		return t.outsideList(path, section)
	}
	n := t.node(path[:last])
	if n == nil {
		return nil, false
	}
	if own, ok := sectionOf(n, name); ok {
		return own, own != nil
	}
	for i := range n.Lists {
		if n.Lists[i].Name == name {
			return n.Lists[i].Artifacts, true
		}
	}
	return nil, false
}

// outsideList reads a list that stands beside "software": the model keeps it as it was found.
func (t *tree) outsideList(path []string, section string) ([]description.Artifact, bool) {
	key := section + "\x00" + strings.Join(path, "\x00")
	if list, ok := t.outside[key]; ok {
		return list, list != nil
	}
	at := syntax.Value{Kind: syntax.Group, Settings: t.description.Unknown}
	ok := true
	for _, name := range path {
		if at, ok = at.Get(name); !ok {
			break
		}
	}
	var list []description.Artifact
	if ok {
		root := syntax.Value{Kind: syntax.Group, Settings: []syntax.Setting{{Name: section, Value: at}}}
		root = syntax.Value{Kind: syntax.Group, Settings: []syntax.Setting{{Name: rootName, Value: root}}}
		if d, found, err := description.Read(root); err == nil {
			list, _ = sectionOf(&d.Software, section)
			t.keep(found)
		}
	}
	t.outside[key] = list
	return list, list != nil
}

// keep takes the problems of a list that Parse did not read as one, but those of links, which lead elsewhere from there.
func (t *tree) keep(found problem.List) {
	for _, p := range found {
		if p.Check != "link" && p.Where != "" {
			t.problems = append(t.problems, p)
		}
	}
}

// sectionOf returns a node's list of a section; false says that this is not the name of one.
func sectionOf(n *description.Node, section string) ([]description.Artifact, bool) {
	switch section {
	case images:
		return n.Images, true
	case files:
		return n.Files, true
	case scripts:
		return n.Scripts, true
	case partitions:
		return n.Partitions, true
	}
	return nil, false
}

// resolve returns the path that a link leads to, which stands in the node of path base: the rules of set_find_path
// (core/parsing_library.c). False says that SWUpdate refuses it.
func resolve(base []string, ref string) ([]string, bool) {
	rest, ok := strings.CutPrefix(ref, "#")
	if !ok || len(rest) < 2 {
		return nil, false
	}
	path, first := append([]string(nil), base...), true
	for _, name := range strings.Split(rest, "/") {
		switch name {
		case "":
			continue
		case ".":
		case "..":
			if len(path) == 0 {
				return nil, false
			}
			path = path[:len(path)-1]
		default:
			if first {
				path = nil
			}
			path = append(path, name)
		}
		first = false
	}
	return path, true
}
