// Package crypt encrypts and decrypts images the way SWUpdate does: AES-256-CBC with PKCS#7 padding.
//
// SWUpdate reads the key from the file of its option -K and the initialization vector from the attribute "ivt" of each image
// (core/cpio_utils.c). The cipher hides an image and does not protect it: that is what sha256 over the encrypted bytes in the
// signed sw-description is for.
package crypt

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
)

// Key is an AES-256 key. No verb of package fmt prints it.
type Key [32]byte

// Format hides the key, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(AES-256 key)") }

// Error says what is wrong with a key file or with encrypted bytes.
type Error struct {
	What   string // "key file PATH" or "image"
	Reason string
}

// Error returns "cannot decrypt image: REASON" or "cannot read key file PATH: REASON".
func (e *Error) Error() string { return fmt.Sprintf("cannot %s: %s", e.What, e.Reason) }

// MalformedData reports that the file is at fault.
func (e *Error) MalformedData() bool { return true }

// The sizes of AES-256-CBC in bytes, and the largest key file that is read: two words of hexadecimal digits need 98 bytes.
const (
	keySize    = 32
	blockSize  = 16
	maxKeyFile = 4096
)

// LoadKey reads a key file of SWUpdate: the key as 64 hexadecimal digits and the initialization vector as 32, with white space
// between. SWUpdate needs both words (core/util.c, load_decryption_key). Here the second may be missing, and its value is not
// used: every image gets an initialization vector of its own. No error shows any part of the key.
func LoadKey(path string) (Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return Key{}, fmt.Errorf("cannot read key file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return Key{}, fmt.Errorf("cannot read key file: %w", err)
	}
	k, reason := parseKey(b)
	if reason != "" {
		return Key{}, &Error{What: "read key file " + path, Reason: reason}
	}
	return k, nil
}

// parseKey returns the key, or what is wrong with the file.
func parseKey(b []byte) (k Key, reason string) {
	if len(b) > maxKeyFile {
		return Key{}, fmt.Sprintf("it is longer than %d bytes", maxKeyFile)
	}
	words := strings.Fields(string(b))
	if len(words) != 1 && len(words) != 2 {
		return Key{}, fmt.Sprintf("it has %d words; a key and an initialization vector are needed", len(words))
	}
	if strings.HasPrefix(words[0], "pkcs11:") {
		return Key{}, "it names a key in a PKCS#11 token; encryption needs the key itself"
	}
	// SWUpdate also takes AES-128 and AES-192. An image for them cannot be told from one for AES-256 afterwards.
	if reason := decode(k[:], words[0], "key"); reason != "" {
		return Key{}, reason
	}
	if len(words) == 2 {
		var iv [blockSize]byte
		if reason := decode(iv[:], words[1], "initialization vector"); reason != "" {
			return Key{}, reason
		}
	}
	return k, ""
}

// decode fills dst with the hexadecimal digits of word. hex.DecodeString's error is not passed on: it shows a byte of the key.
func decode(dst []byte, word, what string) (reason string) {
	if len(word) != 2*len(dst) {
		return fmt.Sprintf("its %s has %d characters instead of %d", what, len(word), 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(word)); err != nil {
		return "its " + what + " has a character that is not a hexadecimal digit"
	}
	return ""
}

// NewIV returns a random initialization vector. CBC needs one that nobody could predict, a new one for each image.
func NewIV() ([16]byte, error) {
	var iv [16]byte
	if _, err := rand.Read(iv[:]); err != nil {
		return iv, fmt.Errorf("cannot make an initialization vector: %w", err)
	}
	return iv, nil
}

// EncryptedSize returns the size of n encrypted bytes: there is always padding, of 1 to 16 bytes.
func EncryptedSize(n int64) int64 { return n - n%blockSize + blockSize }
