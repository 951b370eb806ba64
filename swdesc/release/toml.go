package release

import (
	"sort"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// tomlTree reads TOML as a tree with places, for the checks that go-toml's strict mode leaves out: it takes Version for version,
// stops at the first wrong type, and forgets where a value stood. ok is false where the syntax is wrong; what is wrong, and keys
// given twice, are for go-toml's decoder to say.
func tomlTree(text []byte) (root syntax.Value, ok bool) {
	t := tomlReader{lines: lineStarts(text)}
	t.parser.Reset(text)
	root = syntax.Value{Kind: syntax.Group, Position: syntax.Position{Line: 1, Column: 1}}
	table := &root
	for t.parser.NextExpression() {
		n := t.parser.Expression()
		switch n.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = t.descend(&root, n)
		case unstable.KeyValue:
			t.assign(table, n)
		}
		if table == nil {
			return root, false
		}
	}
	return root, t.parser.Error() == nil
}

type tomlReader struct {
	parser unstable.Parser
	lines  []uint32 // offset of each line's first byte
}

func lineStarts(text []byte) []uint32 {
	starts := []uint32{0}
	for i, b := range text {
		if b == '\n' {
			starts = append(starts, uint32(i+1))
		}
	}
	return starts
}

func (t *tomlReader) place(r unstable.Range) syntax.Position {
	line := sort.Search(len(t.lines), func(i int) bool { return t.lines[i] > r.Offset })
	return syntax.Position{Line: line, Column: int(r.Offset-t.lines[line-1]) + 1}
}

// descend returns the table that a header names, and makes what is missing on the way; nil where a value is in the way.
func (t *tomlReader) descend(table *syntax.Value, header *unstable.Node) *syntax.Value {
	for keys := header.Key(); keys.Next(); {
		key := keys.Node()
		kind := syntax.Group
		if header.Kind == unstable.ArrayTable && keys.IsLast() {
			kind = syntax.List
		}
		next := t.member(table, key, kind)
		if next == nil {
			return nil
		}
		if kind == syntax.List {
			next.Elements = append(next.Elements, syntax.Value{Kind: syntax.Group, Position: t.place(key.Raw)})
		}
		if next.Kind == syntax.List {
			next = &next.Elements[len(next.Elements)-1]
		}
		table = next
	}
	return table
}

// member returns a table's member of the kind wanted, made if it is missing. A list made by [[...]] stands for its last table.
func (t *tomlReader) member(table *syntax.Value, key *unstable.Node, kind syntax.Kind) *syntax.Value {
	for i := range table.Settings {
		if s := &table.Settings[i]; s.Name == string(key.Data) {
			if s.Value.Kind == kind || s.Value.Kind == syntax.List && len(s.Value.Elements) > 0 {
				return &s.Value
			}
			return nil
		}
	}
	at := t.place(key.Raw)
	table.Settings = append(table.Settings, syntax.Setting{
		Name: string(key.Data), Value: syntax.Value{Kind: kind, Position: at}, Position: at,
	})
	return &table.Settings[len(table.Settings)-1].Value
}

// assign adds "key = value" to a table; the key may have dots.
func (t *tomlReader) assign(table *syntax.Value, n *unstable.Node) {
	for keys := n.Key(); keys.Next() && table != nil; {
		key := keys.Node()
		if !keys.IsLast() {
			table = t.member(table, key, syntax.Group)
			continue
		}
		at := t.place(key.Raw)
		table.Settings = append(table.Settings, syntax.Setting{Name: string(key.Data), Value: t.value(n.Value(), at), Position: at})
	}
}

// value reads a value; at is the place for those that have none of their own. Its kind is 0 for dates, which no key takes.
func (t *tomlReader) value(n *unstable.Node, at syntax.Position) syntax.Value {
	if n.Raw.Length > 0 {
		at = t.place(n.Raw)
	}
	v := syntax.Value{Position: at}
	switch n.Kind {
	case unstable.String:
		v.Kind, v.String = syntax.String, string(n.Data)
	case unstable.Bool:
		v.Kind = syntax.Bool
	case unstable.Integer:
		v.Kind = syntax.Int
	case unstable.Float:
		v.Kind = syntax.Float
	case unstable.Array:
		v.Kind = syntax.Array
		for it := n.Children(); it.Next(); {
			v.Elements = append(v.Elements, t.value(it.Node(), at))
		}
	case unstable.InlineTable:
		v.Kind = syntax.Group
		for it := n.Children(); it.Next(); {
			t.assign(&v, it.Node())
		}
	}
	return v
}
