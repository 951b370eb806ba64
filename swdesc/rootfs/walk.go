package rootfs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

const (
	rootInode = 2        // EXT2_ROOT_INO
	maxSteps  = 64       // names looked up for one path, those of links included; Linux follows 40 links (MAXSYMLINKS)
	maxLine   = 4 << 10  // bytes of a line of ls -p; a name has at most 255
	maxTarget = 4 << 10  // bytes of a link's target (PATH_MAX)
	maxList   = 64 << 20 // bytes of what ls -p prints of one folder: more than a million files
	typeMask  = 0o170000 // S_IFMT
	typeDir   = 0o040000 // S_IFDIR
	typeFile  = 0o100000 // S_IFREG
	typeLink  = 0o120000 // S_IFLNK
)

// node is a name in a folder.
type node struct {
	name  string
	inode uint32
	mode  uint32
	size  int64 // bytes; 0 for a folder
}

func (n node) isDir() bool  { return n.mode&typeMask == typeDir }
func (n node) isFile() bool { return n.mode&typeMask == typeFile }
func (n node) isLink() bool { return n.mode&typeMask == typeLink }

var root = node{name: "/", inode: rootInode, mode: typeDir}

// list calls each with what is in a folder; errStop ends it. The error is fs.ErrNotExist for what is no folder.
func (r *reader) list(ctx context.Context, dir node, each func(node) error) error {
	if !dir.isDir() {
		return fs.ErrNotExist
	}
	err := r.run(ctx, fmt.Sprintf("ls -p <%d>", dir.inode), func(out io.Reader) error {
		lines := bufio.NewReaderSize(out, maxLine)
		for total := 0; ; {
			line, err := lines.ReadSlice('\n')
			if total += len(line); total > maxList || errors.Is(err, bufio.ErrBufferFull) {
				return malformed("the folder with inode %d is too large", dir.inode)
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if n, ok := parseNode(string(line)); ok {
				if err := each(n); err != nil {
					return err
				}
			}
		}
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// parseNode reads a line of ls -p, "/INODE/MODE/UID/GID/NAME/SIZE/", where the mode is octal and a folder has no size. A name with
// a line feed makes two lines that are no such line, and no name looked for here has one.
func parseNode(line string) (node, bool) {
	f := strings.Split(strings.TrimSuffix(line, "\n"), "/")
	if len(f) != 8 || f[0] != "" || f[7] != "" || f[5] == "" || f[5] == "." || f[5] == ".." {
		return node{}, false
	}
	inode, err1 := strconv.ParseUint(f[1], 10, 32)
	mode, err2 := strconv.ParseUint(f[2], 8, 32)
	if err1 != nil || err2 != nil || inode == 0 {
		return node{}, false
	}
	n := node{name: f[5], inode: uint32(inode), mode: uint32(mode)}
	if f[6] != "" {
		size, err := strconv.ParseInt(f[6], 10, 64)
		if err != nil || size < 0 {
			return node{}, false
		}
		n.size = size
	}
	return n, true
}

// lookup finds a name in a folder.
func (r *reader) lookup(ctx context.Context, dir node, name string) (node, error) {
	var found *node
	err := r.list(ctx, dir, func(n node) error {
		if n.name == name {
			found = &n
			return errStop
		}
		return nil
	})
	if err == nil && found == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return node{}, err
	}
	return *found, nil
}

// resolve follows a path with all its links and returns the folders on the way and what is at its end; from is what a relative
// path starts at, nil for the root. Absolute links start at the image's root, as on the device. Links in a circle end as a missing
// file does: the device cannot open either.
func (r *reader) resolve(ctx context.Context, from []node, path string) ([]node, error) {
	stack := []node{root}
	if len(from) > 0 && !strings.HasPrefix(path, "/") {
		stack = slices.Clone(from)
	}
	rest := strings.Split(path, "/")
	for steps := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		if steps++; steps > maxSteps {
			return nil, fs.ErrNotExist
		}
		n, err := r.lookup(ctx, stack[len(stack)-1], name)
		if err != nil {
			return nil, err
		}
		if !n.isLink() {
			stack = append(stack, n)
			continue
		}
		target, err := r.readlink(ctx, n)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(target, "/") {
			stack = stack[:1]
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return stack, nil
}

// readlink reads a link's target. debugfs shows a short one, which lies in the inode, with stat alone, and prints nothing sensible
// for it with cat; a long one has a block of its own.
func (r *reader) readlink(ctx context.Context, link node) (string, error) {
	if link.size > maxTarget {
		return "", fs.ErrNotExist
	}
	var text []byte
	err := r.run(ctx, fmt.Sprintf("stat <%d>", link.inode), func(out io.Reader) (err error) {
		text, err = io.ReadAll(io.LimitReader(out, 64<<10))
		return err
	})
	if err != nil {
		return "", err
	}
	if _, target, ok := bytes.Cut(text, []byte("\nFast link dest: \"")); ok {
		return strings.TrimSuffix(strings.TrimSuffix(string(target), "\n"), `"`), nil
	}
	err = r.cat(ctx, link, func(out io.Reader) (err error) {
		text, err = io.ReadAll(io.LimitReader(out, maxTarget))
		return err
	})
	return string(text), err
}

// file follows a path to a regular file.
func (r *reader) file(ctx context.Context, path string) (node, error) {
	stack, err := r.resolve(ctx, nil, path)
	if err != nil {
		return node{}, err
	}
	n := stack[len(stack)-1]
	if !n.isFile() {
		return node{}, fs.ErrNotExist
	}
	return n, nil
}

// cat streams what a file holds.
func (r *reader) cat(ctx context.Context, n node, use func(io.Reader) error) error {
	return r.run(ctx, fmt.Sprintf("cat <%d>", n.inode), use)
}

// text returns the first limit bytes of a file.
func (r *reader) text(ctx context.Context, path string, limit int64) (text []byte, err error) {
	n, err := r.file(ctx, path)
	if err != nil {
		return nil, err
	}
	err = r.cat(ctx, n, func(out io.Reader) (err error) {
		text, err = io.ReadAll(io.LimitReader(out, limit))
		return err
	})
	return text, err
}
