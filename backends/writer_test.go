package backends_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sort"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// chainWriter is the least that writes a chain by itself: the images of another device, mb1 invalid first and written last. The real
// ones have tests of their own; here it is Control that is judged.
type chainWriter struct {
	m      *device.Machine
	source string // folder of the images
	fail   error  // instead of the last image
	equal  bool   // the chain holds it all
	moves  bool   // it makes the slot that it wrote the active one, as nv_update_engine does
	target backends.Slot
	kept   string // where the payload lies meanwhile
}

const writerVersion = capsule.Version(36<<16 | 4<<8 | 3)

// writing gives the device such a writer.
func (d *ruleDevice) writing(w chainWriter) {
	d.t.Helper()
	donor := makeRule(d.t, func(o *virtual.CreateOptions) { o.L4T = "36.4.3" })
	w.source = donor.path("qspi/A")
	d.stager = func(m *device.Machine) backends.FirmwareStager { c := w; c.m = m; return writerStager{&c} }
}

// writes installs firmware with the writer.
func (d *ruleDevice) writes(id string) (backends.Stage, error) {
	d.t.Helper()
	_, c := d.control()
	return c.Stage(context.Background(), id, bytes.NewReader([]byte("a payload")), false)
}

// writerStager hands the writer out.
type writerStager struct{ w *chainWriter }

func (s writerStager) Method() backends.Method     { return backends.ByMTD }
func (s writerStager) Ready(context.Context) error { return nil }
func (s writerStager) Open(context.Context, io.Reader) (backends.Candidate, error) {
	return s.w, nil
}
func (s writerStager) Pending(context.Context, *backends.Staged) (backends.Pending, error) {
	return backends.Pending{}, nil
}
func (s writerStager) Verify(context.Context, backends.Staged) error { return errNothingToArm }
func (s writerStager) Arm(context.Context, backends.Staged) error    { return errNothingToArm }
func (s writerStager) Disarm(context.Context, backends.Staged, bool) error {
	return errNothingToArm
}
func (s writerStager) Discard(context.Context, backends.Staged) error { return nil }
func (s writerStager) DiscardIncomplete(context.Context) error        { return nil }

var errNothingToArm = errors.New("there is nothing to arm")

func (w *chainWriter) Version() capsule.Version     { return writerVersion }
func (w *chainWriter) Warnings() []string           { return nil }
func (w *chainWriter) Verify(context.Context) error { return nil }
func (w *chainWriter) Stage(context.Context) (backends.Staged, error) {
	return backends.Staged{}, errNothingToArm
}
func (w *chainWriter) Discard(context.Context) error { return w.m.Remove(w.kept) }

func (w *chainWriter) Receive(_ context.Context, folder string, target backends.Slot) (backends.Received, error) {
	w.target = target
	w.kept = filepath.Join(folder, "firmware.bup")
	err := w.m.ReplaceFile(w.kept, []byte("a payload"), 0o600)
	return backends.Received{Staged: backends.Staged{Size: 9, SHA256: "of the payload", Version: writerVersion}, Nothing: w.equal}, err
}

func (w *chainWriter) Write(context.Context) (backends.Written, error) {
	names, err := w.names()
	if err != nil {
		return backends.Written{}, err
	}
	if err := w.image("mb1", make([]byte, 96)); err != nil {
		return backends.Written{}, err
	}
	for _, name := range names {
		if name == "mb1" {
			continue
		}
		if err := w.copied(name); err != nil {
			return backends.Written{}, err
		}
	}
	if w.fail != nil {
		return backends.Written{}, w.fail
	}
	if err := w.copied("mb1"); err != nil || !w.moves {
		return backends.Written{Notes: []string{"all of it"}}, err
	}
	return backends.Written{}, w.m.Change("make the slot active", func() error {
		next := "sys/firmware/efi/efivars/BootChainFwNext-" + rulePublic
		return os.WriteFile(w.m.Path(next), []byte{7, 0, 0, 0, byte(w.target.Index()), 0, 0, 0}, 0o644)
	})
}

func (w *chainWriter) names() ([]string, error) {
	entries, err := os.ReadDir(w.source)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	sort.Strings(names)
	return names, nil
}

func (w *chainWriter) copied(name string) error {
	content, err := os.ReadFile(filepath.Join(w.source, name))
	if err != nil {
		return err
	}
	return w.image(name, content)
}

// image writes a place in the flash: what has no file system under it is on storage at once.
func (w *chainWriter) image(name string, content []byte) error {
	return w.m.Change("write chain "+string(w.target)+" "+name, func() error {
		return os.WriteFile(w.m.Path(filepath.Join("qspi", string(w.target), name)), content, 0o644)
	})
}
