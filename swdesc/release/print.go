package release

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Print writes the release as TOML with comments, without what is default. Load reads the same release from it, where the file
// lies in Base. A release that Load would refuse is refused here.
func (r *Release) Print(w io.Writer) error {
	whole := *r
	whole.Components = append([]Component(nil), r.Components...)
	whole.complete()
	s := newSchema("release", "toml")
	whole.validate(s)
	if err := s.err("print"); err != nil {
		return err
	}
	p := printer{w: bufio.NewWriter(w)}
	p.release(&whole)
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("cannot write the release description: %w", err)
	}
	return nil
}

// printer writes keys; bufio.Writer keeps its first error until Flush.
type printer struct{ w *bufio.Writer }

func (p printer) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// text prints a key whose value is not the default.
func (p printer) text(key, value, usual, comment string) {
	if value != usual {
		p.key(key, quote(value), comment)
	}
}

func (p printer) texts(key string, values []string, comment string) {
	if len(values) == 0 {
		return
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	p.key(key, "["+strings.Join(quoted, ", ")+"]", comment)
}

func (p printer) key(key, value, comment string) {
	if comment != "" {
		comment = " # " + comment
	}
	p.line("%s = %s%s", key, value, comment)
}

func (p printer) release(r *Release) {
	p.line("# Release description for swdesc.")
	p.text("version", r.Version, "", "")
	p.text("description", r.Description, "", "")
	p.text("name", r.Name, "release", "Mender's artifact is NAME-VERSION")
	p.text("minimum_version", r.MinimumVersion, "", "older systems refuse")
	p.texts("allow", r.Allow, "checks whose errors become warnings")
	h := r.Hardware
	if len(h.Boards)+len(h.Revisions) > 0 || h.Compatible != "" || h.SWUpdateBoard != "" {
		p.line("\n[hardware]")
		p.texts("boards", h.Boards, "that the firmware must suit")
		p.text("compatible", h.Compatible, "", "RAUC's compatible, Mender's device type")
		p.texts("revisions", h.Revisions, "SWUpdate's hardware-compatibility")
		p.text("swupdate_board", h.SWUpdateBoard, "", "first word of the devices' /etc/hwrevision")
	}
	if r.Running != (Running{File: "/etc/os-release", Key: "VERSION_ID"}) {
		p.line("\n# Where a device finds the version it runs.\n[running]")
		p.text("file", r.Running.File, "/etc/os-release", "")
		p.text("key", r.Running.Key, "VERSION_ID", "")
	}
	for _, c := range r.Components {
		p.component(c)
	}
	p.preconditions(r.Preconditions)
}

func (p printer) component(c Component) {
	p.line("\n[[component]]")
	p.text("type", c.Type, "", "")
	p.text("file", c.File, "", "")
	p.text("name", c.Name, "", "in the update")
	p.text("path", c.Destination, "", "on the device")
	p.text("partition", c.Partition, "", "of the slot that does not run")
	p.text("script", c.Script, "", "")
	p.text("compression", c.Compression, Plain, "")
	if c.Stream != nil && *c.Stream != (c.Type == Rootfs) {
		comment := "copied and checked first"
		if *c.Stream {
			comment = "written while it arrives"
		}
		p.key("stream", strconv.FormatBool(*c.Stream), comment)
	}
	p.flag("encrypt", c.Encrypt)
	p.flag("install_if_different", c.InstallIfDifferent)
	p.text("component_version", c.ComponentVersion, "", "")
}

func (p printer) flag(key string, value bool) {
	if value {
		p.key(key, "true", "")
	}
}

func (p printer) preconditions(c Preconditions) {
	if len(c.FreeSpace)+len(c.Services)+c.BatteryPercent == 0 && !c.ACPower {
		return
	}
	p.line("\n# Checked on the device before the first byte is written.\n[preconditions]")
	if len(c.FreeSpace) > 0 {
		p.line("free_space = [")
		for _, f := range c.FreeSpace {
			p.line("  { path = %s, bytes = %s },", quote(f.Path), quote(f.Bytes.String()))
		}
		p.line("]")
	}
	if c.BatteryPercent > 0 {
		p.key("battery_percent", strconv.Itoa(c.BatteryPercent), "at least")
	}
	p.flag("ac_power", c.ACPower)
	p.texts("services", c.Services, "that must be active")
}

// quote writes a TOML string. The rules leave no control characters.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
