package yocto_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// describe runs the layer's own description of an update, and does what meta-swupdate's class does with it: it calls the function
// of a line that has one. The class itself needs BitBake; yocto/check runs it.
const describe = `
import hashlib, json, os, re, sys
sys.path.insert(0, "meta-tegra-ota/lib")
import tegraota.swdescription as s
class D:
    def __init__(self, values): self.values = values
    def getVar(self, name): return self.values.get(name)
    def getVarFlag(self, name, flag): return self.values.get(name + "[" + flag + "]")
d, folder = D(json.loads(sys.argv[1])), sys.argv[2]
try:
    text = s.text(d, folder)
except s.Refused as e:
    sys.exit("refused: %s" % e)
lines = []
for line in text.splitlines(keepends=True):
    m = re.match(r"^(.+)\$swupdate_get_sha256\((.+)\)(.+)$", line)
    if m:
        with open(os.path.join(folder, m.group(2)), "rb") as f:
            line = m.group(1) + hashlib.sha256(f.read()).hexdigest() + m.group(3) + "\n"
    lines.append(line)
with open(os.path.join(folder, "sw-description"), "w") as f:
    f.write("".join(lines))
print(" ".join(s.files(d)))
`

// install makes a signed update of what the description names and has Debian's SWUpdate put it into a virtual Orin.
const install = `
set -eu
bin=$1 swu=$2 files=$3 orin=$4 lua=$5
cd "$swu"
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=fleet 2>openssl.log || { cat openssl.log >&2; exit 1; }
openssl cms -sign -in sw-description -out sw-description.sig -signer cert.pem -inkey key.pem -outform DER -nosmimecap -binary
printf '%s\n' sw-description sw-description.sig activate $files | cpio -o -H crc --quiet -O update.swu
# SWUpdate 2022.12 may close before its client has sent the zeros behind the trailer.
truncate -s $(($(LC_ALL=C grep -abo 'TRAILER!!!' update.swu | tail -n 1 | cut -d: -f1) + 14)) update.swu
export TEGRA_OTA_ROOT="$orin" TEGRA_OTA_LIBEXEC="$bin" LUA_PATH="$lua/?.lua;;" TMPDIR="$swu/tmp" # what SWUpdate copies there it removes
mkdir "$TMPDIR"
virtual-orin create "$orin" --app-size 8M >/dev/null
swupdate -v -k cert.pem -H jetson-orin-nano-devkit:1.0 -P "$bin/tegra-bootctl check" -i update.swu
virtual-orin boot "$orin" --userspace 'tegra-boot-verify run'
`

func run(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return strings.TrimSpace(out.String()), err
}

func must(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	out, err := run(t, env, name, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return out
}

// executables builds what the tests run and returns its folder.
func executables(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	goCommand(t, nil, "build", "-o", bin+"/", "./cmd/tegra-ota", "./cmd/virtual-orin")
	for _, name := range []string{"tegra-bup", "tegra-image", "tegra-bootctl", "tegra-boot-verify"} {
		if err := os.Symlink("tegra-ota", filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// describeUpdate fills folder with what an image build deploys and describes it. It returns the names of the files.
func describeUpdate(t *testing.T, folder string, variables map[string]string) (string, error) {
	t.Helper()
	values := map[string]string{"TEGRA_OTA_SWU_VERSION": "1.5.0", "TEGRA_OTA_BOARD": "jetson-orin-nano-devkit", "TEGRA_OTA_REVISION": "1.0"}
	for name, value := range variables {
		values[name] = value
	}
	data, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, nil, "python3", "-c", describe, string(data), folder)
}

// TestDescribedUpdate has the real SWUpdate install what tegra-ota-swu.bbclass describes, in each of its shapes.
func TestDescribedUpdate(t *testing.T) {
	bin := executables(t)
	path := "PATH=" + bin + ":" + os.Getenv("PATH")
	lua, err := filepath.Abs("../handlers/swupdate")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name      string
		variables map[string]string
		running   string
	}{
		{"JetPack 7: root file system and capsule", map[string]string{"TEGRA_OTA_SWU_ROOTFS": "rootfs.ext4.zst",
			"TEGRA_OTA_SWU_CAPSULE": "tegra-bl.cap"}, "36.4.3"},
		{"JetPack 6: kernel and device tree as well", map[string]string{"TEGRA_OTA_SWU_ROOTFS": "rootfs.ext4.zst", "TEGRA_OTA_SWU_KERNEL": "boot.img",
			"TEGRA_OTA_SWU_DTB": "board.dtb", "TEGRA_OTA_SWU_CAPSULE": "tegra-bl.cap"}, "36.4.3"},
		{"root file system alone, stored plain", map[string]string{"TEGRA_OTA_SWU_ROOTFS": "rootfs.ext4"}, "36.4.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			swu, orin := t.TempDir(), filepath.Join(t.TempDir(), "orin")
			must(t, []string{path}, "sh", "-euc", `cd "$1"
				head -c 3M /dev/urandom >rootfs.ext4; zstd -q rootfs.ext4
				head -c 100K /dev/urandom >boot.img; head -c 30K /dev/urandom >board.dtb; echo >activate
				virtual-orin capsule -o tegra-bl.cap --l4t 36.4.3 >/dev/null`, "sh", swu)
			files, err := describeUpdate(t, swu, tt.variables)
			if err != nil {
				t.Fatal(files)
			}
			log := must(t, []string{path}, "sh", "-c", install, "sh", bin, swu, files, orin, lua)
			var status struct {
				Current string
				Slots   map[string]struct{ Firmware string }
			}
			out := must(t, nil, filepath.Join(bin, "tegra-bootctl"), "status", "--json", "--root", orin)
			if err := json.Unmarshal([]byte(out), &status); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if status.Current != "B" || status.Slots["B"].Firmware != tt.running {
				t.Errorf("slot %s runs, want B with firmware %s\n%s\n%s", status.Current, tt.running, out, log)
			}
			for partition, name := range map[string]string{"APP_b": "rootfs.ext4", "B_kernel": tt.variables["TEGRA_OTA_SWU_KERNEL"],
				"B_kernel-dtb": tt.variables["TEGRA_OTA_SWU_DTB"]} {
				if name != "" {
					holds(t, filepath.Join(orin, "dev/disk/by-partlabel", partition), filepath.Join(swu, name))
				}
			}
		})
	}
}

// holds reports a partition that does not begin with the file's bytes.
func holds(t *testing.T, partition, name string) {
	t.Helper()
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(partition)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(got, want) {
		t.Errorf("%s does not hold %s", filepath.Base(partition), filepath.Base(name))
	}
}

// What would make an update that no device takes, or that means something else, is refused where it is made.
func TestDescriptionRefuses(t *testing.T) {
	for _, tt := range []struct {
		name      string
		variables map[string]string
		want      string
	}{
		{"nothing", nil, "the update is empty"},
		{"a version that breaks out of its quotes", map[string]string{"TEGRA_OTA_SWU_ROOTFS": "rootfs.ext4", "TEGRA_OTA_SWU_VERSION": `1"; x = "`},
			"TEGRA_OTA_SWU_VERSION is"},
		{"no version", map[string]string{"TEGRA_OTA_SWU_ROOTFS": "rootfs.ext4", "TEGRA_OTA_SWU_VERSION": ""}, "TEGRA_OTA_SWU_VERSION is"},
		{"a board that libconfig does not take", map[string]string{"TEGRA_OTA_SWU_CAPSULE": "x.cap", "TEGRA_OTA_BOARD": "3767 orin"}, "TEGRA_OTA_BOARD is"},
		{"encrypted", map[string]string{"TEGRA_OTA_SWU_ROOTFS": "rootfs.ext4", "SWUPDATE_IMAGES_ENCRYPTED[rootfs.ext4]": "1"}, "is to be encrypted"},
		{"half a zstd file", map[string]string{"TEGRA_OTA_SWU_ROOTFS": "half.ext4.zst"}, "no whole zstd file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			must(t, nil, "sh", "-euc", `cd "$1"; head -c 1M /dev/urandom >rootfs.ext4; zstd -qc rootfs.ext4 | head -c 5000 >half.ext4.zst`, "sh", folder)
			out, err := describeUpdate(t, folder, tt.variables)
			if err == nil || !strings.Contains(out, "refused: ") || !strings.Contains(out, tt.want) {
				t.Errorf("got %q (%v), want %q", out, err, tt.want)
			}
		})
	}
}
