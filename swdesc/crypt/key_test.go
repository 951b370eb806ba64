package crypt_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/crypt"
)

func TestKeyFile(t *testing.T) {
	k, iv := sample()
	key, vector := hex.EncodeToString(k[:]), hex.EncodeToString(iv[:])
	for _, tt := range []struct{ name, file, text string }{
		{"key and vector", key + " " + vector + "\n", ""},
		{"no vector", key, ""},
		{"upper case, CR LF", strings.ToUpper(key) + "\t" + vector + "\r\n", ""},
		{"empty", "", "it has 0 words"},
		{"three words", key + " " + vector + " x", "it has 3 words"},
		{"AES-128", key[:32] + " " + vector, "its key has 32 characters instead of 64"},
		{"one digit short", key[1:] + " " + vector, "its key has 63 characters instead of 64"},
		{"one digit more", key + "0 " + vector, "its key has 65 characters"},
		{"no digit", key[:63] + "g " + vector, "its key has a character that is not a hexadecimal digit"},
		{"prefix", "0x" + key + " " + vector, "its key has 66 characters"},
		{"short vector", key + " " + vector[2:], "its initialization vector has 30 characters instead of 32"},
		{"no digit in the vector", key + " " + vector[:31] + "x", "its initialization vector has a character"},
		{"token", "pkcs11:token=x " + vector, "it names a key in a PKCS#11 token"},
		{"too long", strings.Repeat(" ", 4096) + key, "it is longer than 4096 bytes"},
		{"raw", string(k[:]), "its key has 32 characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "aes.key")
			if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := crypt.LoadKey(path)
			if tt.text == "" {
				if err != nil || got != k {
					t.Errorf("%v", err)
				}
				return
			}
			failsWith(t, err, fail.Data, "cannot read key file "+path+": "+tt.text)
			if err != nil && strings.Contains(err.Error(), key[8:24]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	_, err := crypt.LoadKey(filepath.Join(t.TempDir(), "none"))
	failsWith(t, err, fail.IO, "cannot read key file: open ")
	_, err = crypt.LoadKey(t.TempDir())
	failsWith(t, err, fail.IO, "is a directory")
}

func TestKeyIsNotPrinted(t *testing.T) {
	k, _ := sample()
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q", "%c", "%b"} {
		if got := fmt.Sprintf(format, k); got != "(AES-256 key)" {
			t.Errorf("%s prints %s", format, got)
		}
	}
}
