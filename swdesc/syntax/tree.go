// Package syntax reads and prints the two syntaxes in which sw-description is written, libconfig and JSON, as one tree.
//
// SWUpdate does not look at a file's name: it tries libconfig (its own library's parser), then JSON (core/parser.c).
package syntax

import "fmt"

// Position is a place in a file: line and column from 1, the column in bytes. The zero Position is unknown.
type Position struct{ Line, Column int }

// String returns "LINE:COLUMN".
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

// Kind is the type of a Value. The zero Kind is none of them.
type Kind int

// The kinds. JSON has objects (Group) and arrays (List); libconfig's Array, of scalars of one kind, is [...], its List (...).
const (
	Bool Kind = iota + 1
	Int
	Float
	String
	Group
	List
	Array
)

// Value is a node of the tree; Kind says which of the other fields counts.
type Value struct {
	Kind     Kind
	Bool     bool
	Int      int64
	Float    float64
	String   string
	Settings []Setting // of a Group, in the order of the file; names are unique
	Elements []Value   // of a List or Array
	Position Position
}

// Setting is a named value of a Group.
type Setting struct {
	Name     string
	Value    Value
	Position Position // of the name
}

// Get returns the value of a group's setting, and whether there is one.
func (v Value) Get(name string) (Value, bool) {
	for _, s := range v.Settings {
		if s.Name == name {
			return s.Value, true
		}
	}
	return Value{}, false
}

// Error says where a text breaks the rules of its syntax.
type Error struct {
	Syntax   string // "libconfig" or "JSON"
	Position Position
	Problem  string
}

// Error returns one line.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: not %s: %s", e.Position, e.Syntax, e.Problem)
}

// MalformedData is true: the exit code of such an error is that of bad data.
func (e *Error) MalformedData() bool { return true }
