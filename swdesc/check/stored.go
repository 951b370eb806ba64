package check

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// checkFilename looks at the name of the member.
func (c *checker) checkFilename(it *item) {
	if it.section == partitions {
		return
	}
	if it.Filename == "" {
		if it.section != scripts {
			c.add(it.Position, problem.Errorf("filename", "the entry has no filename, and SWUpdate skips it without a word").
				Then("write the name of a member of the .swu"))
		}
		return
	}
	if placeholders.MatchString(it.Filename) {
		return
	}
	if err := cpio.CheckName(it.Filename); err != nil {
		c.add(it.Position, problem.Errorf("filename", "no member of a .swu can be called %.80q: %v", it.Filename, err).
			Then("write the name of a member, which has no folder"))
	}
}

// checkStored looks at how a member is stored: its digest, compression and encryption.
func (c *checker) checkStored(it *item) {
	c.checkDigest(it)
	c.checkCompression(it)
	c.checkEncryption(it)
	if it.Size > cpio.MaxSize && it.section != partitions {
		c.add(it.Position, problem.Errorf("member-size", "size is %d, and a member of a .swu has at most %d bytes", it.Size,
			int64(cpio.MaxSize)).
			Then("store it compressed"))
	}
	if it.section == scripts && it.InstalledDirectly {
		// 2022.12 to 2026.05, core/stream_interface.c: the handler is called with an image, and the script is never unpacked.
		c.add(it.Position, problem.Errorf("installed-directly", "a script cannot be installed directly: SWUpdate fails").
			Then("remove installed-directly"))
	}
	if (it.InstallIfDifferent || it.InstallIfHigher) && (it.Name == "" || it.Version == "") && !tegraType(it.kind()) {
		c.add(it.Position, problem.Errorf("install-if", "without name and version SWUpdate compares nothing and always installs").
			Then("write name and version as in /etc/sw-versions"))
	}
}

// checkDigest: SWUpdate that is built with signatures refuses every entry without a SHA-256, unless its handler takes no data
// (core/parser.c, check_missing_hash). All zeros count as none (core/util.c, IsValidHash).
func (c *checker) checkDigest(it *item) {
	if strings.HasPrefix(it.SHA256, "@") || placeholders.MatchString(it.SHA256) || it.hasDigest() {
		return
	}
	switch with, known := it.withData(); {
	case it.SHA256 != "" && with:
		c.add(it.Position, problem.Errorf(checkHashMissing,
			"sha256 is %.80q and not 64 hexadecimal digits of a digest: SWUpdate takes it for none", it.SHA256).
			Then("write the SHA-256 of the stored file"))
	case c.options.Signed && with && !known:
		c.add(it.Position, problem.Warnf(checkHashMissing,
			"the entry for %s has no sha256, and nothing signs the file if type %q takes it so", it.what(), it.kind()).
			Then("write the SHA-256 of the stored file"))
	case c.options.Signed && with:
		c.add(it.Position, problem.Errorf(checkHashMissing,
			"the entry for %s has no sha256, and SWUpdate that wants signatures refuses the update", it.what()).
			Then("write the SHA-256 of the stored file"))
	}
}

// hasDigest says whether SWUpdate takes an entry's SHA-256 for one.
func (it *item) hasDigest() bool { return isDigest(it.SHA256) && strings.Trim(it.SHA256, "0") != "" }

// what names an entry in a sentence.
func (it *item) what() string {
	if it.Filename == "" {
		return "type " + it.kind()
	}
	return it.Filename
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32
}

// checkCompression: "zlib" and "zstd" are what 2022.12 takes; any other word is refused.
func (c *checker) checkCompression(it *item) {
	switch it.Compressed {
	case "", "zlib", "zstd":
	case "xz":
		c.add(it.Position, problem.Warnf("compressed", "compressed is %q, which SWUpdate before 2025.12 refuses", it.Compressed).
			Then("use zstd"))
	case "lz4":
		c.add(it.Position, problem.Warnf("compressed", "compressed is %q, which SWUpdate before 2026.05 refuses", it.Compressed).
			Then("use zstd"))
	default:
		if !placeholders.MatchString(it.Compressed) {
			c.add(it.Position, problem.Errorf("compressed", "compressed is %.40q, and SWUpdate refuses every word it does not know",
				it.Compressed).
				Then("write zstd or zlib"))
		}
	}
}

// ciphers are the names that SWUpdate 2025.12 to 2026.05 know (include/swupdate_aes.h).
var ciphers = []string{"aes-cbc", "aes-cbc-128", "aes-cbc-192", "aes-cbc-256", "aes-ctr-128", "aes-ctr-192", "aes-ctr-256"}

func (c *checker) checkEncryption(it *item) {
	if it.AESKey != "" {
		// The signature does not hide sw-description; SWUpdate can decrypt it as a whole, and then this text is no longer there.
		c.add(it.Position, problem.Warnf("encrypted", "the key stands in sw-description, where everybody who has the update reads it").
			Then("give the key to the devices, by SWUpdate's option -K"))
		if n := len(it.AESKey); !isHex(it.AESKey) || n != 32 && n != 48 && n != 64 {
			c.add(it.Position, problem.Errorf("encrypted", "aes-key is not 32, 48 or 64 hexadecimal digits, and SWUpdate ignores it").
				Then("remove it"))
		}
	}
	if it.IVT != "" && (len(it.IVT) != 32 || !isHex(it.IVT)) && !placeholders.MatchString(it.IVT) {
		c.add(it.Position, problem.Errorf("encrypted", "ivt is %.40q and not 32 hexadecimal digits: the device decrypts with another one",
			it.IVT).
			Then("write the initialization vector of the file"))
	}
	if it.Encrypted == "" {
		return
	}
	if !slices.Contains(ciphers, it.Encrypted) {
		c.add(it.Position, problem.Errorf("encrypted", "encrypted is %.40q, which is no cipher that SWUpdate knows", it.Encrypted).
			Then("write encrypted = true for AES-CBC"))
	}
	if it.IVT == "" {
		c.add(it.Position, problem.Warnf("encrypted",
			"without ivt SWUpdate takes the initialization vector of the key file, the same for every file").
			Then("encrypt with an initialization vector of its own and write it into ivt"))
	}
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}
