package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Where calls are recorded, one JSON object a line, and the executable behind all the names.
const (
	traceFolder = "/run/trace"
	traceFile   = traceFolder + "/calls"
	libexec     = "/usr/libexec/tegra-ota"
	executable  = libexec + "/tegra-ota"
)

// call is one call of an executable of ours by RAUC.
type call struct {
	Name   string
	Args   []string
	Env    map[string]string // RAUC_* only
	Mount  string            // the line of /proc/mounts for the bundle
	Device string            // MAJOR:MINOR of the file system that the image lies on, by stat(2)
	Table  string            // what dmsetup says of that device
}

// record writes down this call and becomes the executable that was meant: with its name, arguments, environment and pipes.
func record(name string) {
	c := call{Name: name, Args: os.Args[1:], Env: map[string]string{}}
	for _, e := range os.Environ() {
		if k, v, _ := strings.Cut(e, "="); strings.HasPrefix(k, "RAUC_") {
			c.Env[k] = v
		}
	}
	if point := c.Env["RAUC_BUNDLE_MOUNT_POINT"]; point != "" {
		c.look(point)
	}
	err := c.write()
	if err == nil {
		err = unix.Exec(executable, append([]string{name}, os.Args[1:]...), os.Environ())
	}
	fmt.Fprintf(os.Stderr, "cannot record a call of %s: %v\n", name, err)
	os.Exit(70)
}

// look collects what tells a verity bundle from another: asked of the kernel while the bundle is in use.
func (c *call) look(point string) {
	mounts, _ := os.ReadFile("/proc/mounts")
	for _, line := range strings.Split(string(mounts), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[1] == point {
			c.Mount = line
		}
	}
	of := point
	if image := c.Env["RAUC_IMAGE_NAME"]; filepath.IsAbs(image) {
		of = image
	}
	var st unix.Stat_t
	if unix.Stat(of, &st) != nil {
		return
	}
	major, minor := fmt.Sprint(unix.Major(st.Dev)), fmt.Sprint(unix.Minor(st.Dev))
	c.Device = major + ":" + minor
	table, err := exec.Command("dmsetup", "table", "--major", major, "--minor", minor).CombinedOutput()
	c.Table = strings.TrimSpace(string(table))
	if err != nil {
		c.Table += ": " + err.Error()
	}
}

func (c *call) write() error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(traceFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return err
	}
	return f.Close()
}

// String is the call as the golden traces have it.
func (c *call) String() string {
	return strings.TrimSpace(strings.TrimPrefix(c.Name, "tegra-") + " " + strings.Join(c.Args, " "))
}

// takeCalls returns the calls since it was last asked.
func takeCalls() ([]call, error) {
	text, err := os.ReadFile(traceFile)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var calls []call
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var c call
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			return nil, fmt.Errorf("cannot read a recorded call: %w", err)
		}
		calls = append(calls, c)
	}
	return calls, os.Remove(traceFile)
}
