package check_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/check"
)

func integrity(t *testing.T, members ...file) []string {
	t.Helper()
	_, list, err := check.Integrity(context.Background(), "update.swu", bytes.NewReader(archive(t, members...)))
	if err != nil {
		t.Fatal(err)
	}
	return brief(list)
}

// A member is covered by the signature only through an entry with its SHA-256, whatever else is to be said of the archive.
func TestIntegrity(t *testing.T) {
	content := []byte("content\n")
	described := func(body string, members ...file) []file {
		return append([]file{{"sw-description", []byte(software(body))}, {"sw-description.sig", []byte("x")}}, members...)
	}
	one := func(attributes string) string { return `images: ( { filename = "a"; ` + attributes + ` } );` }
	right := `sha256 = "` + digest(content) + `";`
	a := file{"a", content}
	// More problems than a person reads must not hide the one that counts.
	var crowd strings.Builder
	crowded := []file{}
	for i := 0; i < 1100; i++ {
		fmt.Fprintf(&crowd, `{ filename = "f%d"; type = "rawfile"; path = "/a"; device = "/dev/sda1"; %s },`, i, right)
		crowded = append(crowded, file{fmt.Sprintf("f%d", i), content})
	}
	crowded[1099].data = []byte("altered\n")
	for _, tt := range []struct {
		name    string
		members []file
		want    []string
	}{
		{"covered", described(one(right), a), nil},
		{"altered", described(one(right), file{"a", []byte("altered\n")}), []string{"error sha256-wrong"}},
		{"no digest", described(one(`type = "raw"; device = "/dev/x";`), a), []string{"error sha256-missing"}},
		{"a placeholder for the digest", described(one(`sha256 = "@a";`), a), []string{"error sha256-missing"}},
		{"an unknown handler without digest", described(one(`type = "mine";`), a), []string{"error sha256-missing"}},
		{"a handler without data", described(one(`type = "docker_imagedelete";`), a), []string{"error sha256-missing"}},
		{"a partition's file", described(`partitions: ( { filename = "a"; type = "diskpart"; device = "/dev/x"; } );`, a), []string{"error sha256-missing"}},
		{"a file that nobody names", described(one(right), a, file{"b", content}), []string{"error member-unused"}},
		{"in a selection that no device has", described(`x: { y: { z: { `+one(right)+` }; }; };`, a), nil},
		{"two entries, one of them wrong", described(one(right)+` s: { t: { `+one(`sha256 = "`+strings.Repeat("0", 64)+`";`)+` }; };`, a),
			[]string{"error sha256-wrong"}},
		{"missing", described(one(right)), []string{"error member-missing"}},
		{"behind many problems", described("files: ( "+strings.TrimSuffix(crowd.String(), ",")+" );", crowded...), []string{"error sha256-wrong"}},
	} {
		want := tt.want
		if want == nil {
			want = []string{}
		}
		if diff := cmp.Diff(want, integrity(t, tt.members...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	good := described(one(right), a)
	if got := integrity(t, good[1], good[0], good[2]); len(got) != 2 {
		t.Errorf("signature before description: %v", got)
	}
	if got := integrity(t, good[0], good[2], good[1]); len(got) != 1 || got[0] != "error signature-order" {
		t.Errorf("late signature: %v", got)
	}
}

// Some KiB of zstd decompress to terabytes: what is announced bounds the work, and who calls may end it.
func TestBomb(t *testing.T) {
	var bomb bytes.Buffer
	e, err := zstd.NewWriter(&bomb)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for i := 0; i < 4096; i++ {
		if _, err := e.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	swu := func(size string) []byte {
		body := fmt.Sprintf(`images: ( { filename = "a"; type = "tegra-image"; sha256 = "%s"; compressed = "zstd"; properties: { partition = "APP"; `+
			`size = "%s"; sha256 = "%s"; update = "u"; }; } );`, digest(bomb.Bytes()), size, digest(nil))
		return archive(t, file{"sw-description", []byte(software(body))}, file{"sw-description.sig", []byte("x")}, file{"a", bomb.Bytes()})
	}
	for _, size := range []string{"1000", "9223372036854775807"} {
		start := time.Now()
		_, list, err := check.Archive(context.Background(), "f", bytes.NewReader(swu(size)), check.Options{Signed: true})
		if err != nil || list.Errors() == 0 || time.Since(start) > 5*time.Second {
			t.Errorf("size %s: %v after %v: %s", size, err, time.Since(start), lines(list))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, _, err = check.Archive(ctx, "f", bytes.NewReader(swu("4294967296")), check.Options{Signed: true})
	if fail.CodeOf(err) != fail.IO || !strings.Contains(err.Error(), "interrupted") || time.Since(start) > time.Second {
		t.Errorf("interrupted: %v after %v", err, time.Since(start))
	}
}
