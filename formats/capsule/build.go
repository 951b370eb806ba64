package capsule

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/guid"
)

// BuildOptions says what capsule to write. The zero value of each field but ImageType and BUP is a sound default.
type BuildOptions struct {
	ImageType guid.GUID
	// ImageIndex is 1 if zero.
	ImageIndex uint8
	// HeaderVersion of the image header is 2 if zero; 1 to 3.
	HeaderVersion int
	// Flags are FlagPersistAcrossReset and FlagInitiateReset if zero.
	Flags uint32
	// HardwareInstance needs an image header of version 2 or 3.
	HardwareInstance uint64
	// FirmwareVersion and LowestSupported go into the payload header. meta-tegra sets both to L4T's version.
	FirmwareVersion, LowestSupported Version
	// MonotonicCount needs a signature.
	MonotonicCount uint64
	// BUP is a whole package of format V3.
	BUP []byte
	// Certificate and Key sign. If both are nil, a self-signed throw-away pair (ECDSA P-256) does, which suits tests and
	// firmware models; a device refuses it.
	Certificate *x509.Certificate
	Key         crypto.Signer
	// Intermediates are added to the signature, the issuer of Certificate first.
	Intermediates []*x509.Certificate
	// Unsigned leaves the signature out. A device refuses such a capsule.
	Unsigned bool
}

// Build writes a capsule.
func Build(w io.Writer, o BuildOptions) error {
	if err := o.complete(); err != nil {
		return err
	}
	le := binary.LittleEndian
	payload := []byte(payloadMagic)
	for _, v := range []uint32{payloadHeaderSize, uint32(o.FirmwareVersion), uint32(o.LowestSupported)} {
		payload = le.AppendUint32(payload, v)
	}
	auth, err := o.authentication(payload)
	if err != nil {
		return err
	}
	imageSize := int64(len(auth)+len(payload)) + int64(len(o.BUP))
	size := capsuleHeaderSize + fmpHeaderSize + int64(imageHeaderSize[uint32(o.HeaderVersion)]) + imageSize
	if size > math.MaxUint32 {
		return fmt.Errorf("cannot build capsule: %d bytes are more than a capsule can have", size)
	}
	head := o.headers(uint32(size), uint32(imageSize))
	for _, part := range [][]byte{head, auth, payload, o.BUP} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("cannot write capsule: %w", err)
		}
	}
	return nil
}

// complete fills in defaults and checks.
func (o *BuildOptions) complete() error {
	if o.ImageIndex == 0 {
		o.ImageIndex = 1
	}
	if o.HeaderVersion == 0 {
		o.HeaderVersion = 2
	}
	if o.Flags == 0 {
		o.Flags = FlagPersistAcrossReset | FlagInitiateReset
	}
	switch {
	case o.HeaderVersion < 1 || o.HeaderVersion > 3:
		return fmt.Errorf("cannot build capsule: image header version %d, want 1, 2 or 3", o.HeaderVersion)
	case o.HeaderVersion == 1 && o.HardwareInstance != 0:
		return errors.New("cannot build capsule: an image header of version 1 has no hardware instance")
	case o.Unsigned && (o.Certificate != nil || o.Key != nil || o.MonotonicCount != 0 || len(o.Intermediates) > 0):
		return errors.New("cannot build capsule: certificates, key and monotonic count need a signature")
	case (o.Certificate == nil) != (o.Key == nil):
		return errors.New("cannot build capsule: certificate and key go together")
	}
	s, err := bup.NewScanner(bytes.NewReader(o.BUP), int64(len(o.BUP)))
	if err != nil {
		return fmt.Errorf("cannot build capsule: %w", err)
	}
	if h := s.Package().Header; h.Format != bup.V3 || h.Type != bup.TypeUpdate {
		return fmt.Errorf("cannot build capsule: a BUP of format %v and type %d, firmware takes V3 and %d only", h.Format, h.Type, bup.TypeUpdate)
	}
	if o.Certificate == nil && !o.Unsigned {
		if o.Certificate, o.Key, err = throwAway(); err != nil {
			return fmt.Errorf("cannot build capsule: %w", err)
		}
	}
	return nil
}

// headers returns all that stands before the signature.
func (o *BuildOptions) headers(size, imageSize uint32) []byte {
	le := binary.LittleEndian
	b := bytes.Clone(capsuleGUID[:])
	for _, v := range []uint32{capsuleHeaderSize, o.Flags, size, 0} {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint32(b, 1) // FMP header: version, no drivers, one payload, at the offset behind this header
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, 1)
	b = le.AppendUint64(b, fmpHeaderSize)
	b = le.AppendUint32(b, uint32(o.HeaderVersion))
	b = append(b, o.ImageType[:]...)
	b = append(b, o.ImageIndex, 0, 0, 0)
	b = le.AppendUint32(b, imageSize)
	b = le.AppendUint32(b, 0) // no vendor code
	if o.HeaderVersion >= 2 {
		b = le.AppendUint64(b, o.HardwareInstance)
	}
	if o.HeaderVersion >= 3 {
		support := SupportAuthentication
		if o.Unsigned {
			support = 0
		}
		b = le.AppendUint64(b, support)
	}
	return b
}

// throwAway makes a key that nobody keeps. The dates are fixed, so that the machine's clock does not matter.
func throwAway() (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "tegra-ota throw-away capsule key"},
		NotBefore:    time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // no expiry (RFC 5280, 4.1.2.5)
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}
