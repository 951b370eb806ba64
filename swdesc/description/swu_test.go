package description_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// content is what every member holds. It has 3 MB: with a few kilobytes SWUpdate 2022.12 now and then exits 1 behind "SWUpdate was
// successful" (core/install_from_file.c, the answer to ipc_postupdate gets lost).
var content = bytes.Repeat([]byte("content of a member\n"), 150_000)

func hash() string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// TestMain lets more tests run at once than the machine has processors: SWUpdate mostly sleeps, a second in each run.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// signer is a self-signed certificate and its key, made once.
func signer(t *testing.T) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	run(t, dir, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
		"-out", cert, "-days", "2", "-subj", "/CN=test")
	return cert, key
}

// check lets SWUpdate look at an update without installing it.
func check(t *testing.T, cert, key string, text []byte, members []string, args ...string) (int, string) {
	t.Helper()
	return swupdate(t, cert, key, text, members, append(args, "-c")...)
}

// swupdate packs and signs a .swu with the programs an integrator would use, and starts SWUpdate for a board of revision 1.0. It
// returns its exit code and log.
func swupdate(t *testing.T, cert, key string, text []byte, members []string, args ...string) (int, string) {
	t.Helper()
	dir, tmp := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "sw-description"), text)
	run(t, dir, "openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", "-signer", cert, "-inkey", key,
		"-outform", "DER", "-nosmimecap", "-binary")
	for _, m := range members {
		write(t, filepath.Join(dir, m), content)
	}
	swu := filepath.Join(tmp, "update.swu")
	cpio := exec.Command("cpio", "-o", "-H", "newc", "--quiet", "-O", swu)
	cpio.Dir, cpio.Stdin = dir, strings.NewReader(strings.Join(append([]string{"sw-description", "sw-description.sig"}, members...), "\n")+"\n")
	if msg, err := cpio.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v: %s", err, msg)
	}
	// SWUpdate 2022.12 reads what cpio fills a block with only once and closes (core/cpio_utils.c, extract_padding), so a client
	// that still writes it fails: the archive ends behind its trailer, a header of 110 bytes and its name.
	b := load(t, swu)
	at := bytes.LastIndex(b, []byte("TRAILER!!!"))
	if err := os.Truncate(swu, int64(at-110+124)); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("swupdate", append([]string{"-v", "-k", cert, "-H", "board:1.0", "-i", swu}, args...)...)
	c.Dir, c.Env = tmp, append(os.Environ(), "TMPDIR="+tmp, "LUA_PATH=;;")
	code, log, err := orintest.Contained(c, time.Minute)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	return code, log
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
