package check_test

import (
	"testing"

	"github.com/tegra-ota/tegra-ota/swdesc/check"
)

func TestHandlers(t *testing.T) {
	with := func(section, attributes string) string {
		return software(section + ": ( " + entry("a", attributes) + " );")
	}
	more := &check.Options{Signed: true, Handlers: []string{"ours"}}
	for _, r := range []rule{
		{name: "archive", src: with("images", `type = "archive"; path = "/";`)},
		{name: "a handler of images in files", src: with("files", `type = "ubivol"; volume = "data";`)},
		{name: "no type and a path", src: with("files", `path = "/a";`)},
		{name: "no type and a volume", src: with("images", `volume = "data";`)},
		{name: "no type", src: with("images", `path = "/a";`), want: []string{"error handler"}, says: "has no type"},
		{name: "no type and a hook", src: software(`embedded-script = "function f(i) end"; images: ( ` + entry("a", `hook = "f";`) +
			` );`)},
		{name: "a script of no type is lua", src: with("scripts", ``)},
		{name: "unknown", src: with("images", `type = "tegra-bub";`), want: []string{"error handler"}, says: `"tegra-bub"`},
		{name: "unknown and named", src: with("images", `type = "ours";`), o: more},
		{name: "unknown and another named", src: with("images", `type = "theirs";`), o: more, want: []string{"error handler"}},
		{name: "unknown with a hook", src: software(`embedded-script = "function f(i) end"; images: ( ` +
			entry("a", `type = "auto"; hook = "f";`) + ` );`),
			want: []string{"warning handler"}},
		{name: "a script's type in images", src: with("images", `type = "shellscript";`), want: []string{"error handler"},
			says: "move the entry to scripts"},
		{name: "tegra-activate in images", src: with("images", `type = "tegra-activate";`), want: []string{"error handler"}},
		{name: "tegra-bup in scripts", src: with("scripts", `type = "tegra-bup";`),
			want: []string{"error activate-missing", "error handler"},
			says: "move the entry to images or files"},
		{name: "diskformat in images", src: with("images", `type = "diskformat"; device = "/dev/nvme0n1";`),
			want: []string{"error handler"},
			says: "move the entry to partitions"},
		{name: "raw in partitions", src: software(`partitions: ( { type = "raw"; device = "/dev/nvme0n1"; } );`),
			want: []string{"error handler", "error sha256-missing"}},
		{name: "diskpart", src: software(`partitions: ( { type = "diskpart"; device = "/dev/nvme0n1"; } );`)},
		{name: "toggleboot without a file", src: software(`scripts: ( { type = "toggleboot"; } );`)},
		{name: "only newer", src: with("images", `type = "docker_imageload";`), want: []string{"warning handler"}, says: "needs 2023.12"},
		{name: "only other builds", src: with("images", `type = "remote"; data = "x.sock";`), want: []string{"warning handler"},
			says: "CONFIG_REMOTE_HANDLER"},
		{name: "registered by the script", src: software(`embedded-script = "swupdate.register_handler(\"mine\", f)"; images: ( ` +
			entry("a", `type = "mine";`) + ` );`), want: []string{"warning handler"}, says: "before 2024.05"},
		{name: "registered by a linked script",
			src: software(`embedded-script: { ref = "#./lua"; }; lua = "swupdate.register_handler( 'mine', f)"; images: ( ` +
				entry("a", `type = "mine";`) + ` );`), want: []string{"warning handler"}},
		{name: "another one registered by the script",
			src: software(`embedded-script = "swupdate.register_handler(\"mine\", f)"; images: ( ` +
				entry("a", `type = "yours";`) + ` );`), want: []string{"error handler"}},
	} {
		r.run(t)
	}
}

func TestHooks(t *testing.T) {
	image := "images: ( " + entry("a", `type = "archive"; path = "/"; hook = "pick";`) + " );"
	for _, r := range []rule{
		{name: "found", src: software(`embedded-script = "function pick(image) return true, image end"; ` + image)},
		{name: "found by a link", src: software(`embedded-script: { ref = "#./lua"; }; lua = "function pick(image) end"; ` + image)},
		{name: "found beside software", src: software(`embedded-script: { ref = "#lua"; };`+image) + `; lua = "function pick(image) end";`},
		{name: "in the selection", src: software(`a: { b: { embedded-script = "function pick(i) end"; ` + image + ` }; };`)},
		{name: "in another selection", src: software(`a: { b: { ` + image + ` }; c: { embedded-script = "function pick(i) end"; ` +
			image + ` }; };`),
			want: []string{"error hook"}, says: "there is no embedded-script"},
		{name: "no script", src: software(image), want: []string{"error hook"}, says: "SWUpdate goes on without it"},
		{name: "another function", src: software(`embedded-script = "function pick2(image) end"; ` + image), want: []string{"error hook"},
			says: "does not occur"},
		{name: "of a variable", src: software(`bootenv: ( { name = "a"; value = "b"; hook = "f"; } );`), want: []string{"error hook"}},
		{name: "preinstall", src: software(`embedded-script = "function f() end"; images: ( ` +
			entry("a", `type = "archive"; path = "/"; preinstall = "f";`) + ` );`),
			want: []string{"warning hook"}, says: "2026.05"},
		{name: "postinstall of no script", src: software(`images: ( ` + entry("a", `type = "archive"; path = "/"; postinstall = "f";`) +
			` );`),
			want: []string{"error hook", "warning hook"}},
	} {
		r.run(t)
	}
}
