package check

import "strings"

// place is a partition that a selection names; parent is the set whose mode the selection is.
type place struct{ parent, stem, slot string }

// places counts the selections that name a partition. With an empty stem it counts those that name any that tells no slot.
type places map[place]int

// counterpart says whether a selection beside a view's names the other slot's partition: another slot of the same label, or
// another partition where nobody can tell.
func (c *checker) counterpart(v *view, t slotTarget) bool {
	if c.places == nil {
		c.places = findPlaces(c.views)
	}
	parent := v.parent()
	if t.slot == "" {
		return c.places[place{parent, "", ""}] > c.places[place{parent, t.stem, ""}]
	}
	other := "a"
	if t.slot == "a" {
		other = "b"
	}
	return c.places[place{parent, t.stem, other}] > 0
}

func (v *view) parent() string { return strings.Join(v.path[:len(v.path)-1], "\x00") }

func findPlaces(views []*view) places {
	all := places{}
	for _, v := range views {
		if !v.selected {
			continue
		}
		here := map[place]bool{}
		for _, it := range v.items {
			for _, t := range it.slotTargets() {
				here[place{v.parent(), t.stem, t.slot}] = true
				if t.slot == "" {
					here[place{v.parent(), "", ""}] = true
				}
			}
		}
		for p := range here {
			all[p]++
		}
	}
	return all
}
