package release

import (
	"fmt"
	"regexp"
	"strings"
)

// crossCheck adds what breaks the rules between values.
func (r *Release) crossCheck(s *schema) {
	checkBoards(s, r.Hardware.Boards)
	first, members, paths := map[string]int{}, map[string]int{}, map[string]int{}
	for i, c := range r.Components {
		at := fmt.Sprintf("component[%d]", i)
		if before, twice := first[c.Type]; twice && c.Type != File && c.Type != Script {
			s.add(at+".type", "%q is the type of component %d too: a release has one %s at most", c.Type, before+1, c.Type)
		} else if !twice {
			first[c.Type] = i
		}
		r.checkMember(s, at, c)
		name := c.MemberName()
		if before, twice := members[name]; twice {
			s.add(at+".name", "%q is the name of component %d in the update too", name, before+1)
		} else {
			members[name] = i
		}
		if before, twice := paths[c.Destination]; twice && c.Destination != "" {
			s.add(at+".path", "%q is the path of component %d too", c.Destination, before+1)
		} else {
			paths[c.Destination] = i
		}
		checkPartition(s, at, c)
		checkKeys(s, at, c)
		checkDifferent(s, at, c)
	}
}

// taken are members that are not the release's own.
var taken = map[string]string{
	"sw-description":     "SWUpdate's description",
	"sw-description.sig": "its signature",
	ActivateName:         "the script that makes the other slot boot next",
	"manifest.raucm":     "RAUC's manifest",
	"hook":               "RAUC's hook",
}

func (r *Release) checkMember(s *schema, at string, c Component) {
	name := c.MemberName()
	if what, ok := taken[name]; ok {
		s.add(at+".name", "%q is taken in an update by %s", name, what)
	} else if c.Name == "" && c.File != "" && word(name) != "" {
		s.add(at+".file", "%q gives the name %q in the update, which %s; set name", c.File, name, word(name))
	}
}

// slotName finds names of one slot's partition: APP_b (T194, L4T's root file systems), A_kernel (T234's prefix).
var slotName = regexp.MustCompile(`^[AB]_.|._[abAB]$`)

// checkPartition refuses everything but the slotless name: the device alone knows which slot it does not run.
func checkPartition(s *schema, at string, c Component) {
	want := partition(c.Type)
	switch {
	case c.Partition == want:
	case want == "":
		s.add(at+".partition", "%q does nothing for type %s", c.Partition, c.Type)
	case strings.HasPrefix(c.Partition, "/"):
		s.add(at+".partition", "%q is a fixed device: half of the devices run from it; write %q, and the device takes the slot it does not run",
			c.Partition, want)
	case slotName.MatchString(c.Partition):
		s.add(at+".partition", "%q names a slot: half of the devices run from it; write %q, and the device takes the slot it does not run",
			c.Partition, want)
	default:
		s.add(at+".partition", "%q must be %q, the only one that a %s goes to", c.Partition, want, c.Type)
	}
}

// checkKeys refuses keys that another type of component takes, and demands what a type needs.
func checkKeys(s *schema, at string, c Component) {
	if c.Type == File && c.Destination == "" {
		s.add(at+".path", "is missing: a file needs to know where it goes on the device")
	}
	if c.Type != File && c.Destination != "" {
		s.add(at+".path", "%q does nothing for type %s, only for file", c.Destination, c.Type)
	}
	for _, folder := range []string{"/dev", "/proc", "/sys"} {
		if c.Destination == folder || strings.HasPrefix(c.Destination, folder+"/") {
			s.add(at+".path", "%q is no place for a file; images have types of their own", c.Destination)
		}
	}
	if c.Destination == "/" {
		s.add(at+".path", `"/" is a folder: name the file itself`)
	}
	if c.Type != Script && c.Script != "" {
		s.add(at+".script", "%q does nothing for type %s, only for script", c.Script, c.Type)
	}
	if c.Type == Script && c.Streamed() {
		s.add(at+".stream", "must not be true: SWUpdate runs a script from a copy")
	}
}

// checkDifferent knows what install_if_different means for each type.
func checkDifferent(s *schema, at string, c Component) {
	switch {
	case c.Type == File && c.InstallIfDifferent && c.ComponentVersion == "":
		s.add(at+".component_version", "is missing: install_if_different compares it")
	case c.InstallIfDifferent && partition(c.Type) != "":
		s.add(at+".install_if_different", "must not be true for a %s: SWUpdate compares with the slot that runs, "+
			"but the image is for the other one", c.Type)
	case c.InstallIfDifferent && c.Type == Script:
		s.add(at+".install_if_different", "must not be true for a script: SWUpdate runs all scripts")
	}
	if c.ComponentVersion != "" && (c.Type != File || !c.InstallIfDifferent) {
		s.add(at+".component_version", "%q does nothing without install_if_different of a file", c.ComponentVersion)
	}
}
