package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tegra-ota/tegra-ota/formats/bup"
)

// commands are what the scripts know besides testscript's own.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"exits":      exits,
	"oneline":    oneline,
	"snapshot":   snapshot,
	"same":       same,
	"json":       jsonValue,
	"image":      makeImage,
	"bup":        makeBUP,
	"patch":      patch,
	"variable":   variable,
	"answers":    answers,
	"bundle":     bundle,
	"installing": installing, "installed": installed,
}

// exits CODE PROGRAM ARGS...: the program ends with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit %d, want %d", got, want)
	}
}

// oneline: stderr of the last program is one line: one error, which a log collector shows whole.
func oneline(ts *testscript.TestScript, _ bool, _ []string) {
	text := ts.ReadFile("stderr")
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") || strings.Count(text, "cannot") > 2 {
		ts.Fatalf("stderr is not one plain line: %q", text)
	}
}

// tree digests every file below a folder; run/ ends with the boot and is left out.
func tree(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		switch {
		case rel == "run":
			return filepath.SkipDir
		case e.Type()&fs.ModeSymlink != 0:
			files[rel], err = os.Readlink(path)
		case e.IsDir():
			files[rel] = "folder"
		default:
			var b []byte
			b, err = os.ReadFile(path)
			files[rel] = fmt.Sprintf("%x", sha256.Sum256(b))
		}
		return err
	})
	return files, err
}

const snapshotSuffix = ".snapshot"

// snapshot DIR: remembers a device for same.
func snapshot(ts *testscript.TestScript, _ bool, args []string) {
	files, err := tree(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := json.Marshal(files)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0])+snapshotSuffix, b, 0o600))
}

// same DIR [EXCEPT...]: nothing of the device changed since snapshot, but what lies below the named paths.
func same(ts *testscript.TestScript, neg bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]) + snapshotSuffix)
	ts.Check(err)
	before := map[string]string{}
	ts.Check(json.Unmarshal(b, &before))
	after, err := tree(ts.MkAbs(args[0]))
	ts.Check(err)
	var changed []string
	for _, pair := range [][2]map[string]string{{before, after}, {after, before}} {
		for name, digest := range pair[0] {
			if pair[1][name] != digest && !below(name, args[1:]) {
				changed = append(changed, name)
			}
		}
	}
	sort.Strings(changed)
	if (len(changed) > 0) != neg {
		ts.Fatalf("changed: %v", changed)
	}
}

func below(name string, folders []string) bool {
	for _, f := range folders {
		if name == f || strings.HasPrefix(name, f+"/") {
			return true
		}
	}
	return false
}

// json PATH VALUE: stdout is JSON, and the value at the dotted path is that one, as JSON writes it.
func jsonValue(ts *testscript.TestScript, _ bool, args []string) {
	var v any
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	decoder.UseNumber()
	ts.Check(decoder.Decode(&v))
	for _, key := range strings.Split(args[0], ".") {
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[key]
			if !ok {
				ts.Fatalf("there is no %q on the way to %s", key, args[0])
			}
			v = next
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(x) {
				ts.Fatalf("there is no element %q on the way to %s", key, args[0])
			}
			v = x[i]
		default:
			ts.Fatalf("there is nothing below %T on the way to %s", v, args[0])
		}
	}
	got, err := json.Marshal(v)
	ts.Check(err)
	if string(got) != args[1] {
		ts.Fatalf("%s is %s, want %s", args[0], got, args[1])
	}
}

// image FILE BYTES SEED: writes bytes that differ everywhere, and sets $SHA256 and $SIZE.
func makeImage(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		sum := sha256.Sum256([]byte(fmt.Sprint(args[2], i)))
		b.Write(sum[:])
	}
	b.Truncate(n)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o644))
	ts.Setenv("SHA256", fmt.Sprintf("%x", sha256.Sum256(b.Bytes())))
	ts.Setenv("SIZE", args[1])
}

// bup FILE V2|V3: builds a package with an image for every board, two for one board each, and one that Linux does not see.
func makeBUP(ts *testscript.TestScript, _ bool, args []string) {
	o := bup.BuildOptions{Format: bup.V3, Images: []bup.Image{
		{Name: "mb1", Version: 1, Data: []byte("first stage")},
		{Name: "MB1_BCT", Spec: "3767-000-0005--1-0-jetson-orin-nano-devkit-", Version: 1, Data: []byte("nano")},
		{Name: "MB1_BCT", Spec: "3701-300-0000--1-1-jetson-agx-orin-devkit-", Version: 1, Data: []byte("agx")},
		{Name: "VER", Version: 2, Data: []byte("version")},
	}}
	if args[1] == "V2" {
		o.Format, o.Gap = bup.V2, 16
	}
	b, err := bup.BuildBytes(o)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// patch FILE OFFSET HEX|truncate: damages a file; a negative offset counts from the end.
func patch(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	b, err := os.ReadFile(name)
	ts.Check(err)
	off, err := strconv.Atoi(args[1])
	ts.Check(err)
	if off < 0 {
		off += len(b)
	}
	if args[2] == "truncate" {
		b = b[:off]
	} else {
		var p []byte
		_, err := fmt.Sscanf(args[2], "%x", &p)
		ts.Check(err)
		copy(b[off:], p)
	}
	ts.Check(os.WriteFile(name, b, 0o644))
}

// variable DIR NAME VALUE|delete: sets a 32-bit UEFI variable of NVIDIA's, or BootNext of the UEFI specification's.
func variable(ts *testscript.TestScript, _ bool, args []string) {
	vendor, size := "781e084c-a330-417c-b678-38e696380cb9", 4
	if args[1] == "BootNext" {
		vendor, size = "8be4df61-93ca-11d2-aa0d-00e098032b8c", 2
	}
	file := filepath.Join(ts.MkAbs(args[0]), "sys/firmware/efi/efivars", args[1]+"-"+vendor)
	if args[2] == "delete" {
		ts.Check(os.Remove(file))
		return
	}
	v, err := strconv.ParseUint(args[2], 0, 32)
	ts.Check(err)
	data := binary.LittleEndian.AppendUint32([]byte{7, 0, 0, 0}, uint32(v))
	ts.Check(os.WriteFile(file, data[:4+size], 0o644))
}
