package release_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

// boards is a release for these boards; the list starts at line 6, column 10.
func boards(names ...string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return head + "[hardware]\nboards = [" + strings.Join(quoted, ", ") + "]\n"
}

// Boards are refused as they would be when the firmware is looked at, but with their place.
func TestBoards(t *testing.T) {
	known := "; give the device's TNSPEC, or MODULE or MODULE/MACHINE with one of the modules " + strings.Join(firmware.Modules(), ", ")
	const neither = "it is neither a module nor a TNSPEC (BOARDID-FAB-BOARDSKU-BOARDREV-FUSELEVEL-CHIPREV-MACHINE-BOOTDEV, " +
		"at most 127 characters)"
	for _, tt := range []struct {
		names []string
		want  string
	}{
		{[]string{"p9999-0000"}, `r.toml:6:11: hardware.boards[0] "p9999-0000": no such module is known` + known},
		{[]string{"p3767-0005", "p3767-0009"}, `r.toml:6:25: hardware.boards[1] "p3767-0009": no such module is known` + known},
		{[]string{"jetson-orin"}, `r.toml:6:11: hardware.boards[0] "jetson-orin": ` + neither + known},
		{[]string{"p3767-0005/"}, `r.toml:6:11: hardware.boards[0] "p3767-0005/": ` + neither + known},
		{[]string{""}, `r.toml:6:11: hardware.boards[0] "": ` + neither + known},
		{[]string{strings.Repeat("p", 5000)}, `r.toml:6:11: hardware.boards[0] "` + strings.Repeat("p", 255) + `": ` + neither + known},
		{[]string{"3767-300-0005-M.3-1-0-a-x"},
			`r.toml:6:11: hardware.boards[0] "3767-300-0005-M.3-1-0-a-x": ` +
				`"x" at its end is no boot device; a TNSPEC without one ends with a hyphen` + known},
		{[]string{"1234-300-0005-M.3-1-0-a-"},
			`r.toml:6:11: hardware.boards[0] "1234-300-0005-M.3-1-0-a-": no chip is known for board id 1234` + known},
		{[]string{"p3767-0005", "p3767-0005"},
			`r.toml:6:25: hardware.boards[1] "p3767-0005": it is the same as "p3767-0005"; name each board once`},
		{[]string{"p3767-0005", "p3767-0005/jetson-orin-nano-devkit"},
			`r.toml:6:25: hardware.boards[1] "p3767-0005/jetson-orin-nano-devkit": it is the same as "p3767-0005"; name each board once`},
		{[]string{"p3701-0000", "p3767-0005", "p3701-0000/jetson-agx-orin-devkit"},
			`r.toml:6:39: hardware.boards[2] "p3701-0000/jetson-agx-orin-devkit": it is the same as "p3701-0000"; name each board once`},
		// All that is wrong at once.
		{[]string{"p3767-0005", "3767--0005--1--jetson-orin-nano-devkit-", "x"},
			`r.toml:6:25: hardware.boards[1] "3767--0005--1--jetson-orin-nano-devkit-": it is the same as "p3767-0005"; name each board once; ` +
				`r.toml:6:68: hardware.boards[2] "x": ` + neither + known},
	} {
		_, err := release.Parse("r.toml", []byte(boards(tt.names...)))
		if err == nil || fail.CodeOf(err) != fail.Data || err.Error() != "cannot use release "+tt.want {
			t.Errorf("%.100q\n got %v\nwant cannot use release %s", tt.names, err, tt.want)
		}
	}
}

// Parse takes those lists that firmware.ParseBoards takes, and no others.
func TestBoardsAreThoseOfFirmware(t *testing.T) {
	some := append(firmware.Modules(), "p3767-0005/jetson-orin-nano-devkit", "p3767-0000/m", "p3767-0000/m--", "p9999-0000", "p3768-0000", "x",
		"3767--0005--1--jetson-orin-nano-devkit-", "3767--0000--1--jetson-orin-nano-devkit-", "3701--0000--1--jetson-agx-orin-devkit-",
		"3701-300-0000--1--jetson-agx-orin-devkit-", "3767-300-0005-M.3-1-0-jetson-orin-nano-devkit-nvme0n1p1", `3767-"-\-$-1-0-m-`)
	taken, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.SampledFrom(some), 0, 4).Draw(t, "names")
		_, want := firmware.ParseBoards(names)
		_, got := release.Parse("r.toml", []byte(boards(names...)))
		if (got == nil) != (want == nil) {
			t.Fatalf("%v, and of firmware %v", got, want)
		}
		if want == nil {
			taken++
		} else {
			refused++
		}
	})
	if taken < 5 || refused < 5 {
		t.Errorf("%d taken, %d refused: the test says little", taken, refused)
	}
}

func TestImportHardware(t *testing.T) {
	for _, tt := range []struct {
		list, boards, compatible string
		warnings, errors         int
	}{
		{`[]`, "", "", 0, 0},
		{`["p3767-0005", "3767-0005"]`, "p3767-0005", "", 0, 0},
		{`["3701-500-0000-M.0-1-1-jetson-agx-orin-devkit-"]`, "3701-500-0000-M.0-1-1-jetson-agx-orin-devkit-", "", 0, 0},
		{`["p3701-0000/jetson-agx-orin-devkit"]`, "p3701-0000/jetson-agx-orin-devkit", "", 0, 0},
		{`["p3737-0000"]`, "", "", 1, 0},
		// ParseBoards decides: these have the form of a board, but no firmware could be checked against them.
		{`["p9999-0000"]`, "", "p9999-0000", 1, 0},
		{`["3767-0009-TS1", "p3767-0001"]`, "p3767-0001", "3767-0009-TS1", 1, 0},
		{`["3701--0000--1--jetson-agx-orin-devkit-"]`, "", "3701--0000--1--jetson-agx-orin-devkit-", 1, 0},
		{`["3767-300-0005-M.3-1-0-x"]`, "", "3767-300-0005-M.3-1-0-x", 1, 0},
		// And a name for the same board in other words is no second one.
		{`["3767-0005-300", "p3767-0005/jetson-orin-nano-devkit", "3767--0005--1--jetson-orin-nano-devkit-"]`, "p3767-0005", "", 1, 0},
		{`["a", "a"]`, "", "a", 2, 0},
		{`["a", "b"]`, "", "a", 1, 1},
	} {
		r, problems, err := unsigned(t, `, "hardware_compatibility": `+tt.list)
		if err != nil {
			t.Errorf("%s: %v", tt.list, err)
			continue
		}
		if got := strings.Join(r.Hardware.Boards, " "); got != tt.boards || r.Hardware.Compatible != tt.compatible ||
			problems.Errors() != tt.errors || len(problems)-problems.Errors() != tt.warnings {
			t.Errorf("%s: %+v, %v", tt.list, r.Hardware, problems)
		}
	}
}
