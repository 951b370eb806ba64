package description

import (
	"fmt"
	"math"
	"strconv"

	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// attribute is a setting that SWUpdate reads (parser/parser.c), and the field of a T that holds it.
type attribute[T any] struct {
	name string
	want string // what SWUpdate reads, for a sentence
	next string // what to write instead of anything else
	// read stores a value; false says that SWUpdate does not read such a value.
	read func(*T, syntax.Value) bool
	// value is what to write, and whether to write it at all.
	value func(*T) (syntax.Value, bool)
	// remark is a problem with a value that was read, and otherwise is what older versions did with one that was not; json says
	// in which syntax it stands. Both may be nil.
	remark    func(v syntax.Value, json bool) (problem.Problem, bool)
	otherwise func(v syntax.Value, json bool) string
}

// artifactAttributes are in the order in which they are written, before properties and hook.
var artifactAttributes = []attribute[Artifact]{
	link(func(a *Artifact) *string { return &a.Ref }),
	text("filename", func(a *Artifact) *string { return &a.Filename }),
	text("type", func(a *Artifact) *string { return &a.Type }),
	text("name", func(a *Artifact) *string { return &a.Name }),
	text("version", func(a *Artifact) *string { return &a.Version }),
	text("device", func(a *Artifact) *string { return &a.Device }),
	text("mtdname", func(a *Artifact) *string { return &a.MTDName }),
	text("volume", func(a *Artifact) *string { return &a.Volume }),
	text("filesystem", func(a *Artifact) *string { return &a.Filesystem }),
	text("path", func(a *Artifact) *string { return &a.Path }),
	offset,
	size,
	text("data", func(a *Artifact) *string { return &a.Data }),
	compressed,
	encrypted,
	text("ivt", func(a *Artifact) *string { return &a.IVT }),
	text("aes-key", func(a *Artifact) *string { return &a.AESKey }),
	flag("installed-directly", func(a *Artifact) *bool { return &a.InstalledDirectly }),
	flag("preserve-attributes", func(a *Artifact) *bool { return &a.PreserveAttributes }),
	flag("install-if-different", func(a *Artifact) *bool { return &a.InstallIfDifferent }),
	flag("install-if-higher", func(a *Artifact) *bool { return &a.InstallIfHigher }),
	text("sha256", func(a *Artifact) *string { return &a.SHA256 }),
	text("preinstall", func(a *Artifact) *string { return &a.PreInstall }),
	text("postinstall", func(a *Artifact) *string { return &a.PostInstall }),
}

var artifactHook = []attribute[Artifact]{text("hook", func(a *Artifact) *string { return &a.Hook })}

// variableAttributes are those of bootenv and vars.
var variableAttributes = []attribute[Variable]{
	link(func(v *Variable) *string { return &v.Ref }),
	text("name", func(v *Variable) *string { return &v.Name }),
	variableValue,
	text("hook", func(v *Variable) *string { return &v.Hook }),
}

// nodeAttributes are those of "software" and of the nodes below it.
var nodeAttributes = []attribute[Node]{
	link(func(n *Node) *string { return &n.Ref }),
	text("version", func(n *Node) *string { return &n.Version }),
	text("description", func(n *Node) *string { return &n.Description }),
	hardwareCompatibility,
	text("update-type", func(n *Node) *string { return &n.UpdateType }),
	reboot,
	toggle("bootloader_transaction_marker", func(n *Node) *Switch { return &n.TransactionMarker }),
	toggle("bootloader_state_marker", func(n *Node) *Switch { return &n.StateMarker }),
	text("namespace-for-vars", func(n *Node) *string { return &n.NamespaceForVars }),
	text("output", func(n *Node) *string { return &n.Output }),
	text("embedded-script", func(n *Node) *string { return &n.EmbeddedScript }),
}

func str(s string) syntax.Value { return syntax.Value{Kind: syntax.String, String: s} }

func boolean(b bool) syntax.Value { return syntax.Value{Kind: syntax.Bool, Bool: b} }

// text is a string. SWUpdate does not tell an empty one from an absent one, so an empty one is not written.
func text[T any](name string, field func(*T) *string) attribute[T] {
	return attribute[T]{name: name, want: "a string", next: "put the value in quotes",
		read: func(t *T, v syntax.Value) bool {
			if v.Kind != syntax.String {
				return false
			}
			*field(t) = v.String
			return true
		},
		value: func(t *T) (syntax.Value, bool) { return str(*field(t)), *field(t) != "" },
	}
}

// link is "ref": an empty one makes SWUpdate refuse the description.
func link[T any](field func(*T) *string) attribute[T] {
	a := text("ref", field)
	a.want, a.next = "a path of the form #./PATH", ""
	a.read = func(t *T, v syntax.Value) bool {
		*field(t) = v.String
		return v.Kind == syntax.String && v.String != ""
	}
	return a
}

// flag is true or false. Before 2024.05 get_field wrote whatever type it found into the flag (corelib/parsing_library_lib*.c).
func flag[T any](name string, field func(*T) *bool) attribute[T] {
	return attribute[T]{name: name, want: "true or false", next: "write true or false without quotes",
		read: func(t *T, v syntax.Value) bool {
			*field(t) = v.Bool
			return v.Kind == syntax.Bool
		},
		value:     func(t *T) (syntax.Value, bool) { return boolean(true), *field(t) },
		otherwise: meantTrue,
	}
}

func meantTrue(v syntax.Value, json bool) string {
	if json && v.Kind == syntax.String && v.String != "" || v.Kind == syntax.Int && v.Int != 0 {
		return " (before 2024.05 it means true, whatever it says)"
	}
	return ""
}

// toggle is true or false where absent is a third thing.
func toggle[T any](name string, field func(*T) *Switch) attribute[T] {
	return attribute[T]{name: name, want: "true or false", next: "write true or false without quotes",
		read: func(t *T, v syntax.Value) bool {
			if v.Kind != syntax.Bool {
				return false
			}
			*field(t) = Off
			if v.Bool {
				*field(t) = On
			}
			return true
		},
		value:     func(t *T) (syntax.Value, bool) { return boolean(*field(t) == On), *field(t) == On || *field(t) == Off },
		otherwise: meantTrue,
	}
}

// reboot may also be a word, since 2025.12.
var reboot = func() attribute[Node] {
	a := toggle("reboot", func(n *Node) *Switch { return &n.Reboot })
	plain := a.read
	a.want, a.next, a.otherwise = `true, false, "enabled" or "disabled"`, "", nil
	a.read = func(n *Node, v syntax.Value) bool {
		if v.Kind == syntax.String && (v.String == "enabled" || v.String == "disabled") {
			v = boolean(v.String == "enabled")
		}
		return plain(n, v)
	}
	a.remark = func(v syntax.Value, _ bool) (problem.Problem, bool) {
		return problem.Warnf("attribute-type", `"reboot" is a string, which SWUpdate before 2025.12 ignores`).
			Then("write reboot = true or reboot = false"), v.Kind == syntax.String
	}
	return a
}()

// variableValue is written even when it is empty, unless the entry is only a link: it unsets the variable.
var variableValue = func() attribute[Variable] {
	a := text("value", func(v *Variable) *string { return &v.Value })
	a.value = func(v *Variable) (syntax.Value, bool) { return str(v.Value), v.Value != "" || v.Ref == "" }
	return a
}()

var hardwareCompatibility = attribute[Node]{
	name: "hardware-compatibility", want: "a list of strings", next: `write it as [ "1.0" ]`,
	read: func(n *Node, v syntax.Value) bool {
		revisions, ok := stringsOf(v)
		if ok {
			n.HardwareCompatibility = revisions
		}
		return ok
	},
	value: func(n *Node) (syntax.Value, bool) {
		return array(n.HardwareCompatibility), n.HardwareCompatibility != nil
	},
}

// stringsOf returns the elements of a list that has only strings.
func stringsOf(v syntax.Value) ([]string, bool) {
	if v.Kind != syntax.List && v.Kind != syntax.Array {
		return nil, false
	}
	list := make([]string, 0, len(v.Elements))
	for _, e := range v.Elements {
		if e.Kind != syntax.String {
			return nil, false
		}
		list = append(list, e.String)
	}
	return list, true
}

func array(list []string) syntax.Value {
	v := syntax.Value{Kind: syntax.Array}
	for _, s := range list {
		v.Elements = append(v.Elements, str(s))
	}
	return v
}

// describe says in a few words what a value is.
func describe(v syntax.Value) string {
	switch v.Kind {
	case syntax.Bool:
		return strconv.FormatBool(v.Bool)
	case syntax.Int:
		return "the number " + strconv.FormatInt(v.Int, 10)
	case syntax.Float:
		return "a number with a fraction"
	case syntax.String:
		return fmt.Sprintf("the string %.40q", v.String)
	case syntax.Group:
		return "a group"
	case syntax.List, syntax.Array:
		for _, e := range v.Elements {
			if e.Kind != syntax.String && e.Kind != syntax.List && e.Kind != syntax.Array {
				return "a list with " + describe(e)
			}
		}
		if len(v.Elements) == 0 {
			return "an empty list"
		}
		return "a list"
	}
	return "of no type that SWUpdate knows"
}

// beyond says whether SWUpdate's JSON reader, which asks json-c for 32 bits, reads the largest such number instead.
func beyond(v syntax.Value) bool {
	return v.Kind == syntax.Int && (v.Int > math.MaxInt32 || v.Int < math.MinInt32)
}
