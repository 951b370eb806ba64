// Package fail gives every error of tegra-ota's executables the exit code its caller acts on, and the next step for the
// person on call.
//
// The codes are those of the README's table (sysexits.h where that has one) and are frozen: SWUpdate's Lua glue, RAUC and
// people's scripts branch on them.
package fail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// Code is a process exit code.
type Code int

// The exit codes of every executable.
const (
	OK          Code = 0  // done
	No          Code = 1  // a question was answered with no
	Usage       Code = 64 // bad arguments, unknown slot name
	Data        Code = 65 // the file's fault: malformed, digest or size wrong, wrong board, version below a floor
	Unavailable Code = 69 // the device's condition: ESP full or not mounted, redundancy off, dirty chain, no backend
	Internal    Code = 70 // a bug
	IO          Code = 74 // reading or writing failed
	Busy        Code = 75 // another process works, or the running slot is not committed yet
	Permission  Code = 77 // more privilege is needed
)

// String returns the code's name in the README's table.
func (c Code) String() string {
	switch c {
	case OK:
		return "ok"
	case No:
		return "no"
	case Usage:
		return "usage"
	case Data:
		return "data"
	case Unavailable:
		return "unavailable"
	case Internal:
		return "internal"
	case IO:
		return "io"
	case Busy:
		return "busy"
	case Permission:
		return "permission"
	}
	return fmt.Sprintf("exit %d", int(c))
}

// Error is an error whose cause decides the exit code. Next, where it is known, says in one sentence what to do.
type Error struct {
	Code Code
	Err  error
	Next string
	kind error
}

// New returns an error with a code; the format takes %w like fmt.Errorf.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// Then adds the next step and returns the same error.
func (e *Error) Then(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// Of says what kind of failure this is, where a code is too coarse for a caller, and returns the same error; errors.Is finds
// the kind, and the text does not show it.
func (e *Error) Of(kind error) *Error {
	e.kind = kind
	return e
}

// Is says whether the target is this error's kind.
func (e *Error) Is(target error) bool { return e.kind != nil && e.kind == target }

// Error returns the cause and, where there is one, the next step behind a semicolon.
func (e *Error) Error() string {
	if e.Next == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + "; " + e.Next
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// dataError is what errors of package formats satisfy: they describe bytes and know no exit codes.
type dataError interface {
	error
	MalformedData() bool
}

// CodeOf returns the exit code of an error: the outermost Error's code; Data for a malformed file; Permission and IO for
// what the kernel said; Internal for anything else, because an error nobody classified is a bug.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	var d dataError
	if errors.As(err, &d) && d.MalformedData() {
		return Data
	}
	if errors.Is(err, fs.ErrPermission) {
		return Permission
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return IO
	}
	var pathErr *fs.PathError
	var errno syscall.Errno
	if errors.As(err, &pathErr) || errors.As(err, &errno) {
		return IO
	}
	return Internal
}

// InputCode is the exit code of a file the caller named and we cannot read: Permission where that is why, else the given one.
func InputCode(err error, otherwise Code) Code {
	if errors.Is(err, fs.ErrPermission) {
		return Permission
	}
	return otherwise
}

// NextOf returns the next step of the outermost Error that has one, or "".
func NextOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Next != "" {
			return e.Next
		}
		err = e.Err
	}
	return ""
}

// Reason returns the message without any next step, for where that has a field of its own. A nested Error's step may
// stand in the middle, so it is taken out where that Error's text stands.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := err.(*Error); ok { // the value itself, not one that it wraps
		return Reason(e.Err)
	}
	var causes []error
	switch w := err.(type) {
	case interface{ Unwrap() error }:
		causes = []error{w.Unwrap()}
	case interface{ Unwrap() []error }:
		causes = w.Unwrap()
	}
	text := err.Error()
	for _, cause := range causes {
		if cause != nil {
			text = strings.Replace(text, cause.Error(), Reason(cause), 1)
		}
	}
	return text
}
