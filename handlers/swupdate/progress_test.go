package swupdate_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Layout of SWUpdate 2022.12's struct progress_msg on a 64-bit machine (include/progress_ipc.h).
const (
	progressSize   = 2416
	progressStatus = 4
	progressInfo   = 364
	failureStatus  = 4
)

// TestProgress: a person who watches swupdate-progress, or a fleet server, reads why the update failed, not only that it did.
func TestProgress(t *testing.T) {
	parallel(t)
	dir := standIns(t, map[string]string{"tegra-bup-install": "echo \"$name: the capsule is for p3701-0005, this is p3767-0005\" >&2; exit 65"})
	u := newUpdater(t, dir)
	swu := update{members: []member{rootfs("1", random(3<<20)), firmware("1", random(3<<20)), activate("1")}}.pack(t)

	ctx, cancel := context.WithTimeout(context.Background(), hung)
	defer cancel()
	watched := make(chan string, 1)
	go func() { watched <- watch(ctx, filepath.Join(u.tmp, "swupdateprog")) }()
	r, err := finish(ctx, u.command(ctx, "-i", swu))
	if err != nil {
		t.Fatal(err)
	}
	r.want(t, 1)
	const want = "tegra-bup TEGRA_BL.Cap: the capsule is for p3701-0005, this is p3767-0005 (exit 65, data: the file is at fault)"
	if got := <-watched; !strings.Contains(got, want) {
		t.Errorf("progress says\n%s\nwant %q", got, want)
	}
}

// watch returns everything that progress clients are told in words, one line each.
func watch(ctx context.Context, socket string) string {
	var c net.Conn
	var err error
	for {
		if c, err = net.Dial("unix", socket); err == nil || ctx.Err() != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	var said []string
	message := make([]byte, progressSize)
	for {
		if _, err := io.ReadFull(c, message); err != nil {
			return strings.Join(said, "\n")
		}
		info, _, _ := bytes.Cut(message[progressInfo:], []byte{0})
		if binary.NativeEndian.Uint32(message[progressStatus:]) == failureStatus || len(info) > 0 {
			said = append(said, string(info))
		}
	}
}
