package release_test

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

// Every check of the list may be allowed, alone and with the others, and the example explains each in its order.
func TestAllowable(t *testing.T) {
	for _, check := range release.Allowable {
		r, err := release.Parse("r.toml", []byte(fmt.Sprintf("allow = [%q]\n", check)+head))
		if err != nil || cmp.Diff([]string{check}, r.Allow) != "" {
			t.Errorf("%s: %v", check, err)
		}
	}
	r := &release.Release{Version: "1", Allow: release.Allowable, Components: []release.Component{{Type: "rootfs", File: "r"}}}
	back, err := release.Parse("r.toml", []byte(printed(t, r)))
	if err != nil || cmp.Diff(release.Allowable, back.Allow) != "" {
		t.Error(back, err)
	}
	for _, check := range []string{firmware.CheckType, firmware.CheckFloor, firmware.CheckStep, "signature", "", "Rootfs"} {
		if _, err := release.Parse("r.toml", []byte(fmt.Sprintf("allow = [%q]\n", check)+head)); err == nil {
			t.Errorf("%q may be allowed", check)
		}
	}
	example, err := os.ReadFile("../../examples/release/release.toml")
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, m := range regexp.MustCompile(`(?m)^#   ([a-z0-9-]+)  +[a-z]`).FindAllStringSubmatch(string(example), -1) {
		explained = append(explained, m[1])
	}
	if d := cmp.Diff(release.Allowable, explained); d != "" {
		t.Error(d)
	}
}

// A member's name that the rules take is one that SWUpdate takes, whether it was given or made of the file's.
func TestMembersSuitSWUpdate(t *testing.T) {
	names := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Za-z0-9._+~ /-]{1,300}`),
		rapid.StringMatching(`[a-z]{55,70}|[a-z]{245,260}`),
		rapid.SampledFrom([]string{"TRAILER!!!", ".", "..", "a", "é"}))
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		c := release.Component{
			Type: release.Kernel, File: "f" + names.Draw(t, "file"), Name: names.Draw(t, "name"),
			Compression: rapid.SampledFrom([]string{release.Plain, release.Zstd}).Draw(t, "compression"),
		}
		if rapid.Bool().Draw(t, "unnamed") {
			c.Name = ""
		}
		r := &release.Release{Version: "1", Components: []release.Component{c}}
		if r.Print(io.Discard) != nil {
			return
		}
		taken++
		if err := cpio.CheckName(c.MemberName()); err != nil {
			t.Fatalf("%q: %v", c.MemberName(), err)
		}
	})
	if taken < 5 {
		t.Errorf("%d names taken: the test says little", taken)
	}
}
