package check

import (
	"slices"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// judge returns the problems of the description, of the order of the members and of the members.
func (a *archive) judge() problem.List {
	a.judgeOrder()
	c := a.description
	if c == nil {
		return a.problems
	}
	named := map[string]bool{}
	for _, it := range c.items {
		if it.Filename == "" || it.section == partitions {
			continue
		}
		named[it.Filename] = true
		if f := a.found[it.Filename]; f != nil {
			c.judgeMember(it, f)
		} else if !placeholders.MatchString(it.Filename) {
			c.add(it.Position, problem.Errorf(checkMemberMissing,
				"%q is not in the archive, and SWUpdate fails when it has installed the others", it.Filename).
				Then("add the file, or remove its entry"))
		}
	}
	for _, m := range a.contents.Members {
		if !named[m.Name] && m.Name != descriptionName && m.Name != signatureName {
			a.problems = append(a.problems, problem.Warnf(checkMemberUnused, "no entry of sw-description names it, and SWUpdate skips it").
				Then("remove it, or add its entry").At(m.Name))
		}
		if m.Name == signatureName && named[m.Name] || m.Name == descriptionName && named[m.Name] {
			a.problems = append(a.problems, problem.Errorf("filename",
				"an entry of sw-description names it, and SWUpdate does not hand it out").
				Then("give the file another name").At(m.Name))
		}
	}
	return append(c.problems, a.problems...)
}

// judgeOrder: SWUpdate reads sw-description and then, if it is built with signatures, sw-description.sig (core/stream_interface.c,
// extract_files), and nothing may stand in between.
func (a *archive) judgeOrder() {
	members := a.contents.Members
	if members[0].Name != descriptionName {
		a.problems = append(a.problems, problem.Errorf(checkOrder,
			"the first member is %q, and SWUpdate wants %s there", members[0].Name, descriptionName).
			Then("pack %s first", descriptionName).At(members[0].Name))
		return
	}
	switch {
	case !a.options.Signed || len(members) > 1 && members[1].Name == signatureName:
	case a.contents.Signature == nil:
		a.problems = append(a.problems, problem.Errorf(checkSignatureMissing,
			"%s is missing, and SWUpdate that wants signatures refuses the update", signatureName).
			Then("sign sw-description, and pack the signature as the second member").At(descriptionName))
	default:
		a.problems = append(a.problems, problem.Errorf(checkSignatureOrder,
			"the second member is %q, and SWUpdate wants %s there", members[1].Name, signatureName).
			Then("pack %s right behind %s", signatureName, descriptionName).At(members[1].Name))
	}
}

// judgeMember compares an entry with its member.
func (c *checker) judgeMember(it *item, f *found) {
	if it.hasDigest() && !strings.EqualFold(it.SHA256, f.SHA256) {
		c.add(it.Position, problem.Errorf(checkHashWrong,
			"%s has the SHA-256 %s, and sw-description says %s", f.Name, f.SHA256, strings.ToLower(it.SHA256)).
			Then("describe, sign and pack again after the last change of a file"))
	}
	// SWUpdate 2026.05 compares; earlier ones do not read "size" here (core/installer.c, check_if_required).
	if it.Size != 0 && it.Size != f.Size {
		c.add(it.Position, problem.Errorf(checkSizeWrong, "%s has %d bytes, and sw-description says %d", f.Name, f.Size, it.Size).
			Then("write the size as stored, or leave it out"))
	}
	if it.Encrypted == "" {
		c.judgeCompression(it, f)
	}
	if m := f.measured; m != nil && slices.Contains(m.entries, it) {
		c.judgePlain(it, m)
	}
}

// judgeCompression compares what is declared with how the file begins.
func (c *checker) judgeCompression(it *item, f *found) {
	is := compressionOf(f.start[:])
	switch {
	case it.Compressed == "" && is != "" && writesAsIs(it.kind()):
		c.add(it.Position, problem.Warnf("compressed", "%s is compressed (%s), and without compressed = %q it is written as it is",
			f.Name, is, is).Then("write compressed = %q", is))
	case (it.Compressed == "zstd" || it.Compressed == "zlib") && is != it.Compressed && !skippable(it.Compressed, f.start[:]):
		c.add(it.Position, problem.Errorf("compressed",
			"%s is not what compressed = %q says, and SWUpdate fails while it writes", f.Name, it.Compressed).
			Then("compress it (SWUpdate's zlib is gzip), or remove compressed"))
	}
}

// skippable says whether a zstd file begins with a skippable frame (RFC 8878, 3.1.2).
func skippable(compressed string, start []byte) bool {
	return compressed == "zstd" && start[0]&0xF0 == 0x50 && string(start[1:]) == "\x2A\x4D\x18"
}

// writesAsIs says whether a handler makes a partition or volume of the very bytes of a file.
func writesAsIs(kind string) bool {
	return kind == "raw" || kind == "gptpart" || kind == "ubivol" || kind == "flash"
}

// judgePlain compares what a member is behind its compression with what the device will be told.
func (c *checker) judgePlain(it *item, m *measurement) {
	switch {
	case m.corrupt != nil:
		c.add(it.Position, problem.Errorf("compressed", "%s cannot be decompressed: %v", it.Filename, m.corrupt).Then("compress it again"))
	case m.invalid != nil:
		c.add(it.Position, problem.Errorf("firmware", "%s is no firmware that a device takes: %s", it.Filename, fail.Reason(m.invalid)).
			Then("build the capsule again"))
	case m.bare:
		c.add(it.Position, problem.Warnf("firmware", "%s is a bare BUP, which only Xavier with L4T R32 takes", it.Filename).
			Then("wrap it with GenerateCapsule (meta-tegra: tegra-uefi-capsules)"))
	case it.kind() == tegraImage:
		c.judgeImage(it, m)
	}
}

func (c *checker) judgeImage(it *item, m *measurement) {
	size, ok := it.announced()
	digest, _ := it.Property("sha256")
	wrong := func(format string, args ...any) {
		c.add(it.Position, problem.Errorf(checkPlainWrong, "%s, decompressed, "+format, append([]any{it.Filename}, args...)...).
			Then("write size and SHA-256 of the plain image into properties"))
	}
	switch {
	case !ok:
	case m.more:
		wrong("has more than %d bytes, and the property size says %d", m.size, size)
	case m.size != size:
		wrong("has %d bytes, and the property size says %d", m.size, size)
	case isDigest(digest) && !strings.EqualFold(digest, m.digest):
		wrong("has the SHA-256 %s, and the property sha256 says %s", m.digest, strings.ToLower(digest))
	}
}
