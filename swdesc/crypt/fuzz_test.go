package crypt_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/crypt"
)

// FuzzKeyFile wants of each file a key that stands in it, or the file's fault without the key.
func FuzzKeyFile(f *testing.F) {
	k, iv := sample()
	line := hex.EncodeToString(k[:]) + " " + hex.EncodeToString(iv[:])
	for _, seed := range []string{line, line[:64], line[1:], line + "\n" + line, "", "pkcs11:x", strings.ToUpper(line)} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "aes.key")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := crypt.LoadKey(path)
		if err != nil {
			if fail.CodeOf(err) != fail.Data {
				t.Errorf("exit %s: %v", fail.CodeOf(err), err)
			}
			return
		}
		if !bytes.Contains(bytes.ToLower(b), []byte(hex.EncodeToString(k[:]))) {
			t.Error("the key is not that of the file")
		}
	})
}

// FuzzReader wants that whatever decrypts encrypts to the same bytes.
func FuzzReader(f *testing.F) {
	k, iv := sample()
	for _, n := range []int{0, 15, 16, 70000} {
		f.Add(encrypt(f, k, iv, make([]byte, n)))
	}
	f.Add([]byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := io.ReadAll(crypt.NewReader(bytes.NewReader(b), k, iv))
		if err != nil {
			if fail.CodeOf(err) != fail.Data {
				t.Errorf("exit %s: %v", fail.CodeOf(err), err)
			}
			return
		}
		if !bytes.Equal(encrypt(t, k, iv, plain), b) {
			t.Error("it does not encrypt to the same bytes")
		}
	})
}
