package record_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/record"
)

const folder = "/var/state"

type document struct {
	N    int    `json:"n"`
	Text string `json:"text"`
}

// large makes a document of more than one sector, so that a torn write is torn.
func large(n int) document { return document{n, strings.Repeat(fmt.Sprint("<&>\u2028", n), 500)} }

func store(m *device.Machine, l record.Layout) *record.Store {
	return record.New(m, folder, "journal", l)
}

func save(t *testing.T, s *record.Store, d document) {
	t.Helper()
	if err := s.Save(d); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, s *record.Store) (document, uint64) {
	t.Helper()
	var d document
	n, err := s.Load(&d)
	if err != nil {
		t.Fatal(err)
	}
	return d, n
}

var layouts = map[string]record.Layout{"single": record.Single, "alternating": record.Alternating}

func TestSaveThenLoad(t *testing.T) {
	for name, layout := range layouts {
		m := device.New(t.TempDir())
		s := store(m, layout)
		if _, err := s.Load(&document{}); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, record.ErrTorn) {
			t.Errorf("%s: nothing: %v", name, err)
		}
		for n := 1; n <= 5; n++ {
			save(t, s, large(n))
			got, sequence := load(t, store(m, layout))
			if d := cmp.Diff(large(n), got); d != "" || sequence != uint64(n) {
				t.Errorf("%s: save %d: sequence %d %s", name, n, sequence, d)
			}
		}
		for _, p := range s.Paths() {
			if st, err := m.Stat(p); err != nil || st.Mode().Perm() != 0o644 {
				t.Errorf("%s: %s: %v, %v", name, p, st, err)
			}
		}
	}
}

// Whatever is no whole record of ours is torn, and never believed.
func TestLoadRefuses(t *testing.T) {
	m := device.New(t.TempDir())
	s := store(m, record.Single)
	save(t, s, large(1))
	whole, err := m.ReadFile(s.Paths()[0])
	if err != nil {
		t.Fatal(err)
	}
	foreign := record.New(m, folder, "marks", record.Single)
	if err := foreign.Save(large(1)); err != nil {
		t.Fatal(err)
	}
	other, err := m.ReadFile(foreign.Paths()[0])
	if err != nil {
		t.Fatal(err)
	}
	text := string(whole)
	for name, content := range map[string]string{
		"empty":             "",
		"half":              text[:len(text)/2],
		"zeros":             strings.Repeat("\x00", len(text)),
		"another document":  string(other),
		"another kind":      strings.Replace(string(other), `"marks"`, `"journal"`, 1),
		"another sequence":  strings.Replace(text, `"sequence":1`, `"sequence":9`, 1),
		"another format":    strings.Replace(text, `"format":1`, `"format":2`, 1),
		"another content":   strings.Replace(text, `"n":1`, `"n":2`, 1),
		"JSON of others":    `{"n":1,"text":""}`,
		"no object":         "[]",
		"null":              "null",
		"too large":         text + strings.Repeat(" ", 2<<20),
		"a second document": text + text,
	} {
		if err := os.WriteFile(m.Path(s.Paths()[0]), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		got := document{}
		_, err := s.Load(&got)
		if !errors.Is(err, record.ErrTorn) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), s.Paths()[0]) {
			t.Errorf("%s: %v", name, err)
		}
		if got != (document{}) {
			t.Errorf("%s: believed: %+v", name, got)
		}
		if err := s.Save(large(7)); err != nil {
			t.Errorf("%s: it cannot be replaced: %v", name, err)
		}
	}
}

func TestTornCopyBesideAWholeOne(t *testing.T) {
	for torn := range 2 {
		m := device.New(t.TempDir())
		s := store(m, record.Alternating)
		save(t, s, large(1))
		save(t, s, large(2))
		if err := os.WriteFile(m.Path(s.Paths()[torn]), []byte("{"), 0o644); err != nil {
			t.Fatal(err)
		}
		got, _ := load(t, s)
		whole := s.Paths()[1-torn]
		before, err := m.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		save(t, s, large(3))
		if after, _ := m.ReadFile(whole); string(after) != string(before) {
			t.Errorf("copy %d is torn, and the whole one was overwritten", torn)
		}
		if next, _ := load(t, s); next != large(3) || got.N == 0 {
			t.Errorf("copy %d is torn: %d, then %d", torn, got.N, next.N)
		}
	}
}

// Names can be exchanged by a repair tool. The newest is still the newest, and not the one that is overwritten.
func TestSwappedCopies(t *testing.T) {
	m := device.New(t.TempDir())
	s := store(m, record.Alternating)
	save(t, s, large(1))
	save(t, s, large(2))
	a, b := m.Path(s.Paths()[0]), m.Path(s.Paths()[1])
	for _, move := range [][2]string{{a, a + ".x"}, {b, a}, {a + ".x", b}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := load(t, s); got != large(2) {
		t.Fatalf("document %d", got.N)
	}
	// Cut within the next save: document 2 must survive.
	fault := &device.Fault{CutAt: 2, Loss: device.LoseUnsynced}
	if err := store(m.WithFault(fault), record.Alternating).Save(large(3)); !errors.Is(err, device.ErrPowerCut) {
		t.Fatal(err)
	}
	if got, _ := load(t, s); got != large(2) {
		t.Errorf("after the cut: document %d, want 2", got.N)
	}
	save(t, s, large(4))
	if got, _ := load(t, s); got != large(4) {
		t.Errorf("document %d, want 4", got.N)
	}
}

// Cut at every change, with every loss: what is read is the old document or the new one, and the next save works.
func TestCuts(t *testing.T) {
	cuts := 0
	for name, layout := range layouts {
		for _, loss := range device.Losses {
			if layout == record.Single && (loss == device.RenameBoth || loss == device.RenameNeither) {
				continue // what FAT does to a rename; a single file is for file systems whose rename is atomic
			}
			for saved := range 4 {
				for cut := 1; ; cut++ {
					m := device.New(t.TempDir())
					if err := os.MkdirAll(m.Path("/var"), 0o755); err != nil {
						t.Fatal(err)
					}
					for n := range saved {
						save(t, store(m, layout), large(n+1))
					}
					fault := &device.Fault{CutAt: cut, Loss: loss}
					err := store(m.WithFault(fault), layout).Save(large(saved + 1))
					if !fault.WasCut() {
						if err != nil {
							t.Fatal(err)
						}
						break
					}
					cuts++
					var got document
					_, err = store(m, layout).Load(&got)
					switch {
					case saved == 0 && err != nil: // the first one may be lost, or torn, and says so
					case err != nil:
						t.Errorf("%s, %s, %d saved, cut at %d: %v", name, loss, saved, cut, err)
					case got != large(saved) && got != large(saved+1):
						t.Errorf("%s, %s, %d saved, cut at %d: document %d", name, loss, saved, cut, got.N)
					}
					save(t, store(m, layout), large(9))
					if got, _ := load(t, store(m, layout)); got != large(9) {
						t.Errorf("%s, %s, %d saved, cut at %d: the next save is lost", name, loss, saved, cut)
					}
				}
			}
		}
	}
	t.Logf("%d cuts", cuts)
}

func TestUnreadableIsNotTorn(t *testing.T) {
	m := device.New(t.TempDir())
	s := store(m, record.Alternating)
	if err := os.MkdirAll(m.Path(s.Paths()[0]), 0o755); err != nil { // a folder in its place: a read error, not a torn copy
		t.Fatal(err)
	}
	if _, err := s.Load(&document{}); err == nil || errors.Is(err, record.ErrTorn) || errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// FuzzLoad: two files of any content. Load never panics, believes nothing without its checksum, and a save afterwards
// is what is read.
func FuzzLoad(f *testing.F) {
	m := device.New(f.TempDir())
	s := store(m, record.Alternating)
	var copies [][]byte
	for n := range 3 {
		if err := s.Save(document{n + 1, "seed"}); err != nil {
			f.Fatal(err)
		}
		b, err := m.ReadFile(s.Paths()[n%2])
		if err != nil {
			f.Fatal(err)
		}
		copies = append(copies, b)
	}
	f.Add(copies[0], copies[1])
	f.Add(copies[1], copies[0])
	f.Add(copies[2], copies[2])
	f.Add(copies[0][:20], copies[1])
	f.Add([]byte(nil), []byte("null"))
	f.Add([]byte(`{"tega-ota":"journal"}`), []byte(strings.Replace(string(copies[0]), "seed", "weed", 1)))
	valid := map[document]bool{{1, "seed"}: true, {2, "seed"}: true, {3, "seed"}: true}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		m := device.New(t.TempDir())
		s := store(m, record.Alternating)
		for i, content := range [][]byte{a, b} {
			if err := os.MkdirAll(filepath.Dir(m.Path(s.Paths()[i])), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(m.Path(s.Paths()[i]), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var got document
		before, err := s.Load(&got)
		if err != nil && !errors.Is(err, record.ErrTorn) {
			t.Fatal(err)
		}
		if err == nil && !valid[got] {
			t.Fatalf("believed %+v", got)
		}
		save(t, s, document{100, "new"})
		if got, after := load(t, s); got != (document{100, "new"}) || after <= before {
			t.Fatalf("read %+v, sequence %d after %d", got, after, before)
		}
	})
}
