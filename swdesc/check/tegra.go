package check

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// tegra-ota's own types (handlers/swupdate/swupdate_handlers.lua).
const (
	tegraImage    = "tegra-image"
	tegraBUP      = "tegra-bup"
	tegraActivate = "tegra-activate"
)

// tegraProperties are those that the device's glue takes; it refuses an entry with any other.
var tegraProperties = map[string][]string{
	tegraImage:    {"partition", "size", "sha256", "update"},
	tegraBUP:      {"update"},
	tegraActivate: {"update"},
}

// tegraPartitions are the names that tegra-image takes, without a slot: the device chooses it.
var tegraPartitions = []string{"APP", "kernel", "kernel-dtb"}

func tegraType(kind string) bool { return tegraProperties[kind] != nil }

// checkTegraEntry looks at one entry of our types.
func (c *checker) checkTegraEntry(it *item) {
	known := tegraProperties[it.kind()]
	if known == nil {
		return
	}
	for _, p := range it.Properties {
		switch {
		case !slices.Contains(known, p.Name):
			c.add(it.Position, problem.Errorf("tegra-properties", "%s knows no property %q and refuses the update", it.kind(), p.Name).
				Then("known are %s", strings.Join(known, ", ")))
		case p.List:
			c.add(it.Position, problem.Errorf("tegra-properties", "%s takes one value of %q, not a list, and refuses the update",
				it.kind(), p.Name).
				Then("write one string"))
		}
	}
	if it.InstallIfDifferent || it.InstallIfHigher {
		c.add(it.Position, problem.Errorf("install-if", "install-if-different and install-if-higher compare with the slot that runs, "+
			"and %s is about the other one, which would keep something older", it.kind()).
			Then("remove them: tegra-bup itself skips what the other chain holds"))
	}
	if it.kind() == tegraImage {
		c.checkTegraImage(it)
	}
	for _, s := range []struct{ name, value string }{
		{"device", it.Device}, {"path", it.Path}, {"volume", it.Volume}, {"mtdname", it.MTDName}, {"offset", it.Offset},
	} {
		if s.value != "" {
			c.add(it.Position, problem.Warnf("ignored",
				"%s does not look at %s: the device finds the partition of the slot that does not run",
				it.kind(), s.name).Then("remove it"))
		}
	}
}

// checkTegraImage: a stream's end proves nothing, so the device refuses one without size and digest of the plain image.
func (c *checker) checkTegraImage(it *item) {
	for _, name := range []string{"partition", "size", "sha256"} {
		value, there := it.Property(name)
		switch {
		case !there || value == "":
			c.add(it.Position, problem.Errorf("tegra-properties", "tegra-image needs the property %q and refuses a stream without", name).
				Then(`write properties: { partition = "APP"; size = "BYTES"; sha256 = "..."; } of the plain image`))
		case placeholders.MatchString(value) || strings.HasPrefix(value, "@"):
		case name == "partition" && !slices.Contains(tegraPartitions, value):
			c.add(it.Position, problem.Errorf("tegra-properties", "tegra-image refuses partition %q: the device chooses the slot", value).
				Then("write %s", strings.Join(tegraPartitions, ", or ")))
		case name == "size" && !isSize(value):
			c.add(it.Position, problem.Errorf("tegra-properties", "tegra-image refuses size %q, which is no number of bytes", value).
				Then("write the size of the plain image in decimal"))
		case name == "size" && it.tooLarge():
			c.add(it.Position, problem.Errorf("tegra-properties", "tegra-image has no partition for %s bytes", value).
				Then("write the size of the plain image"))
		case name == "sha256" && !isDigest(value):
			c.add(it.Position, problem.Errorf("tegra-properties",
				"tegra-image refuses the property sha256 %.80q, which is not 64 hexadecimal digits", value).
				Then("write the SHA-256 of the plain image"))
		}
	}
}

func isSize(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n > 0
}

// checkTegra looks at our entries of one view together. Their order is no problem: images and capsules are only staged, each by
// itself, whether they are streamed in the order of the archive or installed in that of sw-description, and scripts run after both.
func (c *checker) checkTegra(v *view) {
	var all []*item
	var install, activate *item
	seen := map[string]*item{}
	for _, it := range v.items {
		kind := it.kind()
		if !tegraType(kind) {
			continue
		}
		all = append(all, it)
		switch {
		case kind == tegraActivate && it.section == scripts:
			activate = it
		case kind != tegraActivate && install == nil:
			install = it
		}
		c.checkTwice(seen, it)
	}
	if len(all) == 0 {
		return
	}
	if install != nil && activate == nil {
		c.add(install.Position, problem.Errorf("activate-missing", "%s has no script of type tegra-activate: nothing would be switched, "+
			"and the next boot drops what was installed", v.name()).
			Then(`add { filename = "activate"; type = "tegra-activate"; ... } to scripts`))
	}
	c.checkUpdateID(all)
	if _, ok := v.has(func(n *description.Node) bool { return len(n.BootEnv) > 0 }, "bootenv"); ok {
		c.add(all[0].Position, problem.Warnf("bootenv", "%s also sets bootenv: tegra-activate has switched before those are written, "+
			"and a Jetson with UEFI does not read them", v.name()).Then("remove bootenv, unless something of yours reads it"))
	}
}

// checkTwice: the second image of a partition, and the second capsule, replaces the first.
func (c *checker) checkTwice(seen map[string]*item, it *item) {
	if it.kind() == tegraActivate || it.Hook != "" {
		return
	}
	partition, _ := it.Property("partition")
	key := it.kind() + " " + partition
	if before := seen[key]; before != nil && before != it {
		c.add(it.Position, problem.Warnf("duplicate", "a second %s for the same place replaces the first",
			strings.TrimSpace(key)).Then("remove one of the two entries"))
	}
	seen[key] = it
}

// checkUpdateID: an image whose property "update" differs from that of the entry before starts a new update, which drops what
// was installed already. None at all is allowed, and the device then tells updates apart by itself.
func (c *checker) checkUpdateID(all []*item) {
	want, _ := all[0].Property("update")
	for _, it := range all[1:] {
		got, _ := it.Property("update")
		if want != got {
			at, missing := it, got == ""
			if want == "" {
				at, missing = all[0], true
			}
			if missing {
				c.add(at.Position, problem.Errorf("update-id",
					"the entry for %s has no property \"update\" and others have one: parts would start over each other",
					at.what()).Then("write the same on all of them"))
			} else {
				c.add(at.Position, problem.Errorf("update-id",
					"property \"update\" is %.60q here and %.60q before: parts would start over each other", got, want).
					Then("write the same on all of them"))
			}
		}
	}
}
