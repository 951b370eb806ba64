package sign_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

// pack makes a .swu of sw-description, its signature and the image, and returns its folder.
func pack(t *testing.T, description, signature []byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range map[string][]byte{"sw-description": description, "sw-description.sig": signature, "image": image} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cpio := exec.Command("cpio", "-o", "-H", "newc", "--quiet", "-O", "update.swu")
	cpio.Dir, cpio.Stdin = dir, strings.NewReader("sw-description\nsw-description.sig\nimage\n")
	if out, err := cpio.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v: %s", err, out)
	}
	return dir
}

// image is what the update installs.
var image = make([]byte, 4096)

// description is a sw-description that Debian's swupdate accepts.
func description() []byte {
	return []byte(fmt.Sprintf("software =\n{\n version = \"1.2.3\";\n hardware-compatibility = [ \"1.0\" ];\n"+
		" images: ( { filename = \"image\"; type = \"raw\"; device = \"/dev/null\"; sha256 = \"%x\"; } );\n};\n", sha256.Sum256(image)))
}

// swupdateCases are signatures of this package and whether Debian's swupdate accepts them. The signer's certificate comes first.
var swupdateCases = []struct {
	signer, trusted []string
	purpose         string
	want            bool
}{
	{[]string{"rsa3072"}, []string{"rsa3072"}, "", true},
	{[]string{"p256"}, []string{"p256"}, "", true},
	{[]string{"p384"}, []string{"p384"}, "", true},
	{[]string{"p521"}, []string{"p521"}, "", true},
	{[]string{"sub-plain"}, []string{"ca", "sub"}, "", true},
	{[]string{"sub-plain", "sub", "ca"}, []string{"sub", "ca"}, "", true},
	{[]string{"ca-mail"}, []string{"ca"}, "", true},
	{[]string{"ca-code"}, []string{"ca"}, "codeSigning", true},
	{[]string{"code"}, []string{"code"}, "codeSigning", true},
	{[]string{"codeca-code"}, []string{"codeca"}, "codeSigning", true},

	{[]string{"p256"}, []string{"p384"}, "", false},
	{[]string{"sub-plain"}, []string{"ca"}, "", false},
	{[]string{"sub-plain", "sub"}, []string{"ca"}, "", false},
	{[]string{"ca-plain"}, []string{"ca-plain"}, "", false}, // Go alone would trust it
	{[]string{"sub-plain"}, []string{"sub"}, "", false},     // and this
	{[]string{"ca-code"}, []string{"ca"}, "", false},
	{[]string{"ca-encipher"}, []string{"ca"}, "", false},
	{[]string{"codeca-plain"}, []string{"codeca"}, "", false},
	{[]string{"ca-plain"}, []string{"ca"}, "codeSigning", false},
	{[]string{"ca-any"}, []string{"ca"}, "codeSigning", false},
	{[]string{"p256"}, []string{"p256"}, "codeSigning", false},
	{[]string{"code"}, []string{"code"}, "", false},
}

// TestSWUpdate has the real program check updates with our signatures (-c), and wants the same verdict from Verify.
func TestSWUpdate(t *testing.T) {
	content := description()
	var wait sync.WaitGroup // each swupdate sleeps for a second
	for i, tt := range swupdateCases {
		sig := signedMessage(t, content, sign.CMS, tt.signer...)
		dir := pack(t, content, sig)
		trusted := filepath.Join(dir, "trusted.pem")
		var bundle []byte
		for _, name := range tt.trusted {
			bundle = append(bundle, read(t, file(name+".pem"))...)
		}
		if err := os.WriteFile(trusted, bundle, 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"-c", "-v", "-H", "board:1.0", "-k", trusted, "-i", "update.swu"}
		if tt.purpose != "" {
			args = append(args, "--cert-purpose", tt.purpose)
		}
		list, err := sign.LoadTrust(trusted)
		if err != nil {
			t.Fatal(err)
		}
		_, verdict := sign.Verify(content, sig, sign.VerifyOptions{Trust: list, Purpose: tt.purpose})
		if (verdict == nil) != tt.want {
			t.Errorf("case %d, %s: Verify says %v", i, tt.signer, verdict)
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			good, log := swupdateSays(dir, args)
			if good != tt.want {
				t.Errorf("case %d, %s: swupdate accepts it: %t, want %t: %s", i, tt.signer, good, tt.want, log)
			}
		}()
	}
	wait.Wait()
}

// swupdateSays runs swupdate and returns what its log says: Debian's 2022.12 may exit with 1 for a small update that it found good,
// and on a busy machine it may end before it has read anything. That is tried again.
func swupdateSays(dir string, args []string) (good bool, log string) {
	for attempt := 0; attempt < 5; attempt++ {
		c := exec.Command("swupdate", args...)
		c.Dir, c.Env = dir, append(os.Environ(), "TMPDIR="+dir)
		code, said, err := orintest.Contained(c, time.Minute)
		if strings.Contains(said, "Verified OK") && strings.Contains(said, "SWUPDATE successful") {
			return true, said
		}
		if strings.Contains(said, "Authentication of all signatures failed") && code != 0 {
			return false, said
		}
		log = fmt.Sprintf("%s\nno verdict: exit %d, %v", said, code, err)
	}
	return false, log
}
