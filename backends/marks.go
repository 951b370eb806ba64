package backends

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// marksDocument is what lies on both: the higher serial is right.
type marksDocument struct {
	Serial uint64         `json:"serial"`
	Marks  map[Slot]*Mark `json:"marks"`
	// Folder is where the journal lies, and Trial the slot that an activated update tries: a new system that does not
	// mount the journal's file system must not take itself for accepted.
	Folder string `json:"journal,omitempty"`
	Trial  Slot   `json:"trial,omitempty"`
}

func (d marksDocument) clone() marksDocument {
	c := marksDocument{Serial: d.Serial, Marks: map[Slot]*Mark{}, Folder: d.Folder, Trial: d.Trial}
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
	return d.Folder == o.Folder && d.Trial == o.Trial
}

func (d marksDocument) at(s Slot) Mark {
	m := Mark{Rootfs: Unknown, Firmware: Unknown}
	if p := d.Marks[s]; p != nil {
		m.Parts, m.Bad, m.Lost = p.Parts, p.Bad, p.Lost
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
	if j.marks == nil || errors.Is(j.copyErr, fs.ErrPermission) {
		return // without privilege; the journal has them, too
	}
	if j.copyErr != nil && !errors.Is(j.copyErr, fs.ErrNotExist) {
		j.marksAt = j.copyErr
	}
	copied := j.copied
	if j.copyErr != nil || copied.Serial <= j.doc.Serial {
		j.stale = j.copyErr != nil && j.doc.Serial > 0 || copied.Serial < j.doc.Serial
		return
	}
	switch {
	case copied.Folder != "" && copied.Folder != j.where && !j.mounted(copied.Folder):
		j.displaced = fail.New(fail.Unavailable, "cannot reach the journal: it lies in %s, whose file system is not mounted", copied.Folder).Then("mount it")
	case j.doc.Serial == 0 && j.problem == nil:
		j.problem = fmt.Errorf("cannot find the journal in %s, though the ESP remembers one", j.where)
	}
	j.doc.marksDocument = copied.clone()
}

// mounted says whether a folder lies on a file system that both slots share.
func (j *journal) mounted(folder string) bool {
	mount, found, err := j.m.MountOf(folder)
	return err == nil && found && !j.onRoot(mount) && persistent(mount.Type)
}

// trial is the slot that the update tries, None without one.
func (u *Update) trial() Slot {
	if u != nil && (u.State == Activated || u.State == Testing || u.State == RolledBack) {
		return u.Target
	}
	return None
}

// mark returns what is known of a slot.
func (j *journal) mark(s Slot) Mark { return j.doc.at(s) }

func (j *journal) setFirmware(s Slot, i Integrity) { j.markAt(s).Firmware = i }

// setRootfs says of all of a slot's partitions together what is known of them.
func (j *journal) setRootfs(s Slot, i Integrity) {
	m := j.markAt(s)
	m.Rootfs, m.Parts, m.Lost = i, "", false
}

// setBad says whether somebody called a slot bad.
func (j *journal) setBad(s Slot, bad bool) { j.markAt(s).Bad = bad }

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
