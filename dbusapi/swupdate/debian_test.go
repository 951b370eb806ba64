package swupdate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// daemon runs Debian's swupdate, waits until somebody follows it, and sends it one update after the other.
const daemon = `
swupdate -v -k "$PWD/cert0.pem" -H virtual:1.0 &
pid=$!
for i in $(seq 400); do [ -e followed ] && break; sleep 0.05; done
sleep 0.5
for swu; do swupdate-client -p "$swu"; echo "swupdate-client: $?"; done
sleep 0.5
kill $pid
wait $pid
exit 0
`

// toldWhen calls back once a line of the log holds a text.
type toldWhen struct {
	text string
	call func()
}

func (w toldWhen) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.text) {
		w.call()
	}
	return len(b), nil
}

// TestDebian follows Debian's swupdate 2022.12 through a good install, one that a script fails with a reason and one without, and a
// signature that is refused.
func TestDebian(t *testing.T) {
	dir, err := os.MkdirTemp("", "swu")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for i := range 2 {
		tool(t, dir, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", fmt.Sprintf("key%d.pem", i),
			"-out", fmt.Sprintf("cert%d.pem", i), "-days", "30", "-subj", "/CN=tegra-ota test")
	}
	const good = "function preinst() return true, \"\" end\nfunction postinst() return true, \"\" end\n"
	const says = `function preinst()
  require("swupdate").notify(8, 0, "the power supply is missing") -- 8: PROGRESS
  return false, "failed"
end
`
	updates := []string{
		pack(t, dir, "good", good, 0), pack(t, dir, "says", says, 0),
		pack(t, dir, "silent", "function preinst() return false, \"failed\" end\n", 0), pack(t, dir, "refused", good, 1),
	}

	log := logrus.New()
	log.SetLevel(logrus.DebugLevel)
	log.SetOutput(toldWhen{"following SWUpdate", func() { _ = os.WriteFile(filepath.Join(dir, "followed"), nil, 0o644) }})
	var r recorder
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- New(device.New(dir), []string{"/swupdateprog"}, r.sink, logrus.NewEntry(log)).Run(ctx)
	}()
	c := exec.Command("sh", append([]string{"-c", daemon, "sh"}, updates...)...)
	c.Dir = dir
	c.Env = append(os.Environ(), "TMPDIR="+dir)
	_, said, err := orintest.Contained(c, 2*time.Minute)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err != nil || t.Failed() {
		t.Fatalf("%v\n%s", err, said)
	}
	events := r.all()
	checkEvents(t, events, false, 0)
	var told []string
	for _, e := range events {
		words := e.Progress.Step
		switch {
		case e.Kind == install.Ended:
			words = fmt.Sprint(e.Success, " ", e.Reason)
		case e.Kind == install.Advanced && e.Progress.Percent > 0:
			continue // how many there are is a matter of speed
		}
		told = append(told, fmt.Sprint(e.Kind, " ", words))
	}
	want := []string{
		"1 preparing", "2 step 1 of 2: good.img (raw)", "3 true ",
		"1 preparing", "3 false the power supply is missing",
		"1 preparing", "3 false " + untold,
		"1 preparing", "3 false " + untold,
	}
	// The image is small: before the sink took it, the first step may have given way to what came next.
	got, all, fewer := strings.Join(told, "\n"), strings.Join(want, "\n"), strings.Join(append(want[:1:1], want[2:]...), "\n")
	if got != all && got != fewer {
		t.Errorf("told\n%s\nwant\n%s\n%s", got, all, said)
	}
}

// pack builds an update of one image and one Lua script.
func pack(t *testing.T, dir, name, script string, signer int) string {
	t.Helper()
	folder := filepath.Join(dir, name)
	image := make([]byte, 3<<20)
	files := map[string][]byte{name + ".img": image, "script.lua": []byte(script)}
	files["sw-description"] = []byte(fmt.Sprintf(`software = { version = "1.0"; hardware-compatibility = [ "1.0" ];
  images: ( { filename = "%s.img"; type = "raw"; device = "%s/target"; sha256 = "%x"; } );
  scripts: ( { filename = "script.lua"; type = "lua"; sha256 = "%x"; } ); }
`, name, dir, sha256.Sum256(image), sha256.Sum256([]byte(script))))
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	files["../target"] = image
	for file, b := range files {
		if err := os.WriteFile(filepath.Join(folder, file), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, folder, "openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", "-outform", "DER",
		"-nosmimecap", "-binary", "-signer", fmt.Sprintf("../cert%d.pem", signer), "-inkey", fmt.Sprintf("../key%d.pem", signer))
	const cpio = "for f in sw-description sw-description.sig $0.img script.lua; do echo $f; done | cpio -o -H newc --quiet -O ../$0.swu"
	tool(t, folder, "sh", "-c", cpio, name)
	return filepath.Join(dir, name+".swu")
}

func tool(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
