package problem_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

func TestProblem(t *testing.T) {
	p := problem.Errorf("member-size", "%s is\ntoo large", "a.img").Then("compress it").At("release.toml:3:1")
	if got, want := p.String(), "error (member-size): release.toml:3:1: a.img is too large; compress it"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := problem.Warnf("rootfs", "no ext4").String(), "warning (rootfs): no ext4"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	b, err := json.Marshal(problem.Warnf("rootfs", "no ext4"))
	if want := `{"check":"rootfs","severity":"warning","reason":"no ext4","next_step":""}`; err != nil || string(b) != want {
		t.Errorf("%s %v, want %s", b, err, want)
	}
}

// Allow makes warnings of the named errors, and leaves the list it was given alone.
func TestAllow(t *testing.T) {
	found := problem.List{problem.Errorf("a", "x").Then("do"), problem.Errorf("b", "y"), problem.Warnf("a", "z").Then("look")}
	got := found.Allow([]string{"a", "unknown"})
	want := problem.List{problem.Warnf("a", "x").Then("the release allows it"), problem.Errorf("b", "y"), problem.Warnf("a", "z").Then("look")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if found.Errors() != 2 || got.Errors() != 1 {
		t.Errorf("%d errors before, %d after; want 2 and 1", found.Errors(), got.Errors())
	}
}
