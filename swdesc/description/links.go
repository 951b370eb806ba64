package description

import (
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// role is what SWUpdate reads at the end of a link.
type role int

const (
	other     role = iota + 1 // a node, or a single attribute
	artifacts                 // a list of artifacts
	variables                 // a list of variables
)

// linkMap knows where each "ref" of a description leads (core/parsing_library.c, set_find_path).
type linkMap struct {
	root   *syntax.Value
	parent map[*syntax.Value]*syntax.Value
	names  map[*syntax.Value]map[string]*syntax.Value
	sites  map[*syntax.Value][]syntax.Setting // the refs in a list's entries, or of a group
	order  []*syntax.Value                    // the keys of sites, as in the file
	roles  map[*syntax.Value]role             // what links lead to
}

// findLinks walks the tree. Its cost is linear: a group's names are indexed once, and each target is followed once.
func findLinks(root *syntax.Value) *linkMap {
	m := &linkMap{root: root, parent: map[*syntax.Value]*syntax.Value{}, names: map[*syntax.Value]map[string]*syntax.Value{},
		sites: map[*syntax.Value][]syntax.Setting{}, roles: map[*syntax.Value]role{}}
	m.walk(root)
	// First the links of settings whose name says what they hold, then those of groups and lists with any other name.
	for _, only := range []bool{true, false} {
		for _, site := range m.order {
			if r := m.named(site); r != other || !only {
				m.follow(site, r)
			}
		}
	}
	return m
}

func (m *linkMap) walk(group *syntax.Value) {
	index := make(map[string]*syntax.Value, len(group.Settings))
	m.names[group] = index
	for i := range group.Settings {
		s := &group.Settings[i]
		v := &s.Value
		index[s.Name], m.parent[v] = v, group
		switch v.Kind {
		case syntax.Group:
			m.site(v, v)
			m.walk(v)
		case syntax.List:
			for j := range v.Elements {
				m.site(v, &v.Elements[j])
			}
		}
	}
}

func (m *linkMap) site(at, group *syntax.Value) {
	ref, ok := refOf(group)
	if !ok {
		return
	}
	if m.sites[at] == nil {
		m.order = append(m.order, at)
	}
	m.sites[at] = append(m.sites[at], ref)
}

// refOf returns a group's "ref", and whether it has one.
func refOf(v *syntax.Value) (syntax.Setting, bool) {
	for _, s := range v.Settings {
		if s.Name == "ref" {
			return s, s.Value.Kind == syntax.String && s.Value.String != ""
		}
	}
	return syntax.Setting{}, false
}

// named returns the role that a setting's own name gives it.
func (m *linkMap) named(v *syntax.Value) role {
	names := m.names[m.parent[v]]
	for _, s := range artifactSections {
		if names[s.name] == v {
			return artifacts
		}
	}
	for _, name := range variableSections {
		if names[name] == v {
			return variables
		}
	}
	return other
}

// follow notes the role of everything that the links of a setting lead to, one after the other.
func (m *linkMap) follow(site *syntax.Value, r role) {
	todo := []*syntax.Value{site}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, ref := range m.sites[at] {
			target, _ := m.resolve(at, ref.Value.String)
			if target != nil && m.roles[target] == 0 {
				m.roles[target] = r
				todo = append(todo, target)
			}
		}
	}
}

// resolve returns what a link in a list's entry, or of a group, leads to: nil if nothing is there. SWUpdate starts at the parent
// of the list or group, or at the file's root if the link begins with a name. It joins names without looking whether they exist
// on the way, and refuses a link that does not begin with "#" or climbs out of the file. One that does not end with a name
// leads back to where it stands.
func (m *linkMap) resolve(at *syntax.Value, ref string) (target *syntax.Value, ok bool) {
	path, ok := strings.CutPrefix(ref, "#")
	if !ok || len(path) < 2 {
		return nil, false
	}
	cur, missing, first, last := m.parent[at], 0, true, ""
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, "/")
		if name == "" {
			continue
		}
		if last = name; name != "." && name != ".." && first {
			cur = m.root
		}
		first = false
		next := m.names[cur][name]
		switch {
		case name == ".":
		case name == ".." && missing > 0:
			missing--
		case name == "..":
			if cur = m.parent[cur]; cur == nil {
				return nil, false
			}
		case missing > 0 || next == nil:
			missing++
		default:
			cur = next
		}
	}
	if missing > 0 || last == "." || last == ".." {
		return nil, true
	}
	return cur, true
}

// endless returns the settings whose links never come to an end: those that are left when everything is taken away, again and
// again, whose links all lead to an end.
func (m *linkMap) endless() map[*syntax.Value]bool {
	left, open, from := map[*syntax.Value]bool{}, map[*syntax.Value]int{}, map[*syntax.Value][]*syntax.Value{}
	var ended []*syntax.Value
	for _, at := range m.order {
		left[at] = true
		for _, ref := range m.sites[at] {
			if target, _ := m.resolve(at, ref.Value.String); m.sites[target] != nil {
				open[at]++
				from[target] = append(from[target], at)
			}
		}
		if open[at] == 0 {
			ended = append(ended, at)
		}
	}
	for len(ended) > 0 {
		at := ended[len(ended)-1]
		ended = ended[:len(ended)-1]
		delete(left, at)
		for _, f := range from[at] {
			if open[f]--; open[f] == 0 {
				ended = append(ended, f)
			}
		}
	}
	return left
}

// checkLinks reports links that SWUpdate cannot follow. In a circle of lists it calls itself until it crashes.
func (r *reader) checkLinks() {
	endless := r.links.endless()
	for _, at := range r.links.order {
		for _, ref := range r.links.sites[at] {
			target, ok := r.links.resolve(at, ref.Value.String)
			switch {
			case !ok:
				r.add(ref.Position, problem.Errorf("link", "%q is no link that SWUpdate follows", ref.Value.String).
					Then("write #./NAME for a neighbour, #../NAME for one above, #software/NAME from the root"))
			case target == nil:
				r.add(ref.Position, problem.Errorf("link", "%q leads nowhere, and SWUpdate goes on without it", ref.Value.String))
			case endless[at] && endless[target]:
				r.add(ref.Position, problem.Errorf("link", "%q leads in a circle, in which SWUpdate finds nothing or crashes", ref.Value.String))
			}
		}
	}
}
