package dbusapi

import (
	"bufio"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// SystemBus is where the system bus is, in the specification's own words and in today's.
const SystemBus = "unix:path=/run/dbus/system_bus_socket;unix:path=/var/run/dbus/system_bus_socket"

// stuck is how long a message may wait for a bus that does not read. dbus-daemon does nothing else, so that one is dead.
const stuck = 5 * time.Second

// dialBus connects to the first bus of an address (D-Bus specification, "Server Addresses"; Unix sockets alone). godbus could do it, but
// then takes files that come with messages: anybody could send us some, they would stay open, and an array of them ends
// godbus 5.2.4's reader in a panic. Without, the bus refuses such messages.
func dialBus(address string, options ...dbus.ConnOption) (*dbus.Conn, error) {
	refused := errors.New("no address of a Unix socket")
	for _, one := range strings.Split(address, ";") {
		name, ok := socketOf(one)
		if !ok {
			continue
		}
		socket, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: name, Net: "unix"})
		if err != nil {
			refused = err
			continue
		}
		conn, err := greet(socket, options)
		if err == nil {
			return conn, nil
		}
		_ = socket.Close()
		refused = err
	}
	return nil, fail.New(fail.Unavailable, "cannot reach the system bus at %s: %w", address, refused).Then("start dbus")
}

func greet(socket *net.UnixConn, options []dbus.ConnOption) (*dbus.Conn, error) {
	options = append(options, dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	conn, err := dbus.NewConn(&wire{socket, bufio.NewReader(socket)}, options...)
	if err != nil {
		return nil, err
	}
	if err = conn.Auth(nil); err == nil {
		err = conn.Hello()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// socketOf is the name of a Unix socket in one address.
func socketOf(address string) (string, bool) {
	list, ok := strings.CutPrefix(strings.TrimSpace(address), "unix:")
	if !ok {
		return "", false
	}
	for _, pair := range strings.Split(list, ",") {
		key, value, _ := strings.Cut(pair, "=")
		name, err := dbus.UnescapeBusAddressValue(value)
		switch {
		case err != nil || name == "":
		case key == "path":
			return name, true
		case key == "abstract":
			return "@" + name, true
		}
	}
	return "", false
}

// wire is a connection that reads ahead, because godbus reads in small pieces, and does not wait for ever to write.
type wire struct {
	*net.UnixConn
	ahead *bufio.Reader
}

// Read implements io.Reader.
func (w *wire) Read(b []byte) (int, error) { return w.ahead.Read(b) }

// Write implements io.Writer. The deadline goes with the write: a timer that is left over would wake us later.
func (w *wire) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(stuck)); err != nil {
		return 0, err
	}
	n, err := w.UnixConn.Write(b)
	return n, errors.Join(err, w.SetWriteDeadline(time.Time{}))
}
