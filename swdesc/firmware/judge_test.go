package firmware_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
)

// What is found in whole packages: "severity (check): words of the reason", all of it and in this order.
func TestProblems(t *testing.T) {
	const (
		step   = "warning (firmware-step): devices with firmware older than 35.5.0 refuse 36.4.3, whose flash layout is newer"
		thor   = "p3834-0008"
		nx     = "3668-100-0001-A.0-1-0-jetson-xavier-nx-devkit-"
		xavier = "2888-400-0004-M.0-1-2-jetson-agx-xavier-devkit-"
	)
	igx, oem := chip.T234.ImageTypes[1], guid.MustParse("01234567-89ab-cdef-0123-456789abcdef")
	nano := []string{"p3767-0005"}
	r35 := payload{ver: verText(version("35.6.4"))}
	for _, tt := range []struct {
		about  string
		data   []byte
		boards []string
		want   []string
	}{
		{"nothing to say about R35", wrap{version: "35.6.4"}.around(t, r35), nano, nil},
		{"R36", wrap{}.around(t, payload{}), nano, []string{step}},
		{"R36 by its payload only", wrap{version: "1.2.3"}.around(t, payload{}), nano, []string{
			"warning (firmware-version): the capsule says version 1.2.3, the image VER in it 36.4.3, " +
				"which firmware will tell once installed", step}},
		{"no boards", wrap{}.around(t, payload{}), nil, []string{
			"warning (firmware-boards): no boards are named, so nothing was compared with the firmware", step}},
		{"a floor", wrap{version: "35.6.4", lowest: "35.6.0"}.around(t, r35), nano, []string{
			"warning (firmware-floor): after this update no firmware older than 35.6.0 installs"}},
		{"a floor at the version itself", wrap{version: "35.6.4", lowest: "35.6.4"}.around(t, r35), nano, []string{
			"warning (firmware-floor): after this update no firmware older than 35.6.4 installs"}},
		{"a floor above", wrap{version: "35.6.4", lowest: "36.0.0"}.around(t, r35), nano, []string{
			"error (firmware-floor): the capsule's lowest supported version 36.0.0 is above its own version 35.6.4: " +
				"after this update not even the same capsule installs again"}},
		{"unsigned", wrap{version: "35.6.4", unsigned: true}.around(t, r35), nano, []string{
			"error (firmware-signature): the capsule is not signed: firmware refuses it unless it was built without authentication"}},
		{"VER says another version", wrap{version: "35.6.4"}.around(t, payload{ver: verText(version("35.6.3"))}), nano, []string{
			"warning (firmware-version): the capsule says version 35.6.4, the image VER in it 35.6.3, which firmware will tell once installed"}},
		{"VER of R32", wrap{version: "35.6.4"}.around(t, payload{ver: []byte("NV3\n# R32 , REVISION: 7.5\n")}), nano, []string{
			"warning (firmware-version): the capsule's image VER cannot be read, it does not start with NV4: " +
				"firmware will tell 0.0.0 as its version"}},
		{"an OEM's type", wrap{version: "35.6.4", imageType: oem}.around(t, r35), nano, []string{
			"warning (firmware-type): no chip is known to have the capsule's image type 01234567-89ab-cdef-0123-456789abcdef; " +
				"T234 (p3767-0005) has bf0d4599-20d4-414e-b2c5-3595b1cda402 unless its maker changed it"}},
		{"IGX Orin's type", wrap{version: "35.6.4", imageType: igx}.around(t, r35), nano, []string{
			"warning (firmware-type): the capsule's image type db21ea33-80c8-4906-971a-49c0b3f7d1d0 is that of special products with T234; " +
				"others (p3767-0005) have bf0d4599-20d4-414e-b2c5-3595b1cda402 and refuse it"}},
		// No problem beside it about the images that Thor lacks in Orin's capsule.
		{"another chip's type", wrap{}.around(t, payload{}), []string{"p3767-0005", thor, "p3834-0000"}, []string{
			"error (firmware-type): the capsule's image type bf0d4599-20d4-414e-b2c5-3595b1cda402 is that of T234; " +
				"T264 (p3834-0008, p3834-0000) refuses it", step}},
		{"Thor", wrap{version: "38.2.0", imageType: chip.T264.ImageTypes[0]}.around(t, payload{chip: chip.T264, ver: verText(version("38.2.0"))}),
			[]string{thor}, nil},
		{"a bare BUP", payload{}.build(t), []string{"p3767-0005", "p3767-0004", thor}, []string{
			"error (firmware-type): the file is a bare BUP; firmware of T234 (p3767-0005, p3767-0004) takes a signed UEFI capsule",
			"error (firmware-type): the file is a bare BUP; firmware of T264 (p3834-0008) takes a signed UEFI capsule"}},
		{"a bare BUP without boards", payload{}.build(t), nil, []string{
			"warning (firmware-boards): no boards are named, so nothing was compared with the firmware"}},
		{"a bare BUP of R32 for Orin", payload{format: bup.V2}.build(t), nano, []string{
			"error (firmware-type): the file is a bare BUP of format V2, which is R32's; " +
				"firmware of T234 (p3767-0005) takes a signed UEFI capsule with one of format V3"}},
		{"for Xavier", payload{format: bup.V2, chip: chip.T194, ver: []byte("NV3\n")}.build(t), []string{xavier}, nil},
		{"for another Xavier", payload{format: bup.V2, chip: chip.T194, specs: []string{nx}}.build(t), []string{xavier}, []string{
			"error (firmware-boards): " + xavier + ": the bup has no secondary_gpt, MB1_BCT, MEM_BCT for it " +
				"(secondary_gpt: the package has 1 image for other boards: " + nx + ")"}},
		{"of R35 for Xavier", payload{chip: chip.T194}.build(t), []string{xavier}, []string{
			"error (firmware-type): the file is a bare BUP of format V3; T194 (" + xavier + ") " +
				"takes one in a signed UEFI capsule only, and bare ones of format V2"}},
		{"a splash screen", payload{kind: bup.TypeBMP}.build(t), nano, []string{
			"error (firmware-type): the BUP is of type 1; T234 (p3767-0005) takes boot firmware only, type 0"}},
	} {
		path := write(t, tt.data)
		r, list, err := firmware.Inspect(path, parse(t, tt.boards...))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range list {
			got = append(got, string(p.Severity)+" ("+p.Check+"): "+p.Reason)
			if p.Where != path || p.NextStep == "" || strings.Contains(p.String(), "%!") {
				t.Errorf("%s: %+v", tt.about, p)
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.about, d)
		}
		if (r.Floor != "") != (r.LowestSupported != nil && *r.LowestSupported > 0) || len(r.Boards) != len(tt.boards) {
			t.Errorf("%s: %+v", tt.about, r)
		}
	}
}
