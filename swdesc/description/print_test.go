package description_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

// printers are both syntaxes.
var printers = []struct {
	format syntax.Format
	suffix string
	print  func(*description.Description, io.Writer) error
}{
	{syntax.Libconfig, ".golden.cfg", (*description.Description).PrintLibconfig},
	{syntax.JSON, ".golden.json", (*description.Description).PrintJSON},
}

func fixtures(t testing.TB) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range all {
		if !strings.Contains(name, ".golden.") && strings.Contains(name, ".") {
			names = append(names, name)
		}
	}
	if len(names) < 6 {
		t.Fatalf("only %d fixtures", len(names))
	}
	return names
}

func load(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What is read from a fixture is printed as the golden files say, and read again it is the same.
func TestGoldens(t *testing.T) {
	for _, name := range fixtures(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			d, _, _, err := description.Parse(load(t, name))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range printers {
				var out bytes.Buffer
				if err := p.print(d, &out); err != nil {
					t.Fatal(err)
				}
				golden := strings.TrimSuffix(strings.TrimSuffix(name, ".cfg"), ".json") + p.suffix
				if *update {
					if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(string(load(t, golden)), out.String()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", golden, diff)
				}
			}
		})
	}
}

// roundTrip prints and reads in each syntax, one after the other, and fails where the model changes.
func roundTrip(t fataler, d *description.Description) {
	want := d
	for _, i := range []int{0, 1, 0, 0, 1, 1} {
		p := printers[i]
		var out bytes.Buffer
		if err := p.print(d, &out); err != nil {
			t.Fatalf("%s: %v", p.format, err)
		}
		got, format, _, err := description.Parse(out.Bytes())
		if err != nil {
			t.Fatalf("%s: %v\n%s", p.format, err, out.Bytes())
		}
		// SWUpdate takes the text for libconfig first: JSON must not be libconfig by accident, or the kinds of its lists count.
		if format != p.format {
			t.Fatalf("printed as %s, read as %s:\n%s", p.format, format, out.Bytes())
		}
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Fatalf("%s (-want +got):\n%s\n%s", p.format, diff, out.Bytes())
		}
		d = got
	}
}

type fataler interface {
	Fatalf(format string, args ...any)
}

func TestFixturesKeepTheirMeaning(t *testing.T) {
	for _, name := range fixtures(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			d, _, _, err := description.Parse(load(t, name))
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, d)
		})
	}
}

func TestEveryModelKeepsItsMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roundTrip(t, &description.Description{Software: node(t, 1), Unknown: unknown(t)})
	})
}

// Each attribute that Read knows is printed at its place; every.cfg has them all, so its goldens show the order.
func TestEveryAttributeIsInAFixture(t *testing.T) {
	d, _, problems, err := description.Parse(load(t, "testdata/every.cfg"))
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	var out bytes.Buffer
	if err := d.PrintLibconfig(&out); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(`version description hardware-compatibility reboot update-type namespace-for-vars
		bootloader_transaction_marker bootloader_state_marker output embedded-script partitions images files scripts bootenv vars
		filename type name device mtdname volume filesystem path offset size data compressed encrypted ivt aes-key
		installed-directly preserve-attributes install-if-different install-if-higher sha256 preinstall postinstall properties hook value`) {
		if !strings.Contains(out.String(), name+" =") && !strings.Contains(out.String(), name+":") {
			t.Errorf("%s is not printed", name)
		}
	}
}

// What one syntax cannot express is an error that names it, and nothing is written.
func TestPrintRefuses(t *testing.T) {
	d := &description.Description{Software: description.Node{Version: "1", Images: []description.Artifact{{
		Filename: "a", Properties: []description.Property{{Name: "a.b", Values: []string{"c"}}}}}}}
	var out bytes.Buffer
	err := d.PrintLibconfig(&out)
	if fail.CodeOf(err) != fail.Data || !strings.Contains(err.Error(), "a.b") || out.Len() > 0 {
		t.Errorf("libconfig: %v, %d bytes", err, out.Len())
	}
	if err := d.PrintJSON(&out); err != nil {
		t.Error(err)
	}
	broken := errors.New("disk full")
	if err := d.PrintJSON(writer{broken}); !errors.Is(err, broken) {
		t.Errorf("a writer's error is lost: %v", err)
	}
}

type writer struct{ err error }

func (w writer) Write([]byte) (int, error) { return 0, w.err }

// A model may have a setting of its own that was unknown before: it is printed once.
func TestKnownWinsOverUnknown(t *testing.T) {
	d := description.Description{Software: description.Node{Version: "1", Unknown: []syntax.Setting{
		{Name: "version", Value: syntax.Value{Kind: syntax.Int, Int: 2}}}}}
	want := syntax.Value{Kind: syntax.Group, Settings: []syntax.Setting{
		{Name: "version", Value: syntax.Value{Kind: syntax.String, String: "1"}}}}
	if diff := cmp.Diff(want, d.Tree().Settings[0].Value); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range fixtures(f) {
		f.Add(load(f, name))
	}
	f.Add([]byte(`{"software": {"version": {"ref": "#./version"}, "images": {"ref": "#./images"}}}`))
	f.Add([]byte(`software: { a: ( { ref = "#./a"; }, { ref = "#../../x"; } ); images: ( { ref = "#./a"; } ); uboot: (); };`))
	f.Fuzz(func(t *testing.T, src []byte) {
		d, _, problems, err := description.Parse(src)
		if err != nil {
			if fail.CodeOf(err) != fail.Data {
				t.Fatalf("exit code %d: %v", fail.CodeOf(err), err)
			}
			return
		}
		for _, p := range problems {
			if p.Check == "" || p.Where == "" || p.Reason == "" {
				t.Fatalf("half a problem: %+v", p)
			}
		}
		for _, p := range printers {
			var out bytes.Buffer
			if err := p.print(d, &out); err != nil {
				continue // names and texts that one syntax cannot have
			}
			again, _, _, err := description.Parse(out.Bytes())
			if err != nil {
				t.Fatalf("%s: %v\n%s", p.format, err, out.Bytes())
			}
			if diff := cmp.Diff(d, again, same); diff != "" {
				t.Fatalf("%s (-want +got):\n%s\n%s", p.format, diff, out.Bytes())
			}
		}
	})
}
