package sign

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// maxPEM is the largest key or certificate file in bytes; a list of all public CAs is a fifth of it.
const maxPEM = 1 << 20

// readPEM returns the blocks of a PEM file.
func readPEM(what, path string) ([]*pem.Block, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", what, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", what, err)
	}
	if len(b) > maxPEM {
		return nil, fail.New(fail.Data, "cannot read %s %s: it is longer than %d bytes", what, path, maxPEM)
	}
	var blocks []*pem.Block
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		blocks = append(blocks, block)
	}
	if len(blocks) == 0 {
		return nil, fail.New(fail.Data, "cannot read %s %s: it has no PEM block", what, path).Then("DER can be converted by openssl")
	}
	return blocks, nil
}

// LoadCertificates reads the certificates of a PEM file in their order: the signer's first, then its intermediate authorities.
// Other blocks are passed over.
func LoadCertificates(path string) ([]*x509.Certificate, error) {
	blocks, err := readPEM("certificate", path)
	if err != nil {
		return nil, err
	}
	t, err := trustOf(path, blocks)
	if err != nil {
		return nil, err
	}
	if len(t.Certificates) == 0 {
		return nil, fail.New(fail.Data, "cannot read certificate %s: it has no PEM block \"CERTIFICATE\"", path)
	}
	return t.Certificates, nil
}

// LoadPublicKey reads the first key of a PEM file: a block "PUBLIC KEY", or a certificate's key.
func LoadPublicKey(path string) (crypto.PublicKey, error) {
	blocks, err := readPEM("public key", path)
	if err != nil {
		return nil, err
	}
	for i := range blocks {
		t, err := trustOf(path, blocks[i:i+1])
		switch {
		case err != nil:
			return nil, err
		case len(t.Keys) > 0:
			return t.Keys[0], nil
		case len(t.Certificates) > 0:
			return t.Certificates[0].PublicKey, nil
		}
	}
	return nil, fail.New(fail.Data, "cannot read public key %s: it has no PEM block \"PUBLIC KEY\" or \"CERTIFICATE\"", path)
}

// Trust is whom a device trusts: what stands in the file of SWUpdate's option -k.
type Trust struct {
	Certificates []*x509.Certificate // self-signed signers, authorities, and the certificates between
	Keys         []crypto.PublicKey
}

// LoadTrust reads the certificates and public keys of a PEM file. SWUpdate itself reads certificates for CMS, and for RSA and PSS
// the first public key.
func LoadTrust(path string) (*Trust, error) {
	blocks, err := readPEM("trusted certificate", path)
	if err != nil {
		return nil, err
	}
	t, err := trustOf(path, blocks)
	if err != nil {
		return nil, err
	}
	if len(t.Certificates)+len(t.Keys) == 0 {
		return nil, fail.New(fail.Data, "cannot read trusted certificate %s: it has no PEM block \"CERTIFICATE\" or \"PUBLIC KEY\"", path)
	}
	return t, nil
}

// trustOf parses the certificates and public keys among blocks.
func trustOf(path string, blocks []*pem.Block) (*Trust, error) {
	t := new(Trust)
	for i, block := range blocks {
		var err error
		switch block.Type {
		case "CERTIFICATE":
			var c *x509.Certificate
			c, err = x509.ParseCertificate(block.Bytes)
			t.Certificates = append(t.Certificates, c)
		case "PUBLIC KEY":
			var k crypto.PublicKey
			k, err = x509.ParsePKIXPublicKey(block.Bytes)
			t.Keys = append(t.Keys, k)
		}
		if err != nil {
			return nil, fail.New(fail.Data, "cannot read %s: PEM block %d, %q: %w", path, i+1, block.Type, err)
		}
	}
	return t, nil
}
