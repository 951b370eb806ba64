// Package capsule reads and writes the UEFI capsule that carries boot firmware to a Jetson: a firmware management
// (FMP) capsule with one payload, a PKCS#7 signature, and a BUP (package bup) behind a payload header.
//
// The layout is that of the UEFI specification 2.10, section 23.3 (EFI_FIRMWARE_MANAGEMENT_CAPSULE_HEADER and
// EFI_FIRMWARE_IMAGE_AUTHENTICATION), as GenerateCapsule of edk2's BaseTools writes it; the payload header is
// FMP_PAYLOAD_HEADER of edk2's FmpDevicePkg. All integers are little endian. The signature covers payload header, BUP
// and monotonic count, and not the outer headers: the image type, for one, is unsigned.
//
// Reading takes constant memory: the headers, a signature of at most MaxSignature bytes, and the BUP's entry table.
package capsule

import (
	"bytes"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/guid"
)

// MaxSignature is the largest PKCS#7 signature accepted, in bytes. Those of edk2's development keys have about 5 KiB.
const MaxSignature = 1 << 20

// Capsule flags (UEFI specification, 8.5.3).
const (
	FlagPersistAcrossReset  uint32 = 0x10000
	FlagPopulateSystemTable uint32 = 0x20000
	FlagInitiateReset       uint32 = 0x40000
)

// SupportAuthentication is the bit of Capsule.ImageCapsuleSupport that says that the payload is signed.
const SupportAuthentication uint64 = 1

var (
	capsuleGUID = guid.MustParse("6dcbd5ed-e82d-4c44-bda1-7194199ad92a") // EFI_FIRMWARE_MANAGEMENT_CAPSULE_ID_GUID
	pkcs7GUID   = guid.MustParse("4aafd29d-68df-49ee-8aa9-347d375665a7") // EFI_CERT_TYPE_PKCS7_GUID
)

// Sizes in bytes, and the fixed values that firmware looks for.
const (
	capsuleHeaderSize    = 32 // as written; 28 are in use
	minCapsuleHeaderSize = 28
	maxCapsuleHeaderSize = 4096
	fmpHeaderSize        = 16 // with one item offset
	authHeaderSize       = 8 + certHeaderSize
	certHeaderSize       = 24
	payloadHeaderSize    = 16
	payloadMagic         = "MSS1"

	certRevision = 0x0200
	certTypeGUID = 0x0EF1 // WIN_CERT_TYPE_EFI_GUID
)

// imageHeaderSize is the size of the image header by its version.
var imageHeaderSize = map[uint32]int{1: 32, 2: 40, 3: 48}

// Capsule is a parsed capsule.
type Capsule struct {
	// Size is the length of the file in bytes (CapsuleImageSize).
	Size  int64
	Flags uint32
	// HeaderVersion is that of the image header: 1, 2 or 3.
	HeaderVersion int
	// ImageType must be the device's, which ESRT tells as fw_class. It is not covered by the signature.
	ImageType  guid.GUID
	ImageIndex uint8
	// UpdateImageSize is the number of bytes behind the image header.
	UpdateImageSize uint32
	// HardwareInstance is 0 with an image header of version 1, ImageCapsuleSupport with one of version 1 or 2.
	HardwareInstance, ImageCapsuleSupport uint64
	// MonotonicCount is part of what is signed; 0 in an unsigned capsule.
	MonotonicCount uint64
	// Signed says whether there is a signature, not whether anyone trusts it. See VerifySigner.
	Signed bool
	// SignatureOffset and SignatureLength are those of the PKCS#7 DER, in bytes; 0 in an unsigned capsule.
	SignatureOffset, SignatureLength int64
	// FirmwareVersion is what ESRT will tell as fw_version; firmware refuses one below the device's floor.
	FirmwareVersion Version
	// LowestSupportedVersion becomes the device's floor once the capsule is applied.
	LowestSupportedVersion Version
	// PayloadOffset is where the payload header starts, BUPOffset where the BUP does; both in bytes.
	PayloadOffset, BUPOffset int64
	// BUP is always of format V3 and of type update. Its offsets count from BUPOffset.
	BUP *bup.Package
	// MessageDigest is the digest among the signed attributes; nil if there are none.
	MessageDigest []byte
	// ContentDigest is the SHA-256 of payload header, BUP and MonotonicCount (as 8 bytes, little endian): of what the
	// signature signs. It is zero until all bytes were read.
	ContentDigest [32]byte

	signature *signature // nil if unsigned
	complete  bool       // all bytes were read and are right
}

// FormatError describes a malformed capsule; its Format is "capsule", or "BUP" for the BUP inside.
type FormatError = bup.FormatError

// IsCapsule says whether a file that starts with head is a firmware management capsule; it needs the first 16 bytes.
func IsCapsule(head []byte) bool { return bytes.HasPrefix(head, capsuleGUID[:]) }
