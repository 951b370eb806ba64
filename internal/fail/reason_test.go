package fail_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func TestReason(t *testing.T) {
	inner := fail.New(fail.IO, "inner").Then("do the inner thing")
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"nil", nil, ""},
		{"a plain error", errors.New("x; y"), "x; y"},
		{"own", inner, "inner"},
		{"at the end", fail.New(fail.Busy, "outer: %w", inner), "outer: inner"},
		{"in the middle", fail.New(fail.Busy, "outer: %w (so nothing was done)", inner), "outer: inner (so nothing was done)"},
		{"two", fail.New(fail.Busy, "outer: %w (more)", inner).Then("do the outer thing"), "outer: inner (more)"},
		{"wrapped", fmt.Errorf("x: %w, y", inner), "x: inner, y"},
		{"joined", fmt.Errorf("%w and %w", inner, fail.New(fail.IO, "other").Then("z")), "inner and other"},
	} {
		if got := fail.Reason(tt.err); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
