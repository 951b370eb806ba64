package sign

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// key signs with a private key in memory.
type key struct{ crypto.Signer }

// LoadKey reads a private key: the first one of a PEM file, PKCS#8, PKCS#1 or SEC1, RSA of at least 2048 bits or ECDSA with P-256,
// P-384 or P-521. No error shows any part of the key.
func LoadKey(path string) (Signer, error) {
	blocks, err := readPEM("key", path)
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue // openssl ecparam puts "EC PARAMETERS" in front
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, fail.New(fail.Data, "cannot read key %s: it is encrypted", path).
				Then("use --sign-command with a program that asks for the passphrase, such as openssl dgst -sha256 -sign")
		}
		s, err := parseKey(block)
		if err != nil {
			return nil, fail.New(fail.Data, "cannot read key %s: PEM block %q: %w", path, block.Type, err)
		}
		if err := checkKey(s.Public(), CMS); err != nil {
			return nil, fail.New(fail.Data, "cannot read key %s: %w", path, err)
		}
		return key{s}, nil
	}
	return nil, fail.New(fail.Data, "cannot read key %s: it has no PEM block \"PRIVATE KEY\"", path)
}

// parseKey parses a block by its type.
func parseKey(block *pem.Block) (crypto.Signer, error) {
	var k any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		k, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		k, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		k, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("the type is not supported")
	}
	if err != nil {
		return nil, err
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", k)
	}
	return s, nil
}

// Sign signs SHA-256 of the message. The salt of PSS is as long as it can be, like openssl's rsa_pss_saltlen:-2 in SWUpdate's
// documentation.
func (k key) Sign(_ context.Context, message []byte, f Format) ([]byte, error) {
	var opts crypto.SignerOpts = crypto.SHA256
	if f == PSS {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256}
	}
	signature, err := k.Signer.Sign(rand.Reader, sum(crypto.SHA256, message), opts)
	if err != nil {
		return nil, fail.New(fail.Unavailable, "cannot sign: %w", err)
	}
	return signature, nil
}
