// Package config reads /etc/tegra-ota/config.toml. Every value has a default that fits a stock layout; an unknown key is an
// error, because a misspelt safety setting must not be silently absent.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-playground/validator/v10"
	"github.com/pelletier/go-toml/v2"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// DefaultPath is where the configuration lies on the device.
const DefaultPath = "/etc/tegra-ota/config.toml"

// Config is the whole configuration.
type Config struct {
	// Backend settles which backend controls the slots: "" (probed), "efivar", "nvbootctrl".
	Backend string `toml:"backend" validate:"omitempty,oneof=efivar nvbootctrl"`
	// NVBootctrl is NVIDIA's program, which the backend nvbootctrl runs, and efivar where the kernel does not show the retry
	// counts; "" looks in the usual folders.
	NVBootctrl string   `toml:"nvbootctrl" validate:"omitempty,startswith=/"`
	Journal    Journal  `toml:"journal"`
	Boot       Boot     `toml:"boot"`
	Firmware   Firmware `toml:"firmware"`
	ESP        ESP      `toml:"esp"`
	RAUC       RAUC     `toml:"rauc"`
	DBus       DBus     `toml:"dbus"`
}

// Journal says where the record of the update in flight lies.
type Journal struct {
	// Path is a folder that both slots share; "" means /data/tegra-ota where /data is a file system of its own, else the ESP.
	Path string `toml:"path" validate:"omitempty,startswith=/"`
}

// Boot governs trial boots.
type Boot struct {
	// Tries is how many uncommitted boots of a new slot are allowed before it is rolled back.
	Tries int `toml:"tries" validate:"min=1,max=100"`
	// RebootCommand is run to roll back; the first word is the program's absolute path. No shell is used.
	RebootCommand []string `toml:"reboot_command" validate:"required,min=1,dive,required"`
	// AllowWithoutFallback accepts a device whose firmware variables for retries are missing: it neither counts nor falls back.
	AllowWithoutFallback bool `toml:"allow_without_fallback"`
	// HealthFolder holds executables that must all succeed before a new slot is committed.
	HealthFolder string `toml:"health_folder" validate:"required,startswith=/"`
	// HealthTimeout is how long each of them may run.
	HealthTimeout Duration `toml:"health_timeout" validate:"min=1000000000"`
}

// Firmware governs how boot firmware is installed.
type Firmware struct {
	// Method is how firmware gets into the flash: "" (by chip and release: capsule or engine), "capsule", "engine", or "mtd",
	// which is never chosen unasked.
	Method string `toml:"method" validate:"omitempty,oneof=capsule engine mtd"`
	// UpdateEngine is NVIDIA's nv_update_engine; "" looks in the usual folders.
	UpdateEngine string `toml:"update_engine" validate:"omitempty,startswith=/"`
	// UpdateTimeout is how long nv_update_engine may run.
	UpdateTimeout Duration `toml:"update_timeout" validate:"min=1000000000"`
	// CapsuleTrust names a PEM certificate the capsule's signer must be or chain to; "" leaves that judgement to the firmware.
	CapsuleTrust string `toml:"capsule_trust" validate:"omitempty,startswith=/"`
	// AllowOlderChain accepts switching to a slot whose firmware is older than the running one.
	AllowOlderChain bool `toml:"allow_older_chain"`
}

// ESP says where the EFI system partition is mounted.
type ESP struct {
	// MountPoint is looked for in the usual places when "".
	MountPoint string `toml:"mount_point" validate:"omitempty,startswith=/"`
}

// RAUC says how RAUC's system.conf names the slots, A's name first.
type RAUC struct {
	// Bootnames are the values of bootname=, by which RAUC and its bootloader backend name a slot. RAUC allows no blanks in them.
	Bootnames []string `toml:"bootnames" validate:"len=2,unique,dive,required,excludesall= \t\n\r\v\f"`
	// Slots are the names of the sections [slot.NAME] that have them; accepted where a bootname is.
	Slots []string `toml:"slots" validate:"len=2,unique,dive,required,excludesall= \t\n\r\v\f"`
}

// DBus governs tegra-slotd.
type DBus struct {
	// Group may change slots over D-Bus beside root; "" for nobody. The bus's own policy has to name the same one.
	Group string `toml:"group"`
	// SWUpdateProgress are the sockets on which SWUpdate may tell its progress; none to look for none.
	SWUpdateProgress []string `toml:"swupdate_progress" validate:"dive,startswith=/"`
}

// Duration is a time.Duration written as "60s" in TOML.
type Duration time.Duration

// UnmarshalText reads time.ParseDuration's form.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// Default returns the configuration of a device without a file.
func Default() Config {
	return Config{Boot: Boot{
		Tries:         3,
		RebootCommand: []string{"/usr/bin/systemctl", "reboot"},
		HealthFolder:  "/etc/tegra-ota/health.d",
		HealthTimeout: Duration(60 * time.Second),
	}, Firmware: Firmware{UpdateTimeout: Duration(20 * time.Minute)}, RAUC: RAUC{Bootnames: []string{"A", "B"}, Slots: []string{"rootfs.0", "rootfs.1"}},
		// SWUpdate listens in /run/swupdate where systemd makes that for it (2023.12) or it can be written (2026.05), else in /tmp.
		DBus: DBus{Group: "tegra-ota", SWUpdateProgress: []string{"/run/swupdate/swupdateprog", "/tmp/swupdateprog"}}}
}

// Load reads the device's own file. Where there is none, the configuration is the default.
func Load(m *device.Machine) (Config, error) {
	text, err := m.ReadFile(DefaultPath)
	if errors.Is(err, fs.ErrNotExist) {
		return Default(), nil
	}
	return read(DefaultPath, text, err)
}

// LoadFile reads the file that somebody named, as they named it: like an image, it is theirs and need not lie on the device.
// It must be there.
func LoadFile(path string) (Config, error) {
	text, err := os.ReadFile(path)
	return read(path, text, err)
}

func read(path string, text []byte, err error) (Config, error) {
	c := Default()
	if err != nil {
		return c, fail.New(fail.InputCode(err, fail.Usage), "cannot read configuration %s: %w", path, err)
	}
	decoder := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return c, decodeError(path, err)
	}
	rules := validator.New(validator.WithRequiredStructEnabled())
	rules.RegisterTagNameFunc(func(f reflect.StructField) string { return f.Tag.Get("toml") })
	if err := rules.Struct(&c); err != nil {
		return c, validationError(path, err)
	}
	// A program that cannot be found would be noticed only when a roll-back needs it.
	if program := c.Boot.RebootCommand[0]; !strings.HasPrefix(program, "/") {
		return c, fail.New(fail.Usage, "cannot use configuration %s: boot.reboot_command[0] = %s must be an absolute path", path, program)
	}
	return c, nil
}

// decodeError names line and column, where go-toml knows them.
func decodeError(path string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		e := strict.Errors[0]
		line, column := e.Position()
		return fail.New(fail.Usage, "cannot read configuration %s:%d:%d: unknown key %q", path, line, column, strings.Join(e.Key(), ".")).
			Then("see the example configuration for the keys there are")
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, column := decode.Position()
		return fail.New(fail.Usage, "cannot read configuration %s:%d:%d: %w", path, line, column, err)
	}
	return fail.New(fail.Usage, "cannot read configuration %s: %w", path, err)
}

// validationError says which key breaks which rule.
func validationError(path string, err error) error {
	var fields validator.ValidationErrors
	if !errors.As(err, &fields) || len(fields) == 0 {
		return fail.New(fail.Usage, "cannot use configuration %s: %w", path, err)
	}
	f := fields[0]
	rule := f.Tag() + " " + f.Param()
	switch f.Tag() {
	case "startswith":
		rule = "must be an absolute path"
	case "required":
		rule = "must not be empty"
	case "oneof":
		rule = "must be empty or one of: " + f.Param()
	case "min":
		rule = "is too small, the least is " + limit(f)
	case "len":
		rule = "must name both slots, A's first"
	case "unique":
		rule = "must not name both slots alike"
	case "excludesall":
		rule = "must not contain blanks"
	case "max":
		rule = "is too large, the most is " + limit(f)
	}
	return fail.New(fail.Usage, "cannot use configuration %s: %s = %v %s", path, strings.TrimPrefix(f.Namespace(), "Config."), f.Value(), rule)
}

// limit names a bound as the configuration writes its value.
func limit(f validator.FieldError) string {
	if _, ok := f.Value().(Duration); ok {
		if n, err := strconv.ParseInt(f.Param(), 10, 64); err == nil {
			return Duration(n).String()
		}
	}
	return f.Param()
}

// String names a duration as TOML writes it.
func (d Duration) String() string { return time.Duration(d).String() }

var _ fmt.Stringer = Duration(0)
