package sign

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"os/exec"
	"strings"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Limits of an external command: what it may print in bytes, what of its stderr is shown, and how long after its end a
// descendant may hold its output open.
const (
	maxSignature = 64 << 10
	maxStderr    = 4 << 10
	waitDelay    = 2 * time.Second
)

// Command returns a Signer that runs "sh -c command": the message is on its stdin, it prints the bare signature, and its exit
// status is 0. The private key stays with the command and is never read here. It inherits environment and terminal, so that it
// can ask for a PIN. When ctx ends, the shell is killed; what it started and left running is not waited for.
func Command(commandLine string, public crypto.PublicKey) Signer {
	return &command{line: commandLine, public: public}
}

type command struct {
	line   string
	public crypto.PublicKey
}

// Public returns the key that the command's signatures must verify with.
func (c *command) Public() crypto.PublicKey { return c.public }

// Sign runs the command. It is not told the format: the person who chose the one wrote the other.
func (c *command) Sign(ctx context.Context, message []byte, _ Format) ([]byte, error) {
	// Not in a process group of its own: a background group that reads a PIN from the terminal would be stopped.
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", c.line)
	stdout, stderr := &limited{max: maxSignature}, &limited{max: maxStderr, discard: true}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(message), stdout, stderr
	cmd.WaitDelay = waitDelay
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case stdout.over:
		err = errTooMuch
	case err == nil && stdout.b.Len() == 0:
		err = errors.New("it printed nothing")
	case err == nil:
		return stdout.b.Bytes(), nil
	}
	said := ""
	if text := strings.Join(strings.Fields(strings.ToValidUTF8(stderr.b.String(), "?")), " "); text != "" {
		said = " (" + text + ")"
	}
	return nil, fail.New(fail.Unavailable, "cannot sign with command %q: %w%s", c.line, err, said)
}

var errTooMuch = errors.New("it printed more than 64 KiB, which is no signature")

// limited keeps the first max bytes. What comes after them is dropped, or an error, which ends the command by SIGPIPE.
type limited struct {
	b       bytes.Buffer // not embedded: its ReadFrom knows no limit
	max     int
	discard bool
	over    bool
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	keep := p
	if room := l.max - l.b.Len(); len(p) > room {
		keep, l.over = p[:room], true
	}
	l.b.Write(keep)
	if l.over && !l.discard {
		return len(keep), errTooMuch
	}
	return len(p), nil
}
