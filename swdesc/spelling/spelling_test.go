package spelling_test

import (
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/swdesc/spelling"
)

func TestClosest(t *testing.T) {
	known := []string{"installed-directly", "install-if-different", "name", "path", "type", "version", "ivt"}
	for _, tt := range []struct{ name, want string }{
		{"instaled-directly", "installed-directly"},
		{"installed_directly", "installed-directly"},
		{"Installed directly", "installed-directly"},
		{"installeddirecty", "installed-directly"},
		{"install-if-diferrent", "install-if-different"},
		{"vresion", "version"}, // a swap is one edit
		{"verzoin", "version"},
		{"nmae", "name"},
		{"nm", ""}, // a short name is not half of another
		{"iv", "ivt"},
		{"something", ""},
		{"", ""},
		{"name", ""}, // it is no misspelling
		{strings.Repeat("n", 100), ""},
	} {
		if got := spelling.Closest(tt.name, known); got != tt.want {
			t.Errorf("Closest(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := spelling.Closest("name", nil); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
