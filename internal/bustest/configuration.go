package bustest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// system is the configuration of the system bus as package dbus ships it.
const system = "/usr/share/dbus-1/system.conf"

// The configuration of a private bus. The type stays system: it tells an activated service which bus is its own
// (DBUS_STARTER_BUS_TYPE, DBUS_SYSTEM_BUS_ADDRESS). dbus-daemon 1.14 still activates with Exec= itself, as the daemon's user, as
// long as there is no servicehelper, the setuid program that would change to the activation file's User=.
const (
	head = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
<type>system</type>
<auth>EXTERNAL</auth>
`
	openPolicy = `<policy context="default">
<allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
</policy>
`
)

// configuration is that of a bus at an address.
func configuration(o Options, address string) ([]byte, error) {
	b := bytes.NewBufferString(head)
	element(b, "listen", address)
	rules := []byte(openPolicy)
	if !o.Open {
		shipped, err := os.ReadFile(system)
		if err != nil {
			return nil, fmt.Errorf("no rules of a system bus (package dbus-system-bus-common): %w", err)
		}
		if rules, err = rulesOf(shipped); err != nil {
			return nil, fmt.Errorf("%s: %w", system, err)
		}
	}
	b.Write(rules)
	for _, path := range o.Policies {
		name, err := included(path)
		if err != nil {
			return nil, err
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		element(b, name, absolute)
	}
	for _, dir := range o.ServiceDirs {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		element(b, "servicedir", absolute)
	}
	b.WriteString("</busconfig>\n")
	return b.Bytes(), nil
}

// included is the element that includes a file, or a folder. dbus-daemon passes over a folder that is not there.
func included(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("no policy: %w", err)
	case info.IsDir():
		return "includedir", nil
	}
	return "include", nil
}

func element(b *bytes.Buffer, name, text string) {
	fmt.Fprintf(b, "<%s>", name)
	_ = xml.EscapeText(b, []byte(text)) // a buffer takes all
	fmt.Fprintf(b, "</%s>\n", name)
}

// rulesOf returns a configuration's policies and limits as they stand. All else concerns the machine's own bus: its user, socket,
// pid file and helper, what it logs to, and the policies of what is installed there.
func rulesOf(conf []byte) ([]byte, error) {
	var rules bytes.Buffer
	d := xml.NewDecoder(bytes.NewReader(conf))
	policies := 0
	for depth := 0; ; {
		start := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch e := token.(type) {
		case xml.StartElement:
			if name := e.Name.Local; depth == 1 && (name == "policy" || name == "limit") {
				if err := d.Skip(); err != nil {
					return nil, err
				}
				rules.Write(bytes.TrimSpace(conf[start:d.InputOffset()]))
				rules.WriteByte('\n')
				if name == "policy" {
					policies++
				}
				continue
			}
			depth++
		case xml.EndElement:
			depth--
		}
	}
	if policies == 0 {
		return nil, errors.New("no policy in it")
	}
	return rules.Bytes(), nil
}
