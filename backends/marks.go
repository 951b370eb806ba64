package backends

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// marksDocument is what lies on both: the higher serial is right.
type marksDocument struct {
	Serial uint64         `json:"serial"`
	Marks  map[Slot]*Mark `json:"marks"`
}

func (d marksDocument) clone() marksDocument {
	c := marksDocument{Serial: d.Serial, Marks: map[Slot]*Mark{}}
	for s, m := range d.Marks {
		v := *m
		c.Marks[s] = &v
	}
	return c
}

func (d marksDocument) sameMarks(o marksDocument) bool {
	for _, s := range Slots {
		if d.at(s) != o.at(s) {
			return false
		}
	}
	return true
}

func (d marksDocument) at(s Slot) Mark {
	m := Mark{Rootfs: Unknown, Firmware: Unknown}
	if p := d.Marks[s]; p != nil {
		m.Parts = p.Parts
		if p.Rootfs != "" {
			m.Rootfs = p.Rootfs
		}
		if p.Firmware != "" {
			m.Firmware = p.Firmware
		}
	}
	return m
}

// loadMarks takes over the copy on the ESP where it is newer than the journal's.
func (j *journal) loadMarks() {
	if j.marks == nil {
		return
	}
	var copied marksDocument
	_, err := j.marks.Load(&copied)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return // a reader without privilege; the journal has them, too
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		j.marksAt = err
	}
	if err != nil || copied.Serial <= j.doc.Serial {
		j.stale = err != nil && j.doc.Serial > 0 || copied.Serial < j.doc.Serial
		return
	}
	if j.doc.Serial == 0 && j.problem == nil {
		j.problem = fmt.Errorf("cannot find the journal in %s, though the ESP remembers one", j.where)
	}
	j.doc.marksDocument = copied.clone()
}

// mark returns what is known of a slot.
func (j *journal) mark(s Slot) Mark { return j.doc.at(s) }

func (j *journal) setFirmware(s Slot, i Integrity) { j.markAt(s).Firmware = i }

// setRootfs says of all of a slot's partitions together what is known of them.
func (j *journal) setRootfs(s Slot, i Integrity) { j.markAt(s).Rootfs, j.markAt(s).Parts = i, "" }

// setTorn says that one partition of a slot may be half written from now on.
func (j *journal) setTorn(s Slot, part string) {
	m := j.markAt(s)
	m.Rootfs = Torn
	if !slices.Contains(strings.Fields(m.Parts), part) {
		m.Parts = strings.TrimSpace(m.Parts + " " + part)
	}
}

func (j *journal) markAt(s Slot) *Mark {
	if j.doc.Marks[s] == nil {
		j.doc.Marks[s] = &Mark{Rootfs: Unknown, Firmware: Unknown}
	}
	return j.doc.Marks[s]
}
