package capsule

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/guid"
)

func malformed(offset int64, field, format string, args ...any) error {
	return &bup.FormatError{Format: "capsule", Offset: offset, Field: field, Problem: fmt.Sprintf(format, args...)}
}

// headReader collects what stands before the BUP, for checks that look back and for replay.
type headReader struct {
	r   io.Reader
	raw []byte
}

// next reads n bytes more and returns them with their offset. The caller bounds n.
func (h *headReader) next(n int, field string) ([]byte, int64, error) {
	at := len(h.raw)
	h.raw = append(h.raw, make([]byte, n)...)
	got, err := io.ReadFull(h.r, h.raw[at:])
	switch {
	case err == nil:
		return h.raw[at:], int64(at), nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, 0, malformed(int64(at+got), field, "the file ends here")
	}
	return nil, 0, fmt.Errorf("cannot read capsule at offset %d: %w", at+got, err)
}

// readHead reads up to the start of the BUP. size is the length of the file, -1 if unknown.
func readHead(r io.Reader, size int64) (*Capsule, []byte, error) {
	h, c := &headReader{r: r}, &Capsule{}
	if err := c.readCapsuleHeader(h, size); err != nil {
		return nil, nil, err
	}
	if err := c.readImageHeader(h); err != nil {
		return nil, nil, err
	}
	if err := c.readPayloadHeader(h); err != nil {
		return nil, nil, err
	}
	return c, h.raw, nil
}

// readCapsuleHeader reads EFI_CAPSULE_HEADER and the header of the FMP capsule.
func (c *Capsule) readCapsuleHeader(h *headReader, size int64) error {
	raw, _, err := h.next(minCapsuleHeaderSize, "capsule header")
	if err != nil {
		return err
	}
	if !IsCapsule(raw) {
		return malformed(0, "CapsuleGuid", "%s, want %s", guid.GUID(raw[:16]), capsuleGUID)
	}
	le := binary.LittleEndian
	headerSize := le.Uint32(raw[16:])
	c.Flags, c.Size = le.Uint32(raw[20:]), int64(le.Uint32(raw[24:]))
	if headerSize < minCapsuleHeaderSize || headerSize > maxCapsuleHeaderSize {
		return malformed(16, "HeaderSize", "%d, want %d to %d", headerSize, minCapsuleHeaderSize, maxCapsuleHeaderSize)
	}
	if size >= 0 && c.Size != size {
		return malformed(24, "CapsuleImageSize", "header says %d bytes, the file has %d", c.Size, size)
	}
	if _, _, err := h.next(int(headerSize-minCapsuleHeaderSize), "capsule header"); err != nil {
		return err
	}
	raw, at, err := h.next(fmpHeaderSize, "FMP header")
	if err != nil {
		return err
	}
	switch {
	case le.Uint32(raw) != 1:
		return malformed(at, "Version", "FMP header version %d, want 1", le.Uint32(raw))
	case le.Uint16(raw[4:]) != 0:
		return malformed(at+4, "EmbeddedDriverCount", "%d drivers, want none", le.Uint16(raw[4:]))
	case le.Uint16(raw[6:]) != 1:
		return malformed(at+6, "PayloadItemCount", "%d payloads, want 1", le.Uint16(raw[6:]))
	case le.Uint64(raw[8:]) != fmpHeaderSize:
		return malformed(at+8, "ItemOffset", "%d, want %d", le.Uint64(raw[8:]), fmpHeaderSize)
	}
	return nil
}

// readImageHeader reads EFI_FIRMWARE_MANAGEMENT_CAPSULE_IMAGE_HEADER, whose tail depends on its version.
func (c *Capsule) readImageHeader(h *headReader) error {
	raw, at, err := h.next(imageHeaderSize[1], "image header")
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	version := le.Uint32(raw)
	length, ok := imageHeaderSize[version]
	if !ok {
		return malformed(at, "Version", "image header version %d, want 1, 2 or 3", version)
	}
	c.HeaderVersion = int(version)
	c.ImageType = guid.GUID(raw[4:20])
	c.ImageIndex = raw[20]
	c.UpdateImageSize = le.Uint32(raw[24:])
	if vendor := le.Uint32(raw[28:]); vendor != 0 {
		return malformed(at+28, "UpdateVendorCodeSize", "%d bytes of vendor code, want none", vendor)
	}
	if want := c.Size - at - int64(length); int64(c.UpdateImageSize) != want {
		return malformed(at+24, "UpdateImageSize", "%d, but %d bytes follow the image header", c.UpdateImageSize, want)
	}
	raw, _, err = h.next(length-imageHeaderSize[1], "image header")
	if err != nil {
		return err
	}
	if version >= 2 {
		c.HardwareInstance = le.Uint64(raw)
	}
	if version >= 3 {
		c.ImageCapsuleSupport = le.Uint64(raw[8:])
	}
	return nil
}

// readPayloadHeader reads the signature, where there is one, and the payload header behind it.
func (c *Capsule) readPayloadHeader(h *headReader) error {
	raw, at, err := h.next(payloadHeaderSize, "payload header")
	if err != nil {
		return err
	}
	if string(raw[:4]) != payloadMagic {
		if err := c.readSignature(h, at); err != nil {
			return err
		}
		if raw, at, err = h.next(payloadHeaderSize, "payload header"); err != nil {
			return err
		}
	}
	le := binary.LittleEndian
	if string(raw[:4]) != payloadMagic {
		return malformed(at, "payload header", "%q, want %q", raw[:4], payloadMagic)
	}
	if n := le.Uint32(raw[4:]); n != payloadHeaderSize {
		return malformed(at+4, "payload HeaderSize", "%d, want %d", n, payloadHeaderSize)
	}
	c.FirmwareVersion, c.LowestSupportedVersion = Version(le.Uint32(raw[8:])), Version(le.Uint32(raw[12:]))
	c.PayloadOffset, c.BUPOffset = at, at+payloadHeaderSize
	if c.BUPOffset > c.Size {
		return malformed(at, "payload header", "it ends at %d, behind the end of the file at %d", c.BUPOffset, c.Size)
	}
	return nil
}

// readSignature reads EFI_FIRMWARE_IMAGE_AUTHENTICATION, which starts at offset at; its first 16 bytes are in h already.
// A monotonic count that spells "MSS1" would be taken for a payload header: it never comes near, and firmware's own
// revision check would fail on such a file no later than here.
func (c *Capsule) readSignature(h *headReader, at int64) error {
	if _, _, err := h.next(authHeaderSize-payloadHeaderSize, "signature header"); err != nil {
		return err
	}
	raw := h.raw[at:]
	le := binary.LittleEndian
	length := int64(le.Uint32(raw[8:]))
	switch {
	case le.Uint16(raw[12:]) != certRevision:
		return malformed(at+12, "wRevision", "0x%04x, want 0x%04x", le.Uint16(raw[12:]), certRevision)
	case le.Uint16(raw[14:]) != certTypeGUID:
		return malformed(at+14, "wCertificateType", "0x%04x, want 0x%04x", le.Uint16(raw[14:]), certTypeGUID)
	case guid.GUID(raw[16:32]) != pkcs7GUID:
		return malformed(at+16, "CertType", "%s, want %s (PKCS#7)", guid.GUID(raw[16:32]), pkcs7GUID)
	case length <= certHeaderSize || length > certHeaderSize+MaxSignature:
		return malformed(at+8, "dwLength", "%d, want %d to %d", length, certHeaderSize+1, certHeaderSize+MaxSignature)
	case at+8+length+payloadHeaderSize > c.Size:
		return malformed(at+8, "dwLength", "the signature ends at %d, too near to the end of the file at %d", at+8+length, c.Size)
	}
	c.Signed = true
	c.MonotonicCount = le.Uint64(raw)
	c.SignatureLength = length - certHeaderSize
	der, at, err := h.next(int(c.SignatureLength), "PKCS#7 signature")
	if err != nil {
		return err
	}
	c.SignatureOffset = at
	if c.signature, err = parseSignature(der); err != nil {
		return malformed(at, "PKCS#7 signature", "%v", err)
	}
	c.MessageDigest = c.signature.MessageDigest
	return nil
}
