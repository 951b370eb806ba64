package release

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// boardSet asks firmware.ParseBoards about one name after the other, so that each refusal has a place in the file. It maps the
// specs that a board stands for to the name that brought them.
type boardSet map[[2]string]string

// maxBoard is more bytes than the name of any board has. A longer name is cut for messages, and is refused either way.
const maxBoard = 255

// add returns why firmware.ParseBoards refuses the name besides those before it; same says that it alone is good.
func (b boardSet) add(name string) (same bool, err error) {
	name = name[:min(len(name), maxBoard)]
	found, err := firmware.ParseBoards([]string{name})
	if err != nil {
		return false, err
	}
	for _, board := range found {
		first, twice := b[[2]string{board.Spec, board.Compat}]
		if !twice {
			continue
		}
		if _, err := firmware.ParseBoards([]string{first, name}); err != nil {
			return true, err
		}
	}
	for _, board := range found {
		b[[2]string{board.Spec, board.Compat}] = name
	}
	return false, nil
}

// checkBoards refuses what firmware.ParseBoards refuses, when the firmware is looked at.
func checkBoards(s *schema, names []string) {
	boards := boardSet{}
	for i, name := range names {
		if _, err := boards.add(name); err != nil {
			s.add(fmt.Sprintf("hardware.boards[%d]", i), "%s", strings.TrimPrefix(err.Error(), "cannot use board "))
		}
	}
}

// boardID is a board of a guide's manifest: BOARDID-SKU or BOARDID-SKU-FAB, with or without p.
var boardID = regexp.MustCompile(`^p?([0-9]{4})-([0-9]{4})(-[A-Za-z0-9.]{1,8})?$`)

// carriers are boards that a module sits on (NVIDIA's names of developer kits). No firmware is made for them.
var carriers = []string{"2597", "2822", "3449", "3509", "3737", "3740", "3768", "4071"}

// hardware sorts one entry of hardware_compatibility: what firmware.ParseBoards takes is a board, if need be after rewriting a
// guide's form; anything else is a name that RAUC or Mender compares. Boards named twice are one.
func (im *importer) hardware(boards boardSet, name string) {
	h := &im.release.Hardware
	board, fab := name, ""
	if id := boardID.FindStringSubmatch(name); id != nil {
		if slices.Contains(carriers, id[1]) {
			im.warn(problem.Warnf("import", "hardware_compatibility names %q, a carrier board: nothing on a device compares that; left out",
				name))
			return
		}
		board, fab = "p"+id[1]+"-"+id[2], id[3]
	}
	same, err := boards.add(board)
	switch {
	case err == nil || same:
		if !same {
			h.Boards = append(h.Boards, board)
		}
		if fab != "" {
			im.warn(problem.Warnf("import", "hardware_compatibility names %q; every fab of %s is taken", name, board).
				Then("write the TNSPEC of nv_boot_control.conf into boards to check the firmware against one fab"))
		}
	case h.Compatible == "" || h.Compatible == name:
		h.Compatible = name
		im.warn(problem.Warnf("import", "hardware_compatibility names %q, which is no board; it became compatible, for RAUC and Mender", name).
			Then("name the modules in boards, so that the firmware is checked against them; known are %s",
				strings.Join(firmware.Modules(), ", ")))
	default:
		im.warn(problem.Errorf("import", "hardware_compatibility names %q besides %q: a release has one compatible", name, h.Compatible).
			Then("make a release for each"))
	}
}
