package fail_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// malformed is how errors of package formats look.
type malformed bool

func (malformed) Error() string         { return "bad bytes" }
func (m malformed) MalformedData() bool { return bool(m) }

func TestCodeOf(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want fail.Code
	}{
		{"nil", nil, fail.OK},
		{"own", fail.New(fail.Busy, "x"), fail.Busy},
		{"wrapped", fmt.Errorf("cannot y: %w", fail.New(fail.No, "x")), fail.No},
		{"the outermost of two", fail.New(fail.Unavailable, "x: %w", fail.New(fail.IO, "y")), fail.Unavailable},
		{"own around a system error", fail.New(fail.Unavailable, "x: %w", fs.ErrPermission), fail.Unavailable},
		{"joined", errors.Join(errors.New("x"), fail.New(fail.Data, "y")), fail.Data},
		{"malformed", fmt.Errorf("x: %w", malformed(true)), fail.Data},
		{"not malformed", malformed(false), fail.Internal},
		{"EACCES", &fs.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}, fail.Permission},
		{"EPERM", syscall.EPERM, fail.Permission},
		{"ENOENT", &fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT}, fail.IO},
		{"EIO", fmt.Errorf("x: %w", syscall.EIO), fail.IO},
		{"deadline", context.DeadlineExceeded, fail.IO},
		{"canceled", fmt.Errorf("x: %w", context.Canceled), fail.IO},
		{"unclassified", errors.New("x"), fail.Internal},
	} {
		if got := fail.CodeOf(tt.err); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// The numbers are a contract with scripts and with the Lua glue.
func TestCodesAreFrozen(t *testing.T) {
	for code, want := range map[fail.Code]string{
		0: "ok", 1: "no", 64: "usage", 65: "data", 69: "unavailable", 70: "internal", 74: "io", 75: "busy", 77: "permission", 3: "exit 3",
	} {
		if code.String() != want {
			t.Errorf("%d: %q, want %q", int(code), code, want)
		}
	}
}

func TestMessages(t *testing.T) {
	plain := fail.New(fail.IO, "cannot read %s: %w", "x", fs.ErrNotExist)
	if plain.Error() != "cannot read x: file does not exist" || !errors.Is(plain, fs.ErrNotExist) {
		t.Error(plain)
	}
	if got := plain.Then("run %s", "y").Error(); got != "cannot read x: file does not exist; run y" {
		t.Error(got)
	}
}

func TestNextOf(t *testing.T) {
	inner := fail.New(fail.IO, "inner").Then("do the inner thing")
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"a plain error", errors.New("x"), ""},
		{"none", fail.New(fail.IO, "x"), ""},
		{"own", inner, "do the inner thing"},
		{"below one without", fail.New(fail.Busy, "outer: %w", inner), "do the inner thing"},
		{"the outermost", fail.New(fail.Busy, "outer: %w", inner).Then("do the outer thing"), "do the outer thing"},
		{"wrapped", fmt.Errorf("x: %w", inner), "do the inner thing"},
	} {
		if got := fail.NextOf(tt.err); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
