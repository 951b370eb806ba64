package check_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
	"github.com/tegra-ota/tegra-ota/swdesc/check"
)

// keys makes a key and a certificate to sign with.
func keys(t *testing.T) (key, cert string) {
	t.Helper()
	dir := t.TempDir()
	key, cert = filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	tool(t, dir, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
		"-days", "3650", "-subj", "/CN=fleet")
	return key, cert
}

// pack makes a .swu of a folder with the programs an integrator would use.
func pack(t *testing.T, dir, key, cert string, members ...string) []byte {
	t.Helper()
	tool(t, dir, "openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", "-signer", cert, "-inkey", key,
		"-outform", "DER", "-nosmimecap", "-binary")
	c := exec.Command("cpio", "-o", "-H", "crc", "--quiet")
	c.Dir, c.Stdin = dir, strings.NewReader("sw-description\nsw-description.sig\n"+strings.Join(members, "\n")+"\n")
	swu, err := c.Output()
	if err != nil {
		t.Fatalf("cpio: %v", err)
	}
	return swu
}

// The example, filled in and packed as its demo.sh does, is all right; as it lies in the repository it has placeholders.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../examples/swupdate/sw-description")
	if err != nil {
		t.Fatal(err)
	}
	list, err := check.Description("sw-description", text, signed)
	if err != nil || strings.Join(brief(list), ",") != "error placeholder" || !strings.Contains(lines(list), "@SHA256_OF_CAPSULE@") {
		t.Errorf("the example as it is: error %v, problems%s", err, lines(list))
	}
	dir := t.TempDir()
	key, cert := keys(t)
	write(t, filepath.Join(dir, "rootfs.img"), plainImage)
	tool(t, dir, "zstd", "-q", "rootfs.img")
	stored, err := os.ReadFile(filepath.Join(dir, "rootfs.img.zst"))
	if err != nil {
		t.Fatal(err)
	}
	capsule := firmwareCapsule(t)
	write(t, filepath.Join(dir, "TEGRA_BL.Cap"), capsule)
	write(t, filepath.Join(dir, "activate"), []byte("activate\n"))
	filled := strings.NewReplacer("@VERSION@", "1.2.0", "@SHA256_OF_ROOTFS_ZST@", digest(stored), "@SIZE_OF_ROOTFS@",
		fmt.Sprint(len(plainImage)),
		"@SHA256_OF_ROOTFS@", digest(plainImage), "@SHA256_OF_CAPSULE@", digest(capsule), "@SHA256_OF_ACTIVATE@",
		digest([]byte("activate\n"))).Replace(string(text))
	write(t, filepath.Join(dir, "sw-description"), []byte(filled))
	contents, list := look(t, pack(t, dir, key, cert, "rootfs.img.zst", "TEGRA_BL.Cap", "activate"), signed)
	if len(list) > 0 || len(contents.Members) != 5 {
		t.Errorf("%d members, problems%s", len(contents.Members), lines(list))
	}
}

// Debian's swugenerator makes an update that is all right, and one that is not: release 0.2 compresses with gzip whatever
// "compressed" says.
func TestSWUGenerator(t *testing.T) {
	key, cert := keys(t)
	for compression, want := range map[string][]string{"zlib": {}, "zstd": {"error compressed"}} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "in", "rootfs.img"), plainImage)
		write(t, filepath.Join(dir, "in", "activate"), []byte("activate\n"))
		write(t, filepath.Join(dir, "sw-description"), []byte(fmt.Sprintf(`software = {
	version = "1.0"; hardware-compatibility = [ "1.0" ];
	images: ( { filename = "rootfs.img"; type = "tegra-image"; compressed = "%s";
		properties: { partition = "APP"; size = "%d"; sha256 = "%s"; }; } );
	scripts: ( { filename = "activate"; type = "tegra-activate"; } );
}
`, compression, len(plainImage), digest(plainImage))))
		tool(t, dir, "swugenerator", "-s", "sw-description", "-a", "in", "-o", "update.swu", "-k", "CMS,"+key+","+cert, "create")
		swu, err := os.ReadFile(filepath.Join(dir, "update.swu"))
		if err != nil {
			t.Fatal(err)
		}
		_, list := look(t, swu, signed)
		if diff := cmp.Diff(want, brief(list)); diff != "" {
			t.Errorf("%s: %s%s", compression, diff, lines(list))
		}
	}
}

// What this package says of an update is what the real SWUpdate does with it in a dry run.
func TestSWUpdateAgrees(t *testing.T) {
	key, cert := keys(t)
	content := []byte("content\n")
	good := fmt.Sprintf(`filename = "a"; sha256 = "%s"; `, digest(content))
	raw := good + `type = "raw"; device = "/dev/null"; `
	for _, c := range []struct {
		name, body string
		want       []string
		log        string // what SWUpdate says
	}{
		{"good", `images: ( { ` + raw + ` } );`, []string{}, "SWUPDATE successful"},
		{"a handler of images in files", `files: ( { ` + raw + ` } );`, []string{}, "SWUPDATE successful"},
		{"a handler without data", `images: ( { ` + raw + ` } ); partitions: ( { type = "diskformat"; device = "/dev/null"; } );`,
			[]string{}, "SWUPDATE successful"},
		{"unknown handler", `images: ( { ` + good + ` type = "nobody"; } );`, []string{"error handler"},
			"feature 'nobody' required for 'a' in sw-description is absent"},
		{"script's handler in images", `images: ( { ` + good + ` type = "shellscript"; } );`, []string{"error handler"},
			"feature 'shellscript' is not allowed"},
		{"no sha256", `images: ( { filename = "a"; type = "raw"; device = "/dev/null"; } );`, []string{"error sha256-missing"},
			"Hash not set for a"},
		{"zeros", `images: ( { filename = "a"; type = "raw"; device = "/dev/null"; sha256 = "` + strings.Repeat("0", 64) + `"; } );`,
			[]string{"error sha256-missing"}, "Hash not set for a"},
		{"placeholder", `images: ( { filename = "a"; type = "raw"; device = "/dev/null"; sha256 = "@a"; } );`,
			[]string{"error placeholder"}, "Hash not set for a"},
		{"wrong sha256", `images: ( { filename = "a"; type = "raw"; device = "/dev/null"; sha256 = "` + hash + `"; } );`,
			[]string{"error sha256-wrong"},
			"HASH mismatch"},
		{"hook without a script", `images: ( { ` + raw + ` hook = "pick"; } );`, []string{"error hook"}, "SWUPDATE successful"},
		{"hook that is not there", `embedded-script = "function other() end"; images: ( { ` + raw + ` hook = "pick"; } );`,
			[]string{"error hook"}, "SWUPDATE failed"},
		{"unknown compression", `images: ( { ` + raw + ` compressed = "gzip"; } );`, []string{"error compressed"},
			"compressed argument: 'gzip' unknown"},
		{"missing member", `images: ( { ` + raw + ` }, { filename = "b"; type = "raw"; device = "/dev/null"; sha256 = "` + hash + `"; } );`,
			[]string{"error member-missing"}, "Required image file b missing"},
		{"image and script", `images: ( { ` + raw + ` } ); scripts: ( { ` + good + ` type = "shellscript"; } );`,
			[]string{"error duplicate"},
			"Required script a not found"},
		{"nothing", ``, []string{"error nothing-to-install", "warning member-unused"}, "Found nothing to install"},
		{"circle", `images: ( { ref = "#./images"; }, { ` + raw + ` } );`, []string{"error link"}, "crash"},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a"), content)
		write(t, filepath.Join(dir, "sw-description"), []byte(software(c.body)))
		swu := pack(t, dir, key, cert, "a")
		_, list, err := check.Archive(context.Background(), "update.swu", bytes.NewReader(swu), signed)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, brief(list)); diff != "" {
			t.Errorf("%s: problems (-want +got):\n%s\nin full:%s", c.name, diff, lines(list))
		}
		start := func() func() string { return dryRun(t, dir, cert, swu) }
		wait, c := start(), c
		defer func() { // all run at the same time: each sleeps for a second
			log := wait()
			// Now and then 2022.12 cleans up its temporary directory while it reads from it, when the machine is busy.
			for i := 0; i < 3 && !strings.Contains(log, c.log); i++ {
				log = start()()
			}
			if !strings.Contains(log, c.log) {
				t.Errorf("%s: SWUpdate does not say %q:\n%s", c.name, c.log, log)
			}
		}()
	}
}

// dryRun starts the real SWUpdate and returns what waits for its log. Its exit code is not used: 2022.12 exits 1 now and then after
// "successful" where members are this small.
func dryRun(t *testing.T, dir, cert string, swu []byte) func() string {
	t.Helper()
	path := filepath.Join(dir, "update.swu")
	write(t, path, swu)
	c := exec.Command("swupdate", "-v", "-c", "-k", cert, "-H", "board:1.0", "-i", path)
	c.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	said := make(chan string, 1)
	go func() {
		code, log, err := orintest.Contained(c, time.Minute)
		if err != nil || code == -1 {
			log += fmt.Sprintf("\ncrash: %v, %v", c.ProcessState, err)
		}
		said <- log
	}()
	return func() string { return <-said }
}
