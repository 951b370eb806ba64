package backends

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/esp"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/record"
)

const (
	dataFolder      = "/data/tegra-ota"
	espFolder       = "EFI/tegra-ota" // below the ESP
	publishedPath   = "/run/tegra-ota/journal.json"
	uefiFolder      = "/sys/firmware/efi" // exists where UEFI started the system
	journalName     = "journal"
	marksName       = "marks"
	journalNextStep = "mount a file system that both slots share at /data, or set journal.path in " + "/etc/tegra-ota/config.toml"
)

// journal is the record of the update in flight, on storage that both slots share, and of what is known of each slot.
// The marks are kept a second time on the ESP, which an update never overwrites: a lost journal must not make a
// half-written chain look whole.
type journal struct {
	m     *device.Machine
	where string        // folder, for people
	store *record.Store // nil when refused
	marks *record.Store // nil without an ESP

	refused error // no place for it: every changing verb is unavailable
	problem error // what there is cannot be trusted or was lost; reported, and an empty one is used
	marksAt error // the copy of the marks on the ESP is not usable
	stale   bool  // that copy is older than the journal's marks, or gone
	// displaced says that the journal's file system is not mounted; marks and trial are then what the ESP remembers.
	displaced error
	copied    marksDocument // the copy on the ESP
	copyErr   error
	reader    bool // this process may not read the journal; doc is the copy for readers

	doc   document
	saved marksDocument // marks as they are on storage
}

type document struct {
	marksDocument
	Update *Update `json:"update,omitempty"`
	// Rejoins counts reboots, one after the other, that were to bring a chain and its root file system together again.
	Rejoins int `json:"rejoins,omitempty"`
}

// openJournal finds and reads the journal. It always answers; what is wrong is in refused, problem and marksAt.
func openJournal(m *device.Machine, folder string, e esp.ESP, espErr error) *journal {
	j := &journal{m: m}
	if espErr == nil {
		j.marks = record.New(m, path.Join(e.MountPoint, espFolder), marksName, record.Alternating)
		_, j.copyErr = j.marks.Load(&j.copied)
	}
	if folder == "" && j.copied.Folder != "" && j.mounted(j.copied.Folder) {
		folder = j.copied.Folder // it stays where it is
	}
	j.place(folder, e, espErr)
	j.load()
	return j
}

// place chooses the folder: the configured one, /data if it is a file system of its own, else the ESP.
func (j *journal) place(folder string, e esp.ESP, espErr error) {
	if folder == "" {
		switch {
		case j.mounted(dataFolder):
			folder = dataFolder
		case espErr == nil:
			folder = path.Join(e.MountPoint, espFolder)
		default:
			j.refused = fail.New(fail.Unavailable, "cannot keep a journal: /data is not a file system of its own, and the ESP is no way out: %w", espErr).Then(journalNextStep)
			if !j.m.Exists(uefiFolder) {
				j.refused = fail.New(fail.Unavailable, "cannot keep a journal: /data is not a file system of its own, and this device has no ESP").Then(journalNextStep)
			}
			return
		}
	}
	j.where = folder
	mount, found, err := j.m.MountOf(folder)
	switch {
	case err != nil:
		j.refused = fail.New(fail.Unavailable, "cannot keep a journal in %s: %w", folder, err)
	case !found || j.onRoot(mount):
		j.refused = fail.New(fail.Unavailable, "cannot keep a journal in %s: it lies on the root file system, which the other slot does not see", folder).Then(journalNextStep)
	case !persistent(mount.Type):
		j.refused = fail.New(fail.Unavailable, "cannot keep a journal in %s: %s does not survive a reboot", folder, mount.Type).Then(journalNextStep)
	case mount.Type == "vfat" || mount.Type == "msdos":
		j.store = record.New(j.m, folder, journalName, record.Alternating)
	default:
		j.store = record.New(j.m, folder, journalName, record.Single)
	}
}

// onRoot says that a mount shows the root file system: its own mount, or a part of it bound elsewhere.
func (j *journal) onRoot(mount device.Mount) bool {
	root, found, err := j.m.MountOf("/")
	switch {
	case err != nil || !found || mount.Point == "/":
		return true
	case mount.Major != 0:
		return mount.Major == root.Major && mount.Minor == root.Minor
	}
	return mount.Source == root.Source && mount.Type == root.Type // btrfs shows no device number
}

func persistent(fsType string) bool {
	return fsType != "tmpfs" && fsType != "ramfs" && fsType != "overlay"
}

func (j *journal) load() {
	if errors.Is(j.refused, fs.ErrPermission) { // where it lies is for root to see
		j.loadPublished(j.refused)
		return
	}
	if j.store != nil {
		_, err := j.store.Load(&j.doc)
		switch {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, fs.ErrPermission):
			j.loadPublished(err)
			j.saved = j.doc.marksDocument.clone()
			return
		default:
			j.doc = document{}
			j.problem = fmt.Errorf("cannot trust the journal: %w", err)
		}
	}
	if j.doc.Marks == nil {
		j.doc.Marks = map[Slot]*Mark{}
	}
	j.loadMarks()
	j.saved = j.doc.marksDocument.clone()
}

// loadPublished reads the copy for readers without privilege.
func (j *journal) loadPublished(cause error) {
	j.reader = true
	text, err := j.m.ReadFile(publishedPath)
	if err == nil {
		err = json.Unmarshal(text, &j.doc)
	}
	if err != nil {
		j.doc = document{}
		j.problem = fmt.Errorf("cannot read the journal: %w", cause)
	}
	if j.doc.Marks == nil {
		j.doc.Marks = map[Slot]*Mark{}
	}
}

// empty says that no journal was found, and nothing remembers one.
func (j *journal) empty() bool { return j.doc.Serial == 0 && j.doc.Update == nil }

// writable says why a changing verb cannot work, nil if it can.
func (j *journal) writable() error { return j.refused }

// save puts the document on storage, changed marks on the ESP first. mustCopy makes a failure there fatal: a chain is
// never made dirty without both.
func (j *journal) save(mustCopy bool) error {
	if j.refused != nil {
		return j.refused
	}
	j.doc.Folder, j.doc.Trial = j.where, j.doc.Update.trial()
	if same := j.doc.sameMarks(j.saved); !same || j.stale {
		if !same {
			j.doc.Serial++
		}
		err := error(nil) // JetPack 4 has neither UEFI nor an ESP: the journal is the only copy
		switch {
		case j.marks != nil:
			err = j.marks.Save(j.doc.marksDocument)
		case j.m.Exists(uefiFolder):
			err = fail.New(fail.Unavailable, "cannot copy the slots' marks: there is no usable ESP")
		}
		if err != nil && (mustCopy || errors.Is(err, device.ErrPowerCut)) {
			return err
		}
		j.marksAt, j.stale = err, err != nil
	}
	if err := j.store.Save(j.doc); err != nil {
		return err
	}
	j.saved = j.doc.marksDocument.clone()
	j.problem = nil
	return nil
}

// publish writes the copy for readers without privilege. Its loss is no failure of a verb.
func (j *journal) publish() {
	if text, err := json.Marshal(j.doc); err == nil {
		_ = j.m.ReplaceVolatile(publishedPath, append(text, '\n'), 0o644)
	}
}
