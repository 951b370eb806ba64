package check

import (
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// view is what one kind of device reads: SWUpdate looks for each setting in software.BOARD.SET.MODE, software.SET.MODE,
// software.BOARD and software, and takes the first it finds (parser/parser.c, find_node_and_path).
type view struct {
	path     []string // of the node that makes this view
	selected bool     // a device reads it only if it is told to, by -e SET,MODE
	levels   []level  // in the order in which SWUpdate looks
	// items are those of all sections, partitions first as SWUpdate installs them.
	items []*item
}

// level is a node that a view reads.
type level struct {
	node *description.Node
	path []string // where it stands, behind its links
}

// item is an entry as a section reads it.
type item struct {
	*description.Artifact
	section string
}

// sectionNames are in the order of item lists.
var sectionNames = []string{partitions, images, files, scripts}

func (v *view) name() string { return strings.Join(v.path, ".") }

// has says whether any node of the view has a setting, and returns the first.
func (v *view) has(own func(*description.Node) bool, name string) (level, bool) {
	for _, l := range v.levels {
		if own(l.node) || links(l.node, name) {
			return l, true
		}
	}
	return level{}, false
}

// maxItems bounds how many entries all views together have: lists that many selections link to would otherwise multiply.
const maxItems = 1 << 20

// findViews makes the views of all devices there may be. A node below the root that has settings of its own may be a board, and one
// below that a mode; a device of any board may select any mode.
func (c *checker) findViews() {
	f := &finder{checker: c, once: map[itemKey]*item{}, left: maxItems}
	root := []string{rootName}
	for _, one := range c.description.Software.Children {
		if path := below(root, one.Name); isBoard(f.node(path)) {
			f.boards = append(f.boards, path)
		}
	}
	// Where only boards have hardware-compatibility, no other device is meant.
	f.anyBoard = len(f.boards) == 0 || hasRevisions(f.node(root))
	if f.anyBoard {
		f.add(root, false, root)
	}
	for _, board := range f.boards {
		f.add(board, false, board, root)
	}
	for _, one := range c.description.Software.Children {
		set := below(root, one.Name)
		for _, two := range one.Node.Children {
			mode := below(set, two.Name)
			f.addMode(mode, set)
			for _, three := range two.Node.Children {
				if full := below(mode, three.Name); hasSection(f.node(full)) {
					f.add(full, true, full, []string{rootName, two.Name, three.Name}, set, root)
				}
			}
		}
	}
	if f.left < 0 {
		c.add(c.description.Software.Position,
			problem.Warnf("unchecked", "boards and selections have too many entries, the rest is not checked"))
	}
}

// addMode makes the views of software.SET.MODE.
func (f *finder) addMode(mode, set []string) {
	n, root := f.node(mode), []string{rootName}
	if !hasSection(n) {
		return
	}
	before := len(f.views)
	for _, board := range f.boards {
		if board[1] != set[1] {
			f.add(mode, true, mode, board, root)
		}
	}
	if f.anyBoard || hasRevisions(n) || len(f.views) == before {
		f.add(mode, true, mode, root)
	}
}

// node returns the node at a path, or the one that it links to.
func (f *finder) node(path []string) *description.Node {
	n, _, circle := f.tree.follow(path)
	if circle {
		f.circle(f.tree.node(path).Position, "this node's links lead in a circle, and SWUpdate goes on without it")
	}
	return n
}

func hasRevisions(n *description.Node) bool {
	return n != nil && (n.HardwareCompatibility != nil || links(n, "hardware-compatibility"))
}

func isBoard(n *description.Node) bool {
	return hasSection(n) || hasRevisions(n) || n != nil && (n.Version != "" || n.EmbeddedScript != "" || len(n.Links) > 0)
}

func hasSection(n *description.Node) bool {
	return n != nil && (n.Images != nil || n.Files != nil || n.Scripts != nil || n.Partitions != nil || n.BootEnv != nil ||
		links(n, images) || links(n, files) || links(n, scripts) || links(n, partitions) || links(n, "bootenv") || links(n, "uboot"))
}

// links says whether a setting of a node is a link.
func links(n *description.Node, name string) bool {
	for _, l := range n.Links {
		if l.Name == name {
			return true
		}
	}
	return false
}

func below(path []string, name string) []string {
	return append(append([]string(nil), path...), name)
}

// finder makes views.
type finder struct {
	*checker
	once     map[itemKey]*item
	left     int        // of maxItems
	boards   [][]string // paths of what may be boards
	anyBoard bool       // devices of other boards take the update, too
}

type itemKey struct {
	artifact *description.Artifact
	section  string
}

// viewCost is what a view counts in maxItems.
const viewCost = 64

// add makes the view of the nodes at some paths.
func (f *finder) add(path []string, selected bool, levels ...[]string) {
	if f.left -= viewCost; f.left < 0 {
		return
	}
	v := &view{path: path, selected: selected}
	for _, p := range levels {
		if n, at, _ := f.tree.follow(p); n != nil {
			v.levels = append(v.levels, level{n, at})
		}
	}
	for _, section := range sectionNames {
		v.items = append(v.items, f.section(v, section)...)
	}
	f.views = append(f.views, v)
}

func (f *finder) circle(at syntax.Position, format string, args ...any) {
	f.checker.add(at, problem.Errorf("link", format, args...).Then("remove the link"))
}

// section returns the entries that a view reads of a section.
func (f *finder) section(v *view, section string) []*item {
	for _, l := range v.levels {
		path := below(l.path, section)
		for _, link := range l.node.Links {
			if link.Name == section {
				path, _ = resolve(l.path, link.Ref) // nil, which no list has, where SWUpdate refuses the link
			}
		}
		if _, ok := f.tree.list(path, section); ok {
			return f.expand(nil, path, section, map[string]bool{})
		}
	}
	return nil
}

// expand adds the entries of a list and of those that its entries link to, each list once. One that is met again while it is
// read would never end: SWUpdate calls itself until its stack is full (parser/parser.c, parser_follow_link).
func (f *finder) expand(items []*item, path []string, section string, reading map[string]bool) []*item {
	key := strings.Join(path, "\x00")
	list, _ := f.tree.list(path, section)
	reading[key] = true
	defer func() { reading[key] = false }()
	for i := range list {
		a := &list[i]
		if f.left--; f.left < 0 {
			break
		}
		if a.Ref == "" {
			items = append(items, f.item(a, section))
			continue
		}
		to, ok := resolve(path[:len(path)-1], a.Ref)
		if _, there := f.tree.list(to, section); !ok || !there {
			continue // Parse reports it
		}
		active, seen := reading[strings.Join(to, "\x00")]
		switch {
		case active:
			f.circle(a.Position, "%q leads in a circle, in which SWUpdate runs until it crashes", a.Ref)
		case !seen:
			items = f.expand(items, to, section, reading)
		}
	}
	return items
}

func (f *finder) item(a *description.Artifact, section string) *item {
	key := itemKey{a, section}
	it := f.once[key]
	if it == nil {
		it = &item{a, section}
		f.once[key] = it
		f.items = append(f.items, it)
	}
	return it
}
