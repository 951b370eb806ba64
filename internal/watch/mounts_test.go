package watch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// quietTemp puts a tmpfs over the folder for temporary files, of this process alone, so that nobody else works there.
func quietTemp(t *testing.T) string {
	t.Helper()
	must(t, unix.Mount("tmpfs", os.TempDir(), "tmpfs", unix.MS_STRICTATIME, "mode=1777"))
	dir, err := os.MkdirTemp("", "watch") // nobody has to clear it: it ends with the process
	must(t, err)
	return dir
}

// arrives waits for a report; what poll(2) says about mounts cannot be looked at from outside.
func arrives(t *testing.T, w *Watcher, what string) {
	t.Helper()
	select {
	case <-w.Changes():
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: not reported", what)
	}
}

// appendTo writes to a file, or puts one there, with one event of its name; os.WriteFile makes two.
func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if os.IsNotExist(err) {
		must(t, os.WriteFile(filepath.Dir(path)+"/new", []byte(text), 0o644))
		must(t, os.Rename(filepath.Dir(path)+"/new", path))
		return
	}
	must(t, err)
	_, err = f.WriteString(text)
	must(t, errors.Join(err, f.Close()))
}

func silent(t *testing.T, w *Watcher, what string) {
	t.Helper()
	select {
	case <-w.Changes():
		t.Fatalf("%s: reported", what)
	case <-time.After(150 * time.Millisecond):
	}
}

func TestMounts(t *testing.T) {
	if os.Getenv(inside) != t.Name() {
		again(t, nil)
		return
	}
	dir := quietTemp(t)
	write(t, dir+"/esp/EFI/f", "below")
	write(t, dir+"/disk/EFI/f", "bound")
	w := opened(t, "/", Place{Folder: dir + "/esp/EFI", Names: []string{"f"}})
	silent(t, w, "nothing yet")
	// The kernel may count one call as several changes of what is mounted.
	step := func(what string, err error) {
		t.Helper()
		must(t, err)
		arrives(t, w, what)
		for more := true; more; {
			select {
			case <-w.Changes():
			case <-time.After(100 * time.Millisecond):
				more = false
			}
		}
	}
	file := func(what string) {
		t.Helper()
		appendTo(t, dir+"/esp/EFI/f", what)
		arrives(t, w, "write, "+what)
		silent(t, w, "after the write, "+what)
	}
	file("before any mount")
	step("mount above the folder", unix.Mount("tmpfs", dir+"/esp", "tmpfs", 0, ""))
	step("the folder's arrival", os.Mkdir(dir+"/esp/EFI", 0o755))
	file("on the mount")
	step("mount on the folder", unix.Mount("tmpfs", dir+"/esp/EFI", "tmpfs", 0, ""))
	file("on the second mount")
	step("read-only", unix.Mount("", dir+"/esp/EFI", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	step("unmount of the second", unix.Unmount(dir+"/esp/EFI", 0))
	file("on the first mount again")
	held, err := os.Open(dir + "/esp/EFI/f")
	must(t, err)
	step("lazy unmount of a file system in use", unix.Unmount(dir+"/esp", unix.MNT_DETACH))
	must(t, held.Close())
	file("below, again")
	step("bind mount", unix.Mount(dir+"/disk", dir+"/esp", "", unix.MS_BIND, ""))
	appendTo(t, dir+"/disk/EFI/f", "1")
	arrives(t, w, "write, by the other name")
	silent(t, w, "after the write")
	step("moved mount", func() error {
		if err := os.Mkdir(dir+"/elsewhere", 0o755); err != nil {
			return err
		}
		return unix.Mount(dir+"/esp", dir+"/elsewhere", "", unix.MS_MOVE, "")
	}())
	file("after the mount was moved")
	appendTo(t, dir+"/elsewhere/EFI/f", "2")
	silent(t, w, "the mount that was moved away")
	step("a mount elsewhere", unix.Mount("tmpfs", dir+"/elsewhere", "tmpfs", 0, ""))
	file("at the end")
}

// In a prefixed machine nobody looks at this host's mounts, but the file system that is unmounted tells (IN_UNMOUNT).
func TestUnmountInAFolder(t *testing.T) {
	if os.Getenv(inside) != t.Name() {
		again(t, nil)
		return
	}
	root := quietTemp(t)
	write(t, root+"/esp/f", "below")
	must(t, unix.Mount("tmpfs", root+"/esp", "tmpfs", 0, ""))
	w := opened(t, root, Place{Folder: "/esp"})
	appendTo(t, root+"/esp/f", "1")
	arrives(t, w, "a write")
	must(t, unix.Unmount(root+"/esp", 0))
	arrives(t, w, "the unmount")
	appendTo(t, root+"/esp/f", "2")
	arrives(t, w, "a write below")
}

// With everything set up and read, nothing runs: the watcher's thread does not even wake. Reading brings the time of access up to
// date here (strictatime), which gives no event either.
func TestIdle(t *testing.T) {
	if os.Getenv(inside) != t.Name() {
		again(t, nil)
		return
	}
	root := quietTemp(t)
	write(t, root+"/d/f", "1")
	places := []Place{
		{Folder: root + "/d", Names: []string{"f"}}, {Folder: root + "/d"}, {Folder: root + "/absent/deeper"}, {Folder: "/sys/firmware/efi/efivars"},
	}
	w := opened(t, "/", places...)
	write(t, root+"/d/f", "2")
	arrives(t, w, "a change, after which the watcher sleeps again")
	must(t, w.Set(places))
	time.Sleep(200 * time.Millisecond)
	told(t, w) // os.WriteFile truncates and writes
	access := func() unix.Timespec {
		var st unix.Stat_t
		must(t, unix.Stat(root+"/d/f", &st))
		return st.Atim
	}
	wakes, before, switches := w.wakes.Load(), access(), sleepers(t)
	if len(switches) == 0 {
		t.Fatal("no thread waits in poll")
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		_, err := os.ReadFile(root + "/d/f")
		must(t, err)
		_, err = os.ReadDir(root + "/d")
		must(t, err)
		_, err = os.ReadFile("/proc/self/mountinfo")
		must(t, err)
	}
	if before == access() {
		t.Fatal("reading did not change the time of access, so this proves nothing")
	}
	if got := w.wakes.Load(); got != wakes {
		t.Errorf("the watcher woke %d times", got-wakes)
	}
	after := sleepers(t)
	for thread, count := range switches {
		if after[thread] != count {
			t.Errorf("thread %s: %s context switches, then %q", thread, count, after[thread])
		}
	}
	silent(t, w, "reading")
}

// sleepers returns the threads that wait in poll(2), and how often each was switched away from.
func sleepers(t *testing.T) map[string]string {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	must(t, err)
	found := map[string]string{}
	for _, thread := range threads {
		where, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/wchan")
		must(t, err)
		if name := string(where); !strings.Contains(name, "poll") || strings.Contains(name, "ep_poll") || strings.Contains(name, "epoll") {
			continue // the last two are the runtime's
		}
		status, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/status")
		must(t, err)
		_, count, _ := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
		count, _, _ = strings.Cut(count, "\n")
		found[thread.Name()] = strings.TrimSpace(count)
	}
	return found
}
