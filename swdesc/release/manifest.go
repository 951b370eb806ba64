package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// manifest is the JSON file of public guides to updates of Jetsons. Nobody maintains a definition; this is what they agree on.
type manifest struct {
	Version               string              `json:"version"`
	Description           string              `json:"description"`
	HardwareCompatibility []string            `json:"hardware_compatibility"`
	MinimumVersion        string              `json:"minimum_version"`
	Components            []manifestComponent `json:"components"`
	PreChecks             json.RawMessage     `json:"pre_checks"` // see checks.go
}

type manifestComponent struct {
	Name            string          `json:"name"` // for messages only
	Filename        string          `json:"filename"`
	SHA256          string          `json:"sha256"`
	Size            int64           `json:"size"`
	Type            string          `json:"type"` // tegra-bup or raw-image
	TargetPartition string          `json:"target_partition"`
	Compressed      json.RawMessage `json:"compressed"` // true, false, "zstd" or "none"
	zstd            bool
}

// parseManifest reads a manifest, and what is wrong in it by itself. The schema and tree are for whoever looks further.
func parseManifest(name string, src []byte) (manifest, *schema, syntax.Value, error) {
	var m manifest
	s := newSchema(name, "json")
	tree, err := syntax.ParseJSON(src)
	if err != nil {
		var place *syntax.Error
		if errors.As(err, &place) {
			err = fail.New(fail.Data, "cannot read manifest %s:%s: %s", name, place.Position, place.Problem)
		}
		return m, s, tree, err
	}
	s.check(tree, reflect.TypeOf(m), "")
	if err := s.err("read manifest"); err != nil {
		return m, s, tree, err
	}
	if err := json.Unmarshal(src, &m); err != nil {
		return m, s, tree, fail.New(fail.Data, "cannot read manifest %s: %w", name, err)
	}
	if m.Version == "" {
		s.add("version", "is missing or empty")
	}
	if len(m.Components) == 0 {
		s.add("components", "is missing: a manifest needs at least one")
	}
	for i := range m.Components {
		m.Components[i].check(s, fmt.Sprintf("components[%d]", i))
	}
	return m, s, tree, s.err("use manifest")
}

var hexDigest = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

func (c *manifestComponent) check(s *schema, at string) {
	switch {
	case c.Filename == "":
		s.add(at+".filename", "is missing or empty")
	case strings.Contains(c.Filename, "/") || c.Filename == "." || c.Filename == "..":
		s.add(at+".filename", "%q must be a file's name without folders", c.Filename)
	}
	if !hexDigest.MatchString(c.SHA256) {
		s.add(at+".sha256", "%q must be 64 hexadecimal digits", c.SHA256)
	}
	if c.Size <= 0 {
		s.add(at+".size", "= %d must be the file's size in bytes", c.Size)
	}
	switch kind := strings.Trim(string(c.Compressed), `"`); kind {
	case "", "false", "none":
	case "true", "zstd":
		c.zstd = true
	default:
		s.add(at+".compressed", "%q must be true, false, \"zstd\" or \"none\": devices decompress nothing else", kind)
	}
	if _, err := c.kind(); err != nil {
		s.add(at+"."+err.key, "%s", err.reason)
	}
}

type kindError struct{ key, reason string }

// slotless maps the names that guides give partitions to those that devices know: without a slot, because the device chooses it.
var slotless = map[string]string{
	"app": Rootfs, "app_a": Rootfs, "app_b": Rootfs, "a_app": Rootfs, "b_app": Rootfs,
	"rootfs": Rootfs, "rootfs_a": Rootfs, "rootfs_b": Rootfs, "system": Rootfs, "system_a": Rootfs, "system_b": Rootfs,
	"kernel": Kernel, "kernel_a": Kernel, "kernel_b": Kernel, "a_kernel": Kernel, "b_kernel": Kernel,
	"kernel-dtb": KernelDTB, "kernel-dtb_a": KernelDTB, "kernel-dtb_b": KernelDTB, "a_kernel-dtb": KernelDTB, "b_kernel-dtb": KernelDTB,
}

// kind returns the type of the component in a release.
func (c *manifestComponent) kind() (string, *kindError) {
	switch c.Type {
	case "tegra-bup":
		if c.TargetPartition != "" {
			return "", &kindError{"target_partition", fmt.Sprintf("%q does nothing for type tegra-bup", c.TargetPartition)}
		}
		return Firmware, nil
	case "raw-image":
		if kind := slotless[strings.ToLower(c.TargetPartition)]; kind != "" {
			return kind, nil
		}
		return "", &kindError{"target_partition", fmt.Sprintf("%q must be APP, kernel or kernel-dtb", c.TargetPartition)}
	}
	return "", &kindError{"type", fmt.Sprintf("%q must be tegra-bup or raw-image", c.Type)}
}
