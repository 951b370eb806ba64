package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	serviceDropIn = "/etc/systemd/system/rauc.service.d/50-tegra-ota.conf"
	serviceLog    = "/run/rauc-service.log"
	busName       = "de.pengutronix.rauc"
)

// status is what rauc status --detailed prints as JSON.
type status struct {
	Booted  string                  `json:"booted"`
	Primary string                  `json:"boot_primary"`
	Slots   []map[string]slotStatus `json:"slots"` // each a map of one
}

type slotStatus struct {
	State      string `json:"state"`
	BootStatus string `json:"boot_status"`
	Status     struct {
		Status string `json:"status"`
		Bundle struct {
			Version string `json:"version"`
		} `json:"bundle"`
	} `json:"slot_status"`
}

// truth is the part of it that has to be right. Of a slot that is its state, boot status, and what RAUC has written to it:
// "inactive good ok 1.1.0".
type truth struct{ Booted, Primary, A, B, FirmwareB string }

// setEnvironment leaves what a service manager gives its services, PATH, and which device they are on.
func setEnvironment() error {
	os.Clearenv()
	return errors.Join(os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), os.Setenv("TEGRA_OTA_ROOT", orin))
}

// output runs a program that has to succeed, and returns what it printed on standard output.
func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out), nil
}

// execStart returns the last ExecStart= of a unit file as a line for the shell, whose quoting is systemd's for what our
// units use; there a dollar is written twice.
func execStart(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	last := ""
	for _, line := range strings.Split(strings.ReplaceAll(string(text), "\\\n", " "), "\n") {
		if value, ok := strings.CutPrefix(line, "ExecStart="); ok {
			last = value
		}
	}
	if last == "" {
		return "", fmt.Errorf("%s has no ExecStart", file)
	}
	return strings.ReplaceAll(last, "$$", "$"), nil
}

// startService starts RAUC as its unit and our drop-in say, and waits until it is on the bus.
func startService() error {
	line, err := execStart(serviceDropIn)
	if err != nil {
		return err
	}
	log, err := os.Create(serviceLog)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("sh", "-c", line)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	// A service that ends by itself must not stay a zombie: the first process has to collect it.
	go func() { _ = cmd.Wait() }()
	deadline := time.Now().Add(30 * time.Second)
	for {
		out, err := output("dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner",
			"string:"+busName)
		switch {
		case err != nil:
			return err
		case strings.Contains(out, "true"):
			return nil
		case time.Now().After(deadline):
			return errors.New("the service is not on the bus after 30 s")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// wantStatus compares what rauc status says. RAUC 1.8 asks the backend three questions for that.
func wantStatus(want truth) error {
	out, err := output("rauc", "status", "--detailed", "--output-format=json")
	if err != nil {
		return err
	}
	var s status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return fmt.Errorf("cannot read what rauc status printed: %w: %s", err, out)
	}
	got := truth{Booted: s.Booted, Primary: s.Primary}
	for _, slots := range s.Slots {
		for name, slot := range slots {
			words := strings.Fields(strings.Join([]string{slot.State, slot.BootStatus, slot.Status.Status, slot.Status.Bundle.Version}, " "))
			text := strings.Join(words, " ")
			switch name {
			case "rootfs.0":
				got.A = text
			case "rootfs.1":
				got.B = text
			case "bootloader.1":
				got.FirmwareB = text
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		return fmt.Errorf("rauc status (-want +got):\n%s%s", d, out)
	}
	return nil
}

// wantCalls compares the calls since the last time with the golden trace, and returns them.
func wantCalls(want ...string) ([]call, error) {
	calls, err := takeCalls()
	if err != nil {
		return nil, err
	}
	var got []string
	for _, c := range calls {
		got = append(got, c.String())
	}
	if d := cmp.Diff(want, got); d != "" {
		return nil, fmt.Errorf("calls by RAUC (-want +got):\n%s", d)
	}
	return calls, nil
}

// showLogs prints what is needed to understand a failure; what matters most comes last.
func showLogs() {
	kernel := strings.Split(kernelLog(), "\n")
	fmt.Println("---- kernel\n" + strings.Join(kernel[max(0, len(kernel)-20):], "\n"))
	for _, file := range []string{traceFile, serviceLog} {
		text, _ := os.ReadFile(file)
		fmt.Printf("---- %s\n%s\n", file, text)
	}
}
