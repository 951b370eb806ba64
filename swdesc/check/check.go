// Package check reads anyone's sw-description or .swu and says what SWUpdate and a device would refuse, ignore or do wrongly.
//
// It judges by what SWUpdate 2022.12 (Debian 12) to 2026.05 do with the file; where versions differ, by the strictest, and a
// warning says so. What a device alone knows, its board and its selection, is left open: every selection has to be right.
package check

import (
	"fmt"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// MaxDescription is the largest sw-description, and the largest signature, that is read, in bytes. Real ones have a few KiB.
const MaxDescription = 1 << 20

// Options say what is known of the devices.
type Options struct {
	// Handlers are types that this fleet's SWUpdate has beside those of SWUpdate and tegra-ota. They are taken in every section.
	Handlers []string
	// Signed says that the devices want a signature, and with it a sha256 in every entry. Debian's SWUpdate always does.
	Signed bool
}

// The checks that concern bytes.
const (
	checkOrder            = "order"             // sw-description is not the first member
	checkSignatureMissing = "signature-missing" // no sw-description.sig
	checkSignatureOrder   = "signature-order"   // sw-description.sig is not the second member
	checkSyntax           = "syntax"            // sw-description cannot be parsed
	checkHashMissing      = "sha256-missing"    // an entry without a SHA-256 that SWUpdate reads
	checkHashWrong        = "sha256-wrong"      // a member has another SHA-256
	checkSizeWrong        = "size-wrong"        // a member has another size
	checkMemberMissing    = "member-missing"    // an entry without its member
	checkMemberUnused     = "member-unused"     // a member without an entry
	checkPlainWrong       = "plain-wrong"       // size or SHA-256 of the decompressed image differ from the properties
	checkTrailing         = "trailing-data"     // bytes behind the archive
)

// Description checks a sw-description on its own, in either syntax. The name is the file's, for the places of the problems. An
// error, exit code 65, says that SWUpdate cannot read it at all.
func Description(name string, src []byte, o Options) (problem.List, error) {
	c, err := parse(name, src, o)
	if err != nil {
		return nil, fmt.Errorf("cannot check %s: %w", name, err)
	}
	c.all()
	return c.problems, nil
}

// checker is one description under test.
type checker struct {
	name        string // file, for places
	options     Options
	description *description.Description
	format      syntax.Format
	tree        *tree
	views       []*view
	items       []*item // every entry that some device reads, each once
	problems    problem.List
	reported    map[string]bool    // problems of entries, each once however many views share them
	scripts     map[string]*script // by path, see script
	registers   map[string]bool    // see registered
	places      places             // see counterpart
	byName      map[string][]*item // see tegraEntries
	fixed       map[*item]bool     // see checkSlots
}

func parse(name string, src []byte, o Options) (*checker, error) {
	if len(src) > MaxDescription {
		return nil, fail.New(fail.Data, "sw-description has more than %d bytes", MaxDescription).
			Then("it is text of a few KiB: name the right file")
	}
	d, format, found, err := description.Parse(src)
	if err != nil {
		return nil, err
	}
	c := &checker{name: name, options: o, description: d, format: format, scripts: map[string]*script{}, fixed: map[*item]bool{},
		reported: map[string]bool{}}
	c.take(found)
	if format == syntax.Libconfig {
		c.take(caveats(src))
	}
	return c, nil
}

// caveats are the places that Debian's libconfig 1.5 refuses or reads otherwise than the newer ones.
func caveats(src []byte) problem.List {
	var found problem.List
	for _, at := range syntax.Caveats(src) {
		found = append(found, problem.Warnf("libconfig", "%s", at.Problem).Then("write it as every release reads it").At(at.Position.String()))
	}
	return found
}

// take keeps what package description found.
func (c *checker) take(found problem.List) {
	for _, p := range found {
		if p.Where != "" {
			p.Where = c.name + ":" + p.Where
		} else {
			p.Where = c.name
		}
		c.problems = append(c.problems, p)
	}
}

// all runs every rule that needs no members.
func (c *checker) all() {
	c.tree = newTree(c.description)
	c.findViews()
	c.take(c.tree.problems)
	c.checkSoftware()
	c.checkVariables()
	for _, it := range c.items {
		c.checkStrings(it)
		c.checkFilename(it)
		c.checkType(it)
		c.checkStored(it)
		c.checkTegraEntry(it)
		c.checkUnused(it)
	}
	for _, v := range c.views {
		c.checkHooks(v)
		c.checkSlots(v)
		c.checkTegra(v)
		c.checkDuplicates(v)
	}
}

// maxProblems is how many problems are reported beside those of Parse: a person stops reading long before.
const maxProblems = 1000

// add reports a problem at a position, once.
func (c *checker) add(at syntax.Position, p problem.Problem) {
	if len(c.reported) > maxProblems {
		return
	}
	if len(c.reported) == maxProblems {
		p = problem.Errorf("unchecked", "there are more than %d problems, the others are not reported", maxProblems).
			Then("correct these first")
	}
	p.Where = c.name
	if at != (syntax.Position{}) {
		p.Where += ":" + at.String()
	}
	if key := p.String(); !c.reported[key] {
		c.reported[key] = true
		c.problems = append(c.problems, p)
	}
}
