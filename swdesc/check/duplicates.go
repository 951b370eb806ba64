package check

import "github.com/tegra-ota/tegra-ota/swdesc/problem"

// checkDuplicates looks for entries of one view that are in each other's way because they name the same member. That alone is
// fine: one file may go to two places.
func (c *checker) checkDuplicates(v *view) {
	first := map[string]*item{}
	for _, it := range v.items {
		if it.Filename == "" || it.section == partitions {
			continue
		}
		before := first[it.Filename]
		switch {
		case before == nil:
			first[it.Filename] = it
		case (before.section == scripts) != (it.section == scripts):
			// core/stream_interface.c, extract_files: the first list that wants a member gets it.
			c.add(it.Position, problem.Errorf("duplicate",
				"%q is also the filename of an entry in %s: SWUpdate gives a member to images and files or to scripts, not to both",
				it.Filename, before.section).Then("store a second member of another name"))
		case before.InstalledDirectly || it.InstalledDirectly:
			// core/installer.c, check_if_required.
			c.add(it.Position, problem.Errorf("duplicate",
				"%q is the filename of two entries, and what is installed directly can go to one only", it.Filename).
				Then("remove installed-directly"))
		case before.target() == it.target():
			c.add(it.Position, problem.Warnf("duplicate", "%q is installed twice to the same place", it.Filename).
				Then("remove one of the two entries"))
		}
	}
}

// target is where an entry goes.
func (it *item) target() [7]string {
	partition, _ := it.Property("partition")
	return [7]string{it.kind(), it.Device, it.Volume, it.MTDName, it.Path, it.Offset, partition}
}

// checkUnused looks for what an entry lacks so that its handler can do its work, and for what the handler does not look at.
func (c *checker) checkUnused(it *item) {
	if it.Hook != "" {
		return // it may set what is missing
	}
	lacks := func(attribute, reason string) {
		c.add(it.Position, problem.Errorf("incomplete", "an entry of type %s needs %s: %s", it.kind(), attribute, reason).
			Then("write %s", attribute))
	}
	switch kind := it.kind(); {
	case it.section == partitions && it.Device == "":
		lacks("device", "SWUpdate refuses the list of partitions")
	case kind == "ubipartition" && it.section == partitions && it.Name == "":
		lacks("name", "SWUpdate refuses the list of partitions")
	case kind == "raw" && it.Device == "":
		lacks("device", "there is nothing to open")
	case kind == "rawfile" && it.Path == "":
		lacks("path", "there is nothing to write")
	case mounts(kind) && it.Device != "" && it.Filesystem == "":
		// handlers/raw_handler.c and archive_handler.c mount only if both are there.
		c.add(it.Position, problem.Warnf("ignored", "device %q is not mounted without filesystem: %s goes into the running system",
			it.Device, it.what()).Then("write filesystem, or remove device"))
	}
}

// mounts says whether a handler writes into a file system that it mounts if it is told to.
func mounts(kind string) bool { return kind == "rawfile" || kind == "archive" || kind == "tar" }
