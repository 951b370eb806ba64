package description

import (
	"math"
	"strconv"

	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// offset is a number or a string. Before 2023.12 SWUpdate copies a JSON string over the number (corelib/parsing_library_libjson.c,
// get_value_json): "4K" becomes 0x4b34, and that is where the image is written. A JSON number stops at 32 bits in every version.
var offset = attribute[Artifact]{
	name: "offset", want: `a whole number or a string such as "4K"`,
	read: func(a *Artifact, v syntax.Value) bool {
		switch v.Kind {
		case syntax.Int:
			a.Offset = strconv.FormatInt(v.Int, 10)
		case syntax.String:
			a.Offset = v.String
		default:
			return false
		}
		return true
	},
	value: func(a *Artifact) (syntax.Value, bool) {
		if n, err := strconv.ParseInt(a.Offset, 10, 32); err == nil && strconv.FormatInt(n, 10) == a.Offset {
			return syntax.Value{Kind: syntax.Int, Int: n}, true
		}
		return str(a.Offset), a.Offset != ""
	},
	remark: func(v syntax.Value, json bool) (problem.Problem, bool) {
		if json && v.Kind == syntax.String && v.String != "" {
			return problem.Warnf("attribute-type", `"offset" is a string, whose letters SWUpdate before 2023.12 takes for the number in JSON`).
				Then("write a plain number of bytes, or libconfig"), true
		}
		return problem.Errorf("attribute-type", `"offset" is %d, which SWUpdate's JSON reader cuts to %d`, v.Int, int32(math.MaxInt32)).
			Then("write libconfig"), json && beyond(v)
	},
}

// size is a number of up to 64 bits in libconfig and, by SWUpdate's reader, of 32 in JSON.
var size = attribute[Artifact]{
	name: "size", want: "a whole number", next: "write the number of bytes without quotes",
	read: func(a *Artifact, v syntax.Value) bool {
		a.Size = v.Int
		return v.Kind == syntax.Int
	},
	value: func(a *Artifact) (syntax.Value, bool) {
		return syntax.Value{Kind: syntax.Int, Int: a.Size}, a.Size != 0
	},
	remark: func(v syntax.Value, json bool) (problem.Problem, bool) {
		return problem.Errorf("attribute-type", `"size" is %d, which SWUpdate's JSON reader cuts to %d`, v.Int, int32(math.MaxInt32)).
			Then("leave size out or write libconfig"), json && beyond(v)
	},
}

// compressed is the name of a compression; true is the old way to say zlib.
var compressed = attribute[Artifact]{
	name: "compressed", want: `a string such as "zstd"`, next: `write compressed = "zstd", or what it is compressed with`,
	read: func(a *Artifact, v syntax.Value) bool {
		switch {
		case v.Kind == syntax.String && v.String != "":
			a.Compressed = v.String
		case v.Kind == syntax.Bool && v.Bool:
			a.Compressed = "zlib"
		case v.Kind != syntax.Bool:
			return false
		}
		return true
	},
	value: func(a *Artifact) (syntax.Value, bool) { return str(a.Compressed), a.Compressed != "" },
	remark: func(v syntax.Value, _ bool) (problem.Problem, bool) {
		return problem.Warnf("deprecated", "compressed = true is deprecated").Then(`write compressed = "zlib"`), v.Kind == syntax.Bool && v.Bool
	},
}

// encrypted is true or, since 2025.12, the name of a cipher. 2022.12 ignores a string in libconfig, so it would install what is
// encrypted as it is; in JSON it copies the string over the flag.
var encrypted = attribute[Artifact]{
	name: "encrypted", want: "true, false or the name of a cipher",
	read: func(a *Artifact, v syntax.Value) bool {
		switch {
		case v.Kind == syntax.String && v.String != "":
			a.Encrypted = v.String
		case v.Kind == syntax.Bool && v.Bool:
			a.Encrypted = aesCBC
		case v.Kind != syntax.Bool:
			return false
		}
		return true
	},
	value: func(a *Artifact) (syntax.Value, bool) {
		if a.Encrypted == aesCBC {
			return boolean(true), true
		}
		return str(a.Encrypted), a.Encrypted != ""
	},
	remark: func(v syntax.Value, json bool) (problem.Problem, bool) {
		p := problem.Warnf("attribute-type", `"encrypted" is %s; SWUpdate before 2025.12 reads only true or false and ignores this`, describe(v))
		if json {
			p = problem.Warnf("attribute-type", `"encrypted" is %s; SWUpdate before 2025.12 reads only true or false`, describe(v))
		}
		if v.String == aesCBC {
			p = p.Then("write encrypted = true, which every version reads as %s", aesCBC)
		}
		return p, v.Kind == syntax.String
	},
}

// aesCBC is the cipher that encrypted = true means.
const aesCBC = "aes-cbc"

// artifact reads an entry of images, files, scripts, partitions or of a list that is linked there.
func (r *reader) artifact(v *syntax.Value) Artifact {
	a := Artifact{Position: v.Position}
	for i := range v.Settings {
		s := &v.Settings[i]
		if s.Name == "properties" {
			if !r.properties(&a, s) {
				a.Unknown = append(a.Unknown, *s)
			}
			continue
		}
		known, ok := take(r, artifactAttributes, &a, s)
		if !known {
			known, ok = take(r, artifactHook, &a, s)
		}
		if !known {
			r.unknown(s, artifactNames)
		}
		if !ok {
			a.Unknown = append(a.Unknown, *s)
		}
	}
	if a.Ref != "" {
		r.onlyRef(v)
	}
	return a
}

// properties reads the group "properties". SWUpdate's two readers agree only on strings and lists of strings: anything else is
// dropped (corelib/parsing_library_lib*.c, iterate_field).
func (r *reader) properties(a *Artifact, s *syntax.Setting) bool {
	if s.Value.Kind != syntax.Group {
		r.add(s.Position, problem.Errorf("attribute-type", `"properties" is %s; SWUpdate reads only a group`, describe(s.Value)).
			Then(`write properties: { NAME = "VALUE"; }`))
		return false
	}
	for _, p := range s.Value.Settings {
		list, ok := stringsOf(p.Value)
		switch {
		case p.Value.Kind == syntax.String:
			a.Properties = append(a.Properties, Property{Name: p.Name, Values: []string{p.Value.String}})
		case ok && len(list) > 0:
			a.Properties = append(a.Properties, Property{Name: p.Name, Values: list, List: true})
		default:
			a.UnknownProperties = append(a.UnknownProperties, p)
			r.property(p)
		}
	}
	return true
}

func (r *reader) property(p syntax.Setting) {
	found := problem.Errorf("property-type", "property %q is %s; SWUpdate reads only strings and lists of strings and drops the rest",
		p.Name, describe(p.Value))
	switch p.Value.Kind {
	case syntax.Int:
		found = found.Then(`write %s = "%d"`, p.Name, p.Value.Int)
	case syntax.Bool:
		found = found.Then(`write %s = "%t"`, p.Name, p.Value.Bool)
	default:
		found = found.Then("put the value in quotes")
	}
	r.add(p.Position, found)
}

// variable reads an entry of bootenv, vars or of a list that is linked there.
func (r *reader) variable(v *syntax.Value) Variable {
	e := Variable{Position: v.Position}
	for i := range v.Settings {
		s := &v.Settings[i]
		known, ok := take(r, variableAttributes, &e, s)
		if !known {
			r.unknown(s, variableNames)
		}
		if !ok {
			e.Unknown = append(e.Unknown, *s)
		}
	}
	if e.Ref != "" {
		r.onlyRef(v)
	}
	return e
}
