// Package record keeps one small JSON document on storage so that a power cut never loses it and a torn one is never believed.
//
// A document lies in a checked envelope: format, sequence number, SHA-256. On a file system with atomic rename it is
// one file; on FAT, which has none, two files take turns, so that the older copy is whole while the newer one is
// written.
package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/tegra-ota/tegra-ota/internal/device"
)

// ErrTorn says that there is something, and it is not a whole document of ours.
var ErrTorn = errors.New("not a whole record")

// sizeLimit bounds what is read: a journal is a few kilobytes.
const sizeLimit = 1 << 20

// Layout says how a Store survives a power cut.
type Layout int

// The layouts.
const (
	Single      Layout = iota // NAME.json, replaced by rename
	Alternating               // NAME-0.json and NAME-1.json in turn, for FAT
)

// Store is where one document lives.
type Store struct {
	m      *device.Machine
	folder string
	name   string
	layout Layout
}

// New returns the store of the document name in a folder of the device.
func New(m *device.Machine, folder, name string, layout Layout) *Store {
	return &Store{m: m, folder: folder, name: name, layout: layout}
}

// Paths lists the files the document may lie in.
func (s *Store) Paths() []string {
	if s.layout == Single {
		return []string{path.Join(s.folder, s.name+".json")}
	}
	return []string{path.Join(s.folder, s.name+"-0.json"), path.Join(s.folder, s.name+"-1.json")}
}

type envelope struct {
	Kind     string          `json:"tegra-ota"` // the document's name: a foreign JSON file is not mistaken for ours
	Format   int             `json:"format"`
	Sequence uint64          `json:"sequence"`
	SHA256   string          `json:"sha256"` // of kind, sequence and content
	Content  json.RawMessage `json:"content"`
}

// format is the envelope's version; another one is reported, never guessed.
const format = 1

func (e *envelope) sum() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%d\n%d\n", e.Kind, e.Format, e.Sequence)
	h.Write(e.Content)
	return hex.EncodeToString(h.Sum(nil))
}

// Load reads the newest whole copy into document and returns its sequence number. Errors: fs.ErrNotExist when there is
// none; ErrTorn, naming the file, when there are files and no copy is whole. A torn copy beside a whole one is what a
// power cut leaves on FAT and is not an error.
func (s *Store) Load(document any) (uint64, error) {
	var best *envelope
	var torn error
	for _, p := range s.Paths() {
		e, err := s.read(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, ErrTorn):
			torn = err
		case err != nil:
			return 0, err
		case best == nil || e.Sequence > best.Sequence:
			best = e
		}
	}
	if best == nil {
		if torn != nil {
			return 0, torn
		}
		return 0, fmt.Errorf("cannot read %s: %w", s.Paths()[0], fs.ErrNotExist)
	}
	if err := json.Unmarshal(best.Content, document); err != nil {
		return 0, fmt.Errorf("cannot read %s: %w: %w", s.Paths()[0], ErrTorn, err)
	}
	return best.Sequence, nil
}

func (s *Store) read(p string) (*envelope, error) {
	st, err := s.m.Stat(p)
	if err != nil {
		return nil, err
	}
	if st.Size() > sizeLimit {
		return nil, fmt.Errorf("cannot read %s: %w: %d bytes", p, ErrTorn, st.Size())
	}
	b, err := s.m.ReadFile(p)
	if err != nil {
		return nil, err
	}
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w: %w", p, ErrTorn, err)
	}
	if e.Kind != s.name {
		return nil, fmt.Errorf("cannot read %s: %w: it is not tegra-ota's %s", p, ErrTorn, s.name)
	}
	if e.Format != format {
		return nil, fmt.Errorf("cannot read %s: %w: format %d, this version reads %d", p, ErrTorn, e.Format, format)
	}
	if e.SHA256 != e.sum() {
		return nil, fmt.Errorf("cannot read %s: %w: the checksum differs", p, ErrTorn)
	}
	return &e, nil
}

// Save puts document on storage. After a power cut Load answers the old document or the new one.
func (s *Store) Save(document any) error {
	content, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", s.Paths()[0], err)
	}
	var sequence uint64
	target := s.Paths()[0]
	for i, p := range s.Paths() {
		if e, err := s.read(p); err == nil && e.Sequence > sequence {
			sequence = e.Sequence
			if s.layout == Alternating {
				// The copy that is not the newest whole one is overwritten, whatever it is.
				target = s.Paths()[1-i]
			}
		}
	}
	e := envelope{Kind: s.name, Format: format, Sequence: sequence + 1, Content: content}
	e.SHA256 = e.sum()
	b, err := json.Marshal(&e)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", target, err)
	}
	b = append(bytes.TrimSpace(b), '\n')
	if err := s.m.MkdirAll(s.folder, 0o755); err != nil {
		return fmt.Errorf("cannot write %s: %w", target, err)
	}
	if s.layout == Single {
		if err := s.m.ReplaceFile(target, b, 0o644); err != nil {
			return fmt.Errorf("cannot write %s: %w", target, err)
		}
		return nil
	}
	return s.overwrite(target, b)
}

// overwrite writes one of two alternating copies in place: FAT's rename is not atomic on a power cut, and the other copy is whole.
func (s *Store) overwrite(p string, b []byte) error {
	f, err := s.m.Create(p, 0o644)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", p, err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = s.m.SyncFS(s.folder)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", p, err)
	}
	return nil
}
