package crypt_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/crypt"
)

// sample is a key and an initialization vector.
func sample() (k crypt.Key, iv [16]byte) {
	for i := range k {
		k[i] = byte(200 + i)
	}
	for i := range iv {
		iv[i] = byte(100 - i)
	}
	return k, iv
}

// encrypt and decrypt go through the package.
func encrypt(t testing.TB, k crypt.Key, iv [16]byte, plain []byte) []byte {
	var out bytes.Buffer
	w := crypt.NewWriter(&out, k, iv)
	if n, err := w.Write(plain); n != len(plain) || err != nil {
		t.Fatal(n, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// openssl runs openssl enc with the sample, as SWUpdate's documentation does.
func openssl(t *testing.T, in []byte, options ...string) []byte {
	t.Helper()
	k, iv := sample()
	args := append([]string{"enc", "-aes-256-cbc", "-K", hex.EncodeToString(k[:]), "-iv", hex.EncodeToString(iv[:])}, options...)
	c := exec.Command("openssl", args...)
	c.Stdin = bytes.NewReader(in)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("openssl: %v", err)
	}
	return out
}

func TestLikeOpenSSL(t *testing.T) {
	k, iv := sample()
	for _, n := range []int{0, 1, 15, 16, 17, 65519, 65520, 65521, 65535, 65536, 65537, 131072, 1<<20 + 7} {
		plain := make([]byte, n)
		rand.New(rand.NewSource(int64(n))).Read(plain)
		theirs := openssl(t, plain)
		if ours := encrypt(t, k, iv, plain); !bytes.Equal(ours, theirs) {
			t.Errorf("%d bytes: not what openssl writes", n)
		}
		if got := crypt.EncryptedSize(int64(n)); got != int64(len(theirs)) {
			t.Errorf("%d bytes: EncryptedSize is %d, want %d", n, got, len(theirs))
		}
		back, err := io.ReadAll(crypt.NewReader(bytes.NewReader(theirs), k, iv))
		if err != nil || !bytes.Equal(back, plain) {
			t.Errorf("%d bytes: read back %d, %v", n, len(back), err)
		}
		if !bytes.Equal(openssl(t, theirs, "-d"), plain) {
			t.Errorf("%d bytes: openssl does not decrypt it", n)
		}
	}
}

// TestPieces writes and reads in pieces of any size.
func TestPieces(t *testing.T) {
	k, iv := sample()
	rapid.Check(t, func(t *rapid.T) {
		var plain []byte
		var out bytes.Buffer
		w := crypt.NewWriter(&out, k, iv)
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 70000), 0, 6).Draw(t, "pieces") {
			piece := bytes.Repeat([]byte{byte(i)}, n)
			before := bytes.Clone(piece)
			if got, err := w.Write(piece); got != n || err != nil || !bytes.Equal(piece, before) {
				t.Fatalf("Write: %d, %v", got, err)
			}
			plain = append(plain, piece...)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if int64(out.Len()) != crypt.EncryptedSize(int64(len(plain))) {
			t.Fatalf("%d bytes became %d", len(plain), out.Len())
		}
		for _, slow := range []func(io.Reader) io.Reader{iotest.HalfReader, iotest.DataErrReader} {
			back, err := io.ReadAll(slow(crypt.NewReader(slow(bytes.NewReader(out.Bytes())), k, iv)))
			if err != nil || !bytes.Equal(back, plain) {
				t.Fatalf("%d bytes came back as %d, %v", len(plain), len(back), err)
			}
		}
	})
}

func TestReaderRefuses(t *testing.T) {
	k, iv := sample()
	good := encrypt(t, k, iv, make([]byte, 100000))
	padding := func(last ...byte) []byte { // a block that decrypts to these bytes at its end
		block := append(make([]byte, 16-len(last)), last...)
		return encrypt(t, k, iv, block)[:16]
	}
	other := k
	other[31] ^= 1
	for _, tt := range []struct {
		name, text string
		in         []byte
		key        crypt.Key
	}{
		{"empty", "its length, 0 bytes, is not a positive multiple of 16", nil, k},
		{"cut", "its length, 100015 bytes", good[:len(good)-1], k},
		{"one byte more", "its length, 100017 bytes", append(bytes.Clone(good), 0), k},
		{"cut at a block", "the padding at its end is wrong", good[:65536], k},
		{"other key", "the padding at its end is wrong", good, other},
		{"padding 0", "the padding at its end is wrong", padding(0), k},
		{"padding 17", "the padding at its end is wrong", padding(bytes.Repeat([]byte{17}, 16)...), k},
		{"padding uneven", "the padding at its end is wrong", padding(3, 4, 4, 4), k},
		{"padding 255", "the padding at its end is wrong", padding(255), k},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := io.ReadAll(crypt.NewReader(bytes.NewReader(tt.in), tt.key, iv))
			failsWith(t, err, fail.Data, "cannot decrypt the image: "+tt.text)
		})
	}
	if _, err := io.ReadAll(crypt.NewReader(iotest.ErrReader(os.ErrDeadlineExceeded), k, iv)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("another error of the input became %v", err)
	}
}

// failsWith wants an error with a text and an exit code.
func failsWith(t testing.TB, err error, code fail.Code, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) || fail.CodeOf(err) != code {
		t.Errorf("error %v, exit %s; want %q, exit %s", err, fail.CodeOf(err), text, code)
	}
}

// full is a writer that takes no more than its value.
type full int

func (f *full) Write(p []byte) (int, error) {
	if int(*f) < len(p) {
		return 0, io.ErrShortBuffer
	}
	*f -= full(len(p))
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	k, iv := sample()
	room := full(65536)
	w := crypt.NewWriter(&room, k, iv)
	if n, err := w.Write(make([]byte, 200000)); n >= 200000 || !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("%d, %v", n, err)
	}
	if err := w.Close(); !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("Close after a failure: %v", err)
	}
	room = 0
	if err := crypt.NewWriter(&room, k, iv).Close(); !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("Close: %v", err)
	}
	room = 100
	w = crypt.NewWriter(&room, k, iv)
	for range 2 {
		if err := w.Close(); err != nil || room != 84 {
			t.Errorf("Close: %v, %d", err, room)
		}
	}
	if n, err := w.Write([]byte{1}); n != 0 || err == nil {
		t.Errorf("Write after Close: %d, %v", n, err)
	}
}

func TestNewIV(t *testing.T) {
	seen := map[[16]byte]bool{{}: true}
	for range 100 {
		iv, err := crypt.NewIV()
		if err != nil || seen[iv] {
			t.Fatalf("%x, %v", iv, err)
		}
		seen[iv] = true
	}
}
