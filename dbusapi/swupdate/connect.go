package swupdate

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Why nobody is connected.
var (
	errAbsent  = errors.New("nothing is there")
	errRefused = errors.New("nobody listens")
)

// connect connects to the socket at a path of the device and believes only root's and our own: anybody can make one in /tmp. It
// returns an error that is errAbsent or errRefused where SWUpdate does not run.
func (f *Follower) connect(path string) (*net.UnixConn, error) {
	conn, err := dial(f.m.Path(path))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return nil, errAbsent
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EAGAIN):
		return nil, errRefused // EAGAIN: its queue is full (unix(7))
	case err != nil:
		return nil, fmt.Errorf("cannot connect to SWUpdate's progress socket %s: %w", path, cause(err))
	}
	uid, err := owner(conn)
	if err == nil && uid != 0 && uid != f.uid {
		// Not what SWUpdate does, and nothing for LastError: anybody could write there, and hide with it what is really wrong.
		_ = conn.Close()
		f.distrust(path, uid)
		return nil, errAbsent
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("cannot follow SWUpdate at %s: %w", path, err)
	}
	return conn, nil
}

// distrust says once of a socket and user that they are not believed.
func (f *Follower) distrust(path string, uid int) {
	key := fmt.Sprint(path, uid)
	if !f.strangers[key] {
		f.strangers[key] = true
		f.log.Warnf("user %d listens at %s, and only root is taken for SWUpdate", uid, path)
	}
}

// dial goes through the folder where the path is too long for a socket's address, which has 108 bytes with the zero (unix(7)).
func dial(path string) (*net.UnixConn, error) {
	const longest = 107
	if len(path) > longest {
		folder, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
		}
		defer unix.Close(folder)
		path = fmt.Sprintf("/proc/self/fd/%d/%s", folder, filepath.Base(path))
	}
	return net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
}

// owner returns who listens: for a socket that systemd made, that is root (unix(7), SO_PEERCRED).
func owner(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, os.NewSyscallError("getsockopt", failed)
	}
	return int(cred.Uid), nil
}

// cause leaves out the address, which the caller names as the device does.
func cause(err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}

// look returns a text that is another one after any of the sockets came, went or was replaced.
func (f *Follower) look() string {
	var seen string
	for _, path := range f.sockets {
		st, err := f.m.Stat(path)
		if err != nil {
			seen += fmt.Sprintf("%v\n", cause(err))
			continue
		}
		if s, ok := st.Sys().(*syscall.Stat_t); ok {
			seen += fmt.Sprintln(s.Dev, s.Ino, s.Mode, s.Uid, s.Ctim.Sec, s.Ctim.Nsec)
		}
	}
	return seen
}
