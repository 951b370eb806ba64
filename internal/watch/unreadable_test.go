package watch

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Root may read everything, so this is done by somebody else.
func TestUnreadableFolders(t *testing.T) {
	if os.Getenv(inside) != t.Name() {
		again(t, nil)
		return
	}
	root := quietTemp(t)
	for dir := root; dir != os.TempDir(); dir = dir[:strings.LastIndex(dir, "/")] {
		must(t, os.Chmod(dir, 0o777))
	}
	write(t, root+"/hidden/f", "")
	write(t, root+"/readable/f", "")
	write(t, root+"/search/only/d/f", "")
	must(t, os.Chmod(root+"/hidden", 0))
	must(t, os.Chmod(root+"/search", 0o711))
	mode := func(path string, mode os.FileMode) {
		t.Helper()
		must(t, os.Chmod(root+path, mode))
	}
	for _, path := range []string{
		"/hidden", "/search", "/search/only", "/search/only/d", "/search/only/d/f", "/hidden/f", "/readable", "/readable/f",
	} {
		must(t, os.Chown(root+path, 65534, 65534))
	}
	must(t, syscall.Setuid(65534)) // all threads, and no capability is left
	w := opened(t, root, Place{Folder: "/hidden"}, Place{Folder: "/search/only/d"})
	mode("/hidden", 0o755)
	noticed(t, w, "a folder that can be read now")
	write(t, root+"/hidden/f", "1")
	noticed(t, w, "a file in it")
	mode("/hidden", 0)
	noticed(t, w, "a folder that cannot be read any more")
	mode("/hidden", 0o755)
	noticed(t, w, "and can again")
	write(t, root+"/hidden/f", "2")
	noticed(t, w, "a file in it, again")
	mode("/hidden", 0)
	noticed(t, w, "a folder that cannot be read, again")
	must(t, unix.Renameat2(unix.AT_FDCWD, root+"/hidden", unix.AT_FDCWD, root+"/readable", unix.RENAME_EXCHANGE))
	noticed(t, w, "one that can be read in its place")
	write(t, root+"/hidden/f", "3")
	noticed(t, w, "a file in that")

	write(t, root+"/search/only/d/f", "1")
	noticed(t, w, "a file below a folder that can only be searched")
	mode("/search", 0)
	noticed(t, w, "a folder above cannot be searched any more")
	mode("/search", 0o755)
	noticed(t, w, "it can again")
	write(t, root+"/search/only/d/f", "2")
	noticed(t, w, "a file in it")
}
