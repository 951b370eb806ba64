package check_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/swdesc/check"
	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
)

// newc is a member as anybody may write one.
func newc(name string, size int, data string) string {
	align := func(s string) string { return s + strings.Repeat("\x00", -len(s)&3) }
	head := "070701" + fmt.Sprintf("%08x%08x", 1, 0o100644) + strings.Repeat("0", 32) + fmt.Sprintf("%08X", size) +
		strings.Repeat("0", 32) +
		fmt.Sprintf("%08x", len(name)+1) + "00000000"
	return align(head+name+"\x00") + align(data)
}

func TestHostile(t *testing.T) {
	text := software(`files: ( ` + entry("a", `path = "/a";`) + ` );`)
	description := newc("sw-description", len(text), text)
	trailer := newc("TRAILER!!!", 0, "")
	members := func(n int) io.Reader {
		i := 0
		return io.MultiReader(strings.NewReader(description), endless(func() string {
			if i++; i > n {
				return ""
			}
			return newc(fmt.Sprintf("m%d", i), 1, "x")
		}), strings.NewReader(trailer))
	}
	for name, c := range map[string]struct {
		swu  io.Reader
		want string
	}{
		"empty":               {strings.NewReader(""), "the file is empty"},
		"no cpio":             {strings.NewReader("hello, world"), "at offset 0"},
		"truncated header":    {strings.NewReader(description[:60]), "truncated: a header has 60 of 110"},
		"truncated data":      {strings.NewReader(description[:len(description)-20]), "truncated"},
		"truncated behind it": {strings.NewReader(description + newc("a", 9, "x")), "truncated"},
		"4 GiB":               {strings.NewReader(description + newc("a", 0xFFFFFFFF, "x")), "truncated: member \"a\" has 4294967295"},
		"4 GiB of text": {strings.NewReader(newc("sw-description", 0xFFFFFFFF, "x")),
			"sw-description has 4294967295 bytes, more than 1048576"},
		"4 GiB of signature": {strings.NewReader(description + newc("sw-description.sig", 0xFFFFFFFF, "x")), "sw-description.sig has"},
		"a path":             {strings.NewReader(description + newc("../a", 1, "x") + trailer), "member \"../a\""},
		"an absolute path":   {strings.NewReader(description + newc("/a", 1, "x") + trailer), "absolute path"},
		"a second member":    {strings.NewReader(description + newc("a", 1, "x") + newc("a", 1, "y") + trailer), "a second member \"a\""},
		"a second text":      {strings.NewReader(description + description + trailer), "a second member \"sw-description\""},
		"100,000 members":    {members(100000), "more than 4096 members"},
		"no trailer":         {strings.NewReader(description), "without its trailer"},
		"no description":     {strings.NewReader(newc("a", 1, "x") + trailer), "it has no member sw-description"},
		"nothing":            {strings.NewReader(trailer), "it has no member sw-description"},
	} {
		contents, list, err := check.Archive(context.Background(), "update.swu", c.swu, signed)
		if err == nil || contents != nil || list != nil {
			t.Errorf("%s: no error, problems%s", name, lines(list))
			continue
		}
		if !strings.HasPrefix(err.Error(), "cannot read update.swu: ") || !strings.Contains(err.Error(), c.want) || exitCode(err) != 65 {
			t.Errorf("%s: exit %d, error %v, want %q", name, exitCode(err), err, c.want)
		}
	}
	if _, list, err := check.Archive(context.Background(), "update.swu", members(4000), signed); err != nil || list.Errors() == 0 {
		t.Errorf("4000 members: error %v", err)
	}
}

// endless reads what a function returns until it returns "".
func endless(next func() string) io.Reader {
	r, w := io.Pipe()
	go func() {
		for s := next(); s != ""; s = next() {
			if _, err := io.WriteString(w, s); err != nil {
				return
			}
		}
		w.Close()
	}()
	return r
}

// zeros counts what is read of a long member.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	if z.left -= n; n == 0 {
		return 0, io.EOF
	}
	return int(n), nil
}

// A large update takes no more memory than a small one.
func TestMemory(t *testing.T) {
	const size = 256 << 20
	text := software(`images: ( ` + strings.Replace(rootfs(""), "4096", fmt.Sprint(size), 1) + ` ); scripts: ( ` + activateEntry + ` );`)
	swu := io.MultiReader(strings.NewReader(newc("sw-description", len(text), text)), strings.NewReader(newc("rootfs.img", size, "")),
		&zeros{size},
		strings.NewReader(newc("TRAILER!!!", 0, "")))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, list, err := check.Archive(context.Background(), "update.swu", swu, check.Options{})
	runtime.ReadMemStats(&after)
	if err != nil || !strings.Contains(lines(list), "a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484") {
		t.Errorf("error %v, problems%s", err, lines(list))
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
}

func FuzzArchive(f *testing.F) {
	// Without sums, which would keep nearly every change from being looked at.
	f.Add(archiveAs(f, cpio.NewC, update(image(compress(f, plainImage), `compressed = "zstd";`), firmwarePart(firmwareCapsule(f), ""))))
	f.Add([]byte(newc("sw-description", 12, "software = {") + newc("TRAILER!!!", 0, "")))
	f.Add(archive(f, file{"a", nil}, file{"sw-description", []byte(`{"software":{"version":"1","images":[{"ref":"#./images"}]}}`)}))
	f.Fuzz(func(t *testing.T, swu []byte) {
		contents, list, err := check.Archive(context.Background(), "f", bytes.NewReader(swu), signed)
		if err != nil {
			if exitCode(err) != 65 {
				t.Fatalf("exit %d: %v", exitCode(err), err)
			}
			return
		}
		for _, m := range contents.Members {
			if m.Size > int64(len(swu)) || m.Offset > int64(len(swu)) || len(m.SHA256) != 64 {
				t.Fatalf("member %+v", m)
			}
		}
		for _, p := range list {
			if p.Check == "" || p.Reason == "" || strings.Contains(p.String(), "%!") {
				t.Fatalf("problem %+v", p)
			}
		}
	})
}

func FuzzDescription(f *testing.F) {
	f.Add([]byte(software(`a: { b: { ref = "#./c"; }; c: { images: ( { ref = "#../x"; } ); }; }; x: ( ` + rootfs("hook = \"f\";") + ` );`)))
	f.Add([]byte(software(`embedded-script: { ref = "#lua"; }; bootenv: ( { name = "a"; value = "${b}"; } );`) +
		`; lua = "register_handler('x')";`))
	f.Add([]byte(`{"software":{"version":"1","files":[{"filename":"a/b","compressed":true,"sha256":"@a"}]}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		list, err := check.Description("f", src, signed)
		if err != nil && exitCode(err) != 65 {
			t.Fatalf("exit %d: %v", exitCode(err), err)
		}
		for _, p := range list {
			if p.Check == "" || p.Reason == "" || strings.Contains(p.String(), "%!") {
				t.Fatalf("problem %+v", p)
			}
		}
	})
}
