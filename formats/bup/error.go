package bup

import "fmt"

// FormatError describes malformed input: the file's fault, never the device's.
type FormatError struct {
	// Format is the container: "BUP" or "capsule".
	Format string
	// Offset is in bytes from the start of that container.
	Offset int64
	// Field is the name of the field at Offset.
	Field string
	// Problem says what is wrong with it.
	Problem string
}

// Error returns one line that names offset and field.
func (e *FormatError) Error() string {
	return fmt.Sprintf("cannot read %s: %s at offset %d: %s", e.Format, e.Field, e.Offset, e.Problem)
}

// MalformedData is true: the exit code of such an error is that of bad data.
func (e *FormatError) MalformedData() bool { return true }

func malformed(offset int64, field, format string, args ...any) error {
	return &FormatError{Format: "BUP", Offset: offset, Field: field, Problem: fmt.Sprintf(format, args...)}
}
