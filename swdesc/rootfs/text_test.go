package rootfs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/swdesc/rootfs"
)

func TestParseRelease(t *testing.T) {
	for text, want := range map[string]string{
		releaseLine: "36.4.3",
		"# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, DATE: Tue Aug  1 19:57:35 UTC 2023\n": "35.4.1",
		"# R38 (release), REVISION: 4.0, GCID: 43443517, BOARD: generic":                                                      "38.4.0",
		"# R32 (release), REVISION: 7.4, GCID: 33514132, BOARD: t210ref, EABI: aarch64, DATE: Fri Jun":                        "32.7.4",
		"#R32 (release), REVISION: 1.0":   "32.1.0",
		"# R36 (release), REVISION: 4":    "36.4.0",
		"# R36 (release), REVISION: 4, X": "36.4.0",
		"# R35 , REVISION: 4.1":           "35.4.1",
		"R36 (beta), REVISION: 0.1":       "36.0.1",
		"\r\n \n# R36 (release), REVISION: 4.3\r\n# R35 (release), REVISION: 1.0": "36.4.3",
		"# R36 (release), REVISION: 4.3.1":                                        "",
		"# R36 (release), REVISION: 4.x":                                          "",
		"# R36 (release), REVISION: 256.0":                                        "",
		"# R99999 (release), REVISION: 4.0":                                       "",
		"# KERNEL_VARIANT: oot":                                                   "",
		"R36.4.3":                                                                 "",
		"":                                                                        "",
	} {
		line, v := rootfs.ParseRelease([]byte(text))
		got := ""
		if v != nil {
			got = v.String()
		}
		if got != want || line != strings.TrimSpace(line) || strings.Contains(line, "\n") || (line == "") != (text == "") {
			t.Errorf("%q: %q of %q, want %q", text, got, line, want)
		}
	}
}

func TestParseExtlinux(t *testing.T) {
	e := func(label, root string, line int) rootfs.Entry {
		return rootfs.Entry{Label: label, Root: root, Line: line}
	}
	def := func(e rootfs.Entry) rootfs.Entry { e.Default = true; return e }
	for name, tt := range map[string]struct {
		text string
		want []rootfs.Entry
	}{
		"empty":            {"", nil},
		"no label":         {"APPEND root=/dev/sda1\nDEFAULT x\n", nil},
		"stock":            {conf, []rootfs.Entry{entry}},
		"carriage returns": {strings.ReplaceAll(conf, "\n", "\r\n"), []rootfs.Entry{entry}},
		"lower case": {strings.NewReplacer(
			"LABEL", "label", "APPEND", "Append", "LINUX", "kernel", "DEFAULT", "default").Replace(conf), []rootfs.Entry{entry}},
		"no line feed": {"LABEL a\nAPPEND root=x", []rootfs.Entry{def(e("a", "x", 2))}},
		"tabs":         {"LABEL\ta\n\tAPPEND\tquiet\troot=x\trw\t\n", []rootfs.Entry{def(e("a", "x", 2))}},
		"device tree": {"LABEL a\nFDT /boot/x.dtb\nFDTDIR /y\nLABEL b\ndevicetree z", []rootfs.Entry{
			{Label: "a", Line: 1, FDT: "/boot/x.dtb", Default: true}, {Label: "b", Line: 4, FDT: "z"}}},
		"comments": {"#LABEL no\n  # APPEND root=x\nLABEL a # it\nAPPEND quiet # root=x\nLINUX /a#b\n", []rootfs.Entry{
			{Label: "a", Line: 3, Linux: "/a", Default: true}}},
		"backup in comments": {"LABEL a\nAPPEND root=x\n# LABEL backup\n#    APPEND root=y\n", []rootfs.Entry{def(e("a", "x", 2))}},
		"default":            {"DEFAULT b\nLABEL a\nLABEL b\nLABEL b\n", []rootfs.Entry{e("a", "", 2), def(e("b", "", 3)), e("b", "", 4)}},
		"last default":       {"DEFAULT b\nLABEL a\nLABEL b\nDEFAULT a\n", []rootfs.Entry{def(e("a", "", 2)), e("b", "", 3)}},
		"no such default":    {"DEFAULT c\nLABEL a\nLABEL\n", []rootfs.Entry{def(e("a", "", 2)), e("", "", 3)}},
		"no default":         {"LABEL a\nLABEL\n", []rootfs.Entry{def(e("a", "", 1)), e("", "", 2)}},
		"case of names":      {"DEFAULT A\nLABEL a\nLABEL A\n", []rootfs.Entry{e("a", "", 2), def(e("A", "", 3))}},
		"last root":          {"LABEL a\nAPPEND root=x root=y nfsroot=z rootwait\n", []rootfs.Entry{def(e("a", "y", 2))}},
		"last append":        {"LABEL a\nAPPEND root=x\nAPPEND quiet\n", []rootfs.Entry{def(e("a", "", 2))}},
		"two lines":          {"LABEL a\nAPPEND quiet \\\nroot=x\n", []rootfs.Entry{def(e("a", "", 1))}},
		"quotes": {"LABEL a\nAPPEND x=\"a root=no\" root=\"PARTLABEL=A B\" \"ro\"\n",
			[]rootfs.Entry{def(e("a", "PARTLABEL=A B", 2))}},
		"open quote": {"LABEL a\nAPPEND root=x y=\"a root=no\n", []rootfs.Entry{def(e("a", "x", 2))}},
		"no value":   {"LABEL a\nAPPEND root=\nAPPENDIX root=x\n", []rootfs.Entry{def(e("a", "", 1))}},
		"menu":       {"LABEL a\nMENU LABEL b\nMENU DEFAULT\nMENU TITLE c\n", []rootfs.Entry{def(e("a", "", 1))}},
	} {
		got, err := rootfs.ParseExtlinux([]byte(tt.text))
		if name == "last append" {
			tt.want[0].Line = got[0].Line // of either
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func FuzzTegraRelease(f *testing.F) {
	f.Add(releaseLine)
	f.Add("# R35 , REVISION: 4")
	f.Add("R99999 (x), REVISION: 999.999\n")
	f.Fuzz(func(t *testing.T, text string) {
		line, v := rootfs.ParseRelease([]byte(text))
		if strings.Contains(line, "\n") || !strings.Contains(text, line) || v != nil && !strings.Contains(line, "REVISION") {
			t.Fatalf("%q, %v", line, v)
		}
	})
}

func FuzzExtlinux(f *testing.F) {
	f.Add(conf)
	f.Add("label a\r\nAppend root=\"x y\" #z\nDEFAULT a")
	f.Add("LABEL\n\tAPPEND \"root=\xff\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := rootfs.ParseExtlinux([]byte(text))
		defaults, lines := 0, strings.Count(text, "\n")+1
		for _, e := range entries {
			if e.Default {
				defaults++
			}
			if e.Line < 1 || e.Line > lines {
				t.Fatalf("%+v of %d lines", e, lines)
			}
			if e.Root != "" && !strings.Contains(strings.ReplaceAll(text, `"`, ""), "root="+e.Root) {
				t.Fatalf("%+v is not in the text", e)
			}
		}
		if err == nil && len(entries) > 0 && defaults != 1 || len(entries) > 64 {
			t.Fatalf("%d defaults of %d, %v", defaults, len(entries), err)
		}
		for _, p := range rootfs.CheckExtlinux(&rootfs.Image{Extlinux: entries}) {
			_ = p.String()
		}
	})
}
