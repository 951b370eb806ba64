package description

import (
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/spelling"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// rootName is where SWUpdate starts to read; a build may choose another name (CONFIG_PARSERROOT), no known one does.
const rootName = "software"

// artifactSections are the lists of artifacts, in the order in which they are written; SWUpdate installs partitions first.
var artifactSections = []struct {
	name string
	list func(*Node) *[]Artifact
}{
	{"partitions", func(n *Node) *[]Artifact { return &n.Partitions }},
	{"images", func(n *Node) *[]Artifact { return &n.Images }},
	{"files", func(n *Node) *[]Artifact { return &n.Files }},
	{"scripts", func(n *Node) *[]Artifact { return &n.Scripts }},
}

// variableSections are the lists of variables.
var variableSections = []string{"bootenv", "uboot", "vars"}

// The names that a misspelt one may have meant.
var (
	artifactNames = append(namesOf(artifactAttributes), "properties", "hook")
	variableNames = namesOf(variableAttributes)
	nodeNames     = append(namesOf(nodeAttributes), "partitions", "images", "files", "scripts", "bootenv", "vars")
)

func namesOf[T any](table []attribute[T]) []string {
	var names []string
	for _, a := range table {
		names = append(names, a.name)
	}
	return names
}

// Parse reads a sw-description in whichever syntax SWUpdate takes it for. Beyond what Read finds it reports what only one of
// the syntaxes does, for example numbers that SWUpdate's JSON reader cuts. The error is about the file's syntax, or Read's.
func Parse(src []byte) (*Description, syntax.Format, problem.List, error) {
	root, format, err := syntax.Parse(src)
	if err != nil {
		return nil, format, nil, err
	}
	d, problems, err := read(root, format == syntax.JSON)
	return d, format, problems, err
}

// Read makes the model of a tree and reports what SWUpdate would ignore in it: checks "unknown-attribute", "attribute-type",
// "property-type", "deprecated" and "link". What is reported is kept in the Unknown fields. Where is "LINE:COLUMN", or "" in a
// tree without positions. The error, exit code 65, says that there is no group "software".
func Read(root syntax.Value) (*Description, problem.List, error) { return read(root, false) }

func read(root syntax.Value, json bool) (*Description, problem.List, error) {
	r := &reader{json: json, links: findLinks(&root)}
	d := &Description{}
	found := false
	for i := range root.Settings {
		s := &root.Settings[i]
		switch {
		case s.Name != rootName:
			d.Unknown = append(d.Unknown, *s)
		case s.Value.Kind != syntax.Group:
			return nil, nil, fail.New(fail.Data, "cannot read the description: %s: %q is %s, not a group", s.Position, rootName, describe(s.Value))
		default:
			d.Software, found = r.node(s), true
		}
	}
	if !found {
		err := fail.New(fail.Data, "cannot read the description: it has no group %q", rootName)
		for _, s := range d.Unknown {
			if spelling.Closest(s.Name, []string{rootName}) != "" {
				return nil, nil, err.Then("rename %q at %s", s.Name, s.Position)
			}
		}
		return nil, nil, err.Then("put everything into software = { ... }")
	}
	for i := range root.Settings {
		if s := &root.Settings[i]; s.Name != rootName && r.links.roles[&s.Value] == 0 {
			r.unknown(s, nil)
		}
	}
	r.checkLinks()
	return d, r.problems, nil
}

type reader struct {
	json     bool
	problems problem.List
	links    *linkMap
}

func (r *reader) add(at syntax.Position, p problem.Problem) {
	if at != (syntax.Position{}) {
		p = p.At(at.String())
	}
	r.problems = append(r.problems, p)
}

func (r *reader) unknown(s *syntax.Setting, known []string) {
	p := problem.Errorf("unknown-attribute", "%q is unknown and SWUpdate ignores it", s.Name)
	if near := spelling.Closest(s.Name, known); near != "" {
		p = p.Then("did you mean %q?", near)
	}
	r.add(s.Position, p)
}

// onlyRef reports the attributes beside a link: SWUpdate follows it and reads nothing else.
func (r *reader) onlyRef(v *syntax.Value) {
	for _, s := range v.Settings {
		if s.Name != "ref" {
			r.add(s.Position, problem.Errorf("link", `%q stands beside "ref", and SWUpdate ignores it`, s.Name).
				Then("move it to where the link leads"))
		}
	}
}

// take reads a setting into t if the table has it: known says so, and ok that its value is one that SWUpdate reads.
func take[T any](r *reader, table []attribute[T], t *T, s *syntax.Setting) (known, ok bool) {
	for _, a := range table {
		if a.name != s.Name {
			continue
		}
		if !a.read(t, s.Value) {
			r.wrongType(s, a.want, a.next, a.otherwise)
			return true, false
		}
		if a.remark != nil {
			if p, found := a.remark(s.Value, r.json); found {
				r.add(s.Position, p)
			}
		}
		return true, true
	}
	return false, false
}

func (r *reader) wrongType(s *syntax.Setting, want, next string, otherwise func(syntax.Value, bool) string) {
	p := problem.Errorf("attribute-type", "%q is %s; SWUpdate reads only %s and ignores this", s.Name, describe(s.Value), want)
	if s.Value.Kind == syntax.String && s.Value.String == "" {
		p = problem.Errorf("attribute-type", "%q is empty; SWUpdate reads only %s", s.Name, want)
	}
	if otherwise != nil {
		p.Reason += otherwise(s.Value, r.json)
	}
	if next != "" {
		p = p.Then("%s", next)
	}
	r.add(s.Position, p)
}
