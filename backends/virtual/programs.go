package virtual

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Where NVIDIA's packages install the two programs, and where the folder keeps which ones they are.
const (
	NVBootctrlPath   = "/usr/sbin/nvbootctrl"
	UpdateEnginePath = "/usr/sbin/nv_update_engine"
	programsFile     = "qspi/programs.json"
)

// ProgramOptions says which programs of NVIDIA's a device has. The zero value has those of its release, without failures.
type ProgramOptions struct {
	Dialect       Dialect             `json:"nvbootctrl"`
	Failure       NVBootctrlFailure   `json:"nvbootctrl_failure"`
	Payload       *bool               `json:"engine_payload"` // nil: as the release does, R32.6 and later
	EngineFailure UpdateEngineFailure `json:"engine_failure"`
}

func (p ProgramOptions) nvbootctrl() NVBootctrlOptions {
	return NVBootctrlOptions{Dialect: p.Dialect, Failure: p.Failure}
}

func (p ProgramOptions) engine(o *Orin) UpdateEngineOptions {
	e := UpdateEngineOptions{Payload: o.Dialect() != DialectR32Old, Failure: p.EngineFailure}
	if p.Payload != nil {
		e.Payload = *p.Payload
	}
	return e
}

// Check refuses dialects and failures that are not known (Usage).
func (p ProgramOptions) Check() error {
	if err := p.nvbootctrl().check(); err != nil {
		return err
	}
	return UpdateEngineOptions{Failure: p.EngineFailure}.check()
}

// Programs are NVIDIA's programs for device.Machine.WithProgram, by path.
func Programs(o *Orin, opts ProgramOptions) map[string]device.Program {
	return map[string]device.Program{
		NVBootctrlPath: func(ctx context.Context, m *device.Machine, c device.Command) (device.Result, error) {
			stdout, stderr, exit := RunNVBootctrl(ctx, m, o, opts.nvbootctrl(), c.Args...)
			return resultOf(c, ctx.Err(), stdout, stderr, exit)
		},
		UpdateEnginePath: func(ctx context.Context, m *device.Machine, c device.Command) (device.Result, error) {
			stdout, stderr, exit := RunUpdateEngine(ctx, m, o, opts.engine(o), c.Args...)
			return resultOf(c, ctx.Err(), stdout, stderr, exit)
		},
	}
}

// WithPrograms returns the machine with all of them.
func WithPrograms(m *device.Machine, o *Orin, opts ProgramOptions) *device.Machine {
	for path, run := range Programs(o, opts) {
		m = m.WithProgram(path, run)
	}
	return m
}

// ProgramOptions reads what SetPrograms wrote; the zero value if it never did.
func (o *Orin) ProgramOptions() (ProgramOptions, error) {
	var p ProgramOptions
	raw, err := os.ReadFile(o.path(programsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		return p, fmt.Errorf("cannot read %s: %w", o.path(programsFile), err)
	}
	return p, nil
}

// SetPrograms keeps which programs the device has, for the scripts that InstallPrograms makes.
func (o *Orin) SetPrograms(p ProgramOptions) error {
	if err := p.Check(); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", programsFile, err)
	}
	return o.write(programsFile, append(raw, '\n'))
}

// InstallPrograms makes the programs executable in the folder: scripts that call "EXECUTABLE program DIR NAME ARGUMENT...". They
// find DIR from their own place, so that a clone's work on the clone. The engine comes only where it has a function.
func (o *Orin) InstallPrograms(executable string) error {
	paths := []string{NVBootctrlPath}
	if o.board.Cboot {
		paths = append(paths, UpdateEnginePath)
	}
	for _, path := range paths {
		name := strings.TrimPrefix(path, "/usr/sbin/")
		text := fmt.Sprintf("#!/bin/sh\n# A stand-in for NVIDIA's %s, made by virtual-orin.\nexec %s program \"${0%%/usr/sbin/*}\" %s \"$@\"\n",
			name, quote(executable), name)
		if err := o.write(strings.TrimPrefix(path, "/"), []byte(text)); err != nil {
			return err
		}
		if err := os.Chmod(o.path(path), 0o755); err != nil {
			return fmt.Errorf("cannot make %s executable: %w", path, err)
		}
	}
	return nil
}

func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// RunProgram runs one of the programs as ProgramOptions of the folder says; name is the last element of its path.
func (o *Orin) RunProgram(ctx context.Context, name string, args ...string) (stdout, stderr string, exit int, err error) {
	p, err := o.ProgramOptions()
	if err != nil {
		return "", "", 0, err
	}
	m := device.New(o.dir)
	switch name {
	case "nvbootctrl":
		stdout, stderr, exit = RunNVBootctrl(ctx, m, o, p.nvbootctrl(), args...)
	case "nv_update_engine":
		stdout, stderr, exit = RunUpdateEngine(ctx, m, o, p.engine(o), args...)
	default:
		return "", "", 0, fail.New(fail.Usage, "cannot run program %q: known are nvbootctrl and nv_update_engine", name)
	}
	return stdout, stderr, exit, nil
}
