package virtual

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
)

// Last attempt status values: the UEFI specification's (23.4), FmpDxe's from 4096 and those of TegraFmp.c from 6144.
const (
	lasSuccess           = 0
	lasInvalidFormat     = 4
	lasVersionTooLow     = 4112
	lasImageAuth         = 4114
	lasPackageHeader     = 6145
	lasPackageType       = 6146
	lasImageInfo         = 6147
	lasImageTooBig       = 6148
	lasPackageSize       = 6149
	lasImageNotInPackage = 6151
	lasSingleImage       = 6153
	lasNoProtocol        = 6155
	lasVerifyImages      = 6160
	lasUninitialized     = 6162
	lasCanceled          = 6163
	lasGPTMetadata       = 6164
)

const capsuleGUID = "6dcbd5ed-e82d-4c44-bda1-7194199ad92a" // EFI_FIRMWARE_MANAGEMENT_CAPSULE_ID_GUID

// outer is what firmware reads of a capsule before it looks at the payload. The model walks the headers by itself, for it
// needs an answer for files that formats/capsule refuses.
type outer struct {
	imageType guid.GUID
	payload   []byte // from the payload header on
}

// parseOuter reads the headers; false means that UEFI passes the file over without an attempt.
func parseOuter(raw []byte) (outer, bool) {
	le := binary.LittleEndian
	if len(raw) < 28 || guid.GUID(raw[:16]) != guid.MustParse(capsuleGUID) {
		return outer{}, false
	}
	at, size := uint64(le.Uint32(raw[16:])), uint64(le.Uint32(raw[24:]))
	if at < 28 || size != uint64(len(raw)) || at+16 > size {
		return outer{}, false
	}
	if le.Uint32(raw[at:]) != 1 || le.Uint16(raw[at+4:]) != 0 || le.Uint16(raw[at+6:]) != 1 {
		return outer{}, false
	}
	item := le.Uint64(raw[at+8:])
	if item > size {
		return outer{}, false
	}
	at += item
	if at+32 > size {
		return outer{}, false
	}
	o := outer{imageType: guid.GUID(raw[at+4 : at+20])}
	length, ok := map[uint32]uint64{1: 32, 2: 40, 3: 48}[le.Uint32(raw[at:])]
	if !ok || at+length > size {
		return outer{}, false
	}
	o.payload = raw[at+length:]
	return o, true
}

// payloadHeader is FMP_PAYLOAD_HEADER behind EFI_FIRMWARE_IMAGE_AUTHENTICATION.
type payloadHeader struct {
	version, lowest capsule.Version
	bup             []byte
}

func (o outer) header() (payloadHeader, bool) {
	le := binary.LittleEndian
	p := o.payload
	if !bytes.HasPrefix(p, []byte("MSS1")) {
		if len(p) < 12 {
			return payloadHeader{}, false
		}
		skip := 8 + uint64(le.Uint32(p[8:]))
		if skip > uint64(len(p)) {
			return payloadHeader{}, false
		}
		p = p[skip:]
	}
	if len(p) < 16 || !bytes.HasPrefix(p, []byte("MSS1")) || le.Uint32(p[4:]) != 16 {
		return payloadHeader{}, false
	}
	return payloadHeader{version: capsule.Version(le.Uint32(p[8:])), lowest: capsule.Version(le.Uint32(p[12:])), bup: p[16:]}, true
}

// authentic stands for FmpDxe's check of the signature: there is one, and its digest is that of the content. Who signed is
// not judged: the model has no certificate in its flash. A package that is malformed has been signed so, for all we know.
func authentic(raw []byte) bool {
	c, err := capsule.ParseAt(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		var f *bup.FormatError
		return errors.As(err, &f) && (f.Format == "BUP" || strings.HasPrefix(f.Field, "BUP "))
	}
	return c.Signed && len(c.MessageDigest) > 0 && bytes.Equal(c.MessageDigest, c.ContentDigest[:])
}

// packageStatus maps what is wrong with a package to the code of FwPackageLib.c's checks as TegraFmp.c reports them.
func packageStatus(raw []byte, err error) uint32 {
	var f *bup.FormatError
	if !errors.As(err, &f) {
		return lasPackageHeader
	}
	switch {
	case f.Field == "type":
		return lasPackageType
	case f.Field == "blob_size" && len(raw) >= 24 && int64(binary.LittleEndian.Uint32(raw[20:])) > int64(len(raw)):
		return lasPackageSize // an image goes beyond the end of the capsule
	case f.Field == "magic", f.Field == "header_size", f.Field == "entry_count", strings.Contains(f.Field, "header"):
		return lasPackageHeader
	}
	return lasImageInfo
}
