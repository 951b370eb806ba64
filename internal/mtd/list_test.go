package mtd_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
)

func TestListReadsWhatKernelsPrint(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []mtd.Partition
	}{
		{"none", "dev:    size   erasesize  name\n", nil},
		{"empty", "", nil},
		{"whole chip of a Xavier NX", "dev:    size   erasesize  name\nmtd0: 02000000 00010000 \"Whole_flash0\"\n",
			[]mtd.Partition{{0, "Whole_flash0", 32 << 20, 64 << 10, "/dev/mtd0"}}},
		{"blanks and quotes", "dev:    size   erasesize  name\nmtd0: 00080000 00001000 \"A mb1\"\nmtd12: 04000000 00001000 \"a \"b\" \"\n",
			[]mtd.Partition{{0, "A mb1", 512 << 10, 4 << 10, "/dev/mtd0"}, {12, `a "b" `, 64 << 20, 4 << 10, "/dev/mtd12"}}},
		{"no name", "mtd0: 0 0 \"\"\n", []mtd.Partition{{0, "", 0, 0, "/dev/mtd0"}}},
	} {
		got, err := mtd.ParseList(tt.text)
		if d := cmp.Diff(tt.want, got); d != "" || err != nil {
			t.Errorf("%s: %v%s", tt.name, err, d)
		}
	}
}

func TestListRefusesWhatIsNoList(t *testing.T) {
	for _, line := range []string{
		"mtd0", `mtd0: 1000 1000`, `mtd0: 1000 1000 name`, `mtd0: 1000 "name"`, `mtd0 1000 1000 "name"`, `mtdx: 1000 1000 "name"`,
		`sda: 1000 1000 "name"`, `mtd-1: 1000 1000 "name"`, `mtd0: -1000 1000 "name"`, `mtd0: 1000 1000 "name`, `mtd0: 1000 1000 "`,
		`mtd0: 1000 1000 1000 "name"`, `mtd99999999999: 1000 1000 "name"`, `mtd0: 1000000000000000000 1000 "name"`,
	} {
		if got, err := mtd.ParseList("dev:    size   erasesize  name\n" + line + "\n"); err == nil {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

// A kernel without MTD is the normal case on a Jetson.
func TestListOnMachines(t *testing.T) {
	m := device.New(t.TempDir())
	if got, err := mtd.List(m); len(got) != 0 || err != nil {
		t.Errorf("without /proc/mtd: %+v, %v", got, err)
	}
	must(t, os.MkdirAll(m.Path("/proc"), 0o755))
	must(t, os.WriteFile(m.Path("/proc/mtd"), []byte("nonsense\n"), 0o644))
	if got, err := mtd.List(m); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("nonsense: %+v, %v", got, err)
	}
	must(t, os.Remove(m.Path("/proc/mtd")))
	must(t, os.Mkdir(m.Path("/proc/mtd"), 0o755))
	if got, err := mtd.List(m); fail.CodeOf(err) != fail.IO {
		t.Errorf("unreadable: %+v, %v", got, err)
	}
}

// What is listed names a node, and printing it as the kernel does gives the same list again.
func FuzzList(f *testing.F) {
	f.Add("dev:    size   erasesize  name\nmtd0: 00080000 00001000 \"A mb1\"\n")
	f.Add(`mtd1: ffffffffff 1 "a "b" "`)
	f.Add("mtd0: 0 0 \"\"\r\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		parts, err := mtd.ParseList(text)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, p := range parts {
			if p.Number < 0 || p.Size < 0 || p.EraseSize < 0 || !strings.HasPrefix(p.Node, "/dev/mtd") || strings.Contains(p.Name, "\n") {
				t.Fatalf("%+v", p)
			}
			again.WriteString(kernelLine(p))
		}
		got, err := mtd.ParseList(again.String())
		if d := cmp.Diff(parts, got); d != "" || err != nil {
			t.Errorf("%v\n%s", err, d)
		}
	})
}

// kernelLine is the format of mtd_proc_show.
func kernelLine(p mtd.Partition) string {
	return fmt.Sprintf("mtd%d: %08x %08x \"%s\"\n", p.Number, p.Size, p.EraseSize, p.Name)
}
