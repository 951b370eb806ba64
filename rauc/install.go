package rauc

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Install is what RAUC says to the pre-install and post-install handlers of system.conf about the bundle it installs
// (RAUC 1.8, run): for each slot of the target group, whether the bundle has an image for it.
type Install struct {
	Bundle string // where the bundle is mounted
	Config string // system.conf
	images []image
}

// image is one image of the bundle, for one slot.
type image struct {
	name     string // of the file, relative to the bundle; "" without one
	digest   string
	bootname string // "" for a slot that has a parent
}

// ReadInstall reads the environment of a handler. The error is Usage if it is not that of one.
func ReadInstall(getenv func(string) string) (Install, error) {
	in := Install{Bundle: getenv("RAUC_BUNDLE_MOUNT_POINT"), Config: getenv("RAUC_SYSTEM_CONFIG")}
	if in.Bundle == "" {
		return in, fail.New(fail.Usage, "cannot tell what is installed: RAUC_BUNDLE_MOUNT_POINT is not set").
			Then("let RAUC run this: it is a handler of system.conf")
	}
	for _, n := range strings.Fields(getenv("RAUC_TARGET_SLOTS")) {
		// With an install hook an image need not have a file.
		if name := getenv("RAUC_IMAGE_NAME_" + n); name != "" || getenv("RAUC_IMAGE_CLASS_"+n) != "" {
			in.images = append(in.images, image{name: name, digest: getenv("RAUC_IMAGE_DIGEST_" + n), bootname: getenv("RAUC_SLOT_BOOTNAME_" + n)})
		}
	}
	return in, nil
}

// SwitchesSlots says that the bundle has an image for a slot with a bootname. RAUC then marks that slot bad before it
// writes, and makes it the primary one behind the last image; else it does neither (RAUC 1.8 and 1.15.2, run).
func (in Install) SwitchesSlots() bool { return len(in.Bootnames()) > 0 }

// Bootnames are those of the slots that the bundle has images for.
func (in Install) Bootnames() []string {
	var names []string
	for _, i := range in.images {
		if i.bootname != "" {
			names = append(names, i.bootname)
		}
	}
	return names
}

// Capsule is a UEFI capsule in the bundle.
type Capsule struct {
	Name string
	io.ReadCloser
}

// CapsuleNames are the images of the bundle that are UEFI capsules, whatever their names and slots.
func (in Install) CapsuleNames() ([]string, error) {
	var names []string
	for _, i := range in.images {
		if i.name == "" {
			continue
		}
		is, err := SlotHook{Bundle: in.Bundle, Image: i.name}.isCapsule()
		if err != nil {
			return nil, err
		}
		if is {
			names = append(names, i.name)
		}
	}
	return names, nil
}

// Capsules opens them. Close them.
func (in Install) Capsules() ([]Capsule, error) {
	names, err := in.CapsuleNames()
	if err != nil {
		return nil, err
	}
	var found []Capsule
	for _, i := range in.images {
		if !slices.Contains(names, i.name) {
			continue
		}
		f, err := SlotHook{Bundle: in.Bundle, Image: i.name, Digest: i.digest}.Open()
		if err != nil {
			for _, c := range found {
				_ = c.Close()
			}
			return nil, err
		}
		found = append(found, Capsule{Name: i.name, ReadCloser: f})
	}
	return found, nil
}

// isCapsule looks at the first bytes of an image: a capsule, or the bare BUP that JetPack 4 takes in its place.
func (h SlotHook) isCapsule() (bool, error) {
	f, err := openWithin(h.Bundle, h.path())
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, 16) // a GUID
	if _, err := io.ReadFull(f, head); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		return false, fail.New(fail.IO, "cannot read image %s: %w", f.Name(), err)
	}
	return capsule.IsCapsule(head) || bup.IsBUP(head), nil
}

// path is where the image lies: RAUC gives handlers a name in the bundle and slot hooks an absolute path.
func (h SlotHook) path() string {
	if filepath.IsAbs(h.Image) {
		return h.Image
	}
	return filepath.Join(h.Bundle, h.Image)
}

// ActivatesInstalled says what system.conf says of activate-installed: whether RAUC switches to what it installed. Where
// that cannot be read it does, which is RAUC's default.
func (in Install) ActivatesInstalled() bool {
	text, err := os.ReadFile(in.Config)
	if err != nil {
		return true
	}
	group, answer := "", true
	for _, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			group = strings.TrimSuffix(strings.TrimPrefix(line, "["), "]")
			continue
		}
		key, value, is := strings.Cut(line, "=")
		if is && group == "system" && strings.TrimSpace(key) == "activate-installed" {
			value = strings.TrimSpace(value)
			answer = value != "false" && value != "0"
		}
	}
	return answer
}
