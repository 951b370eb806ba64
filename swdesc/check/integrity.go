package check

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// Integrity reads a .swu and says which of its members a signature of its sw-description does not cover: those that no entry names
// with their SHA-256. It gives no advice, and leaves nothing out for being too much. Whether the signature is good is for package
// sign, which the contents are for. An error says that the container or sw-description cannot be read.
func Integrity(ctx context.Context, name string, r io.Reader) (*Contents, problem.List, error) {
	a := newArchive(ctx, r, Options{})
	a.bytesOnly = true
	if err := a.read(); err != nil {
		return nil, nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	d, format, _, err := description.Parse(a.contents.Description)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read sw-description of %s: %w", name, err)
	}
	a.contents.Syntax = format
	return a.contents, append(a.problems, a.contents.uncovered(d)...), nil
}

var hexDigest = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// uncovered compares every member with every entry that names it.
func (c *Contents) uncovered(d *description.Description) problem.List {
	var found problem.List
	named, there := map[string][]description.Artifact{}, map[string]bool{}
	eachArtifact(d.Software, func(e description.Artifact) {
		if e.Filename != "" {
			named[e.Filename] = append(named[e.Filename], e)
		}
	})
	for i, m := range c.Members {
		there[m.Name] = true
		switch {
		case m.Name == descriptionName && i != 0:
			found = append(found, problem.Errorf(checkOrder, "it is not the first member, and SWUpdate reads no other first").At(m.Name))
		case m.Name == signatureName && i != 1:
			found = append(found, problem.Errorf(checkSignatureOrder, "it is not the second member, where SWUpdate looks for it").At(m.Name))
		case m.Name == descriptionName, m.Name == signatureName:
		case len(named[m.Name]) == 0:
			found = append(found, problem.Errorf(checkMemberUnused, "no entry of sw-description names it, so no signature covers it").At(m.Name).
				Then("leave it out of the archive"))
		}
		for _, e := range named[m.Name] {
			switch {
			case !hexDigest.MatchString(e.SHA256):
				found = append(found, problem.Errorf(checkHashMissing, "its entry at %s has no SHA-256, so no signature covers it", e.Position).At(m.Name))
			case !strings.EqualFold(e.SHA256, m.SHA256):
				found = append(found, problem.Errorf(checkHashWrong, "its SHA-256 is %s, and the entry at %s says %s", m.SHA256, e.Position, e.SHA256).
					At(m.Name))
			}
		}
	}
	eachArtifact(d.Software, func(e description.Artifact) {
		if e.Filename != "" && !there[e.Filename] {
			there[e.Filename] = true // once
			found = append(found, problem.Errorf(checkMemberMissing, "the entry at %s names it, and the archive does not have it", e.Position).
				At(e.Filename))
		}
	})
	return found
}

// eachArtifact visits every entry of a node and of those below it, whether a device reads it or not. The depth is bounded by the
// syntax.
func eachArtifact(n description.Node, visit func(description.Artifact)) {
	lists := [][]description.Artifact{n.Partitions, n.Images, n.Files, n.Scripts}
	for _, l := range n.Lists {
		lists = append(lists, l.Artifacts)
	}
	for _, list := range lists {
		for _, e := range list {
			visit(e)
		}
	}
	for _, child := range n.Children {
		eachArtifact(child.Node, visit)
	}
}
