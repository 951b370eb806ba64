package cpio

import (
	"io"
	"strings"
)

// header reads a header with its name. At the trailer it sets ended.
func (r *Reader) header() (Header, error) {
	r.start = r.at
	if err := r.magic(); err != nil {
		return Header{}, err
	}
	head, err := r.next(headerSize, "a header")
	if err != nil {
		return Header{}, err
	}
	n, at, err := parseNumbers(head)
	if err != nil {
		return Header{}, malformed(r.start+int64(at), "%v", err)
	}
	name, err := r.name(n[fieldNameSize])
	if err != nil {
		return Header{}, err
	}
	if name == trailerName {
		if n[fieldSize] != 0 {
			return Header{}, malformed(r.start, "the trailer has %d bytes of data, want none", n[fieldSize])
		}
		r.ended = true
		return Header{}, nil
	}
	if err := r.admit(name, n[fieldMode]); err != nil {
		return Header{}, err
	}
	h := Header{Name: name, Size: int64(n[fieldSize])}
	if r.format == CRC {
		h.Sum = n[fieldCheck]
	}
	return h, nil
}

// magic checks the magic of the header that comes next. An archive has one format: SWUpdate looks at each header alone, but
// GNU cpio skips members of the other format as junk, so a mixed archive would not be the same one to everybody.
func (r *Reader) magic() error {
	start, err := r.in.Peek(len(magicNewC))
	if err != nil && err != io.EOF {
		return r.wrap(err)
	}
	format := formatOf(start)
	switch {
	case len(start) == 0 && r.at == 0:
		return malformed(0, "the file is empty")
	case len(start) == 0:
		return malformed(r.at, "truncated: the archive ends without its trailer")
	case len(start) < len(magicNewC) && (strings.HasPrefix(magicNewC, string(start)) || strings.HasPrefix(magicCRC, string(start))):
		return nil // a part of a magic: it is the header that is too short
	case format == 0 && r.at == 0:
		start, _ = r.in.Peek(longestMagic) // whatever there is of it
		return malformed(0, "%s", foreignName(start))
	case format == 0:
		return malformed(r.at, "a header is expected here, found %q", start)
	case r.format != 0 && format != r.format:
		return malformed(r.at, "a header of the format %v in an archive of the format %v", format, r.format)
	}
	if r.format == 0 {
		r.format = format
	}
	return nil
}

// name reads a name of size bytes, its NUL among them, and its fill.
func (r *Reader) name(size uint32) (string, error) {
	if size == 0 || size > MaxName+1 {
		return "", malformed(r.start+headerSize-16, "namesize is %d, want 1 to %d", size, MaxName+1)
	}
	raw, err := r.next(int(size), "a name")
	if err != nil {
		return "", err
	}
	name := string(raw)
	if end := strings.IndexByte(name, 0); end != len(name)-1 {
		return "", malformed(r.start+headerSize, "the name %q does not have its only NUL at the end", name)
	}
	name = name[:len(name)-1]
	_, err = r.next(fill(headerSize+int64(size)), "the fill behind the name %q", name)
	return name, err
}

// admit checks that the archive can have a member of this name and mode, and counts it.
func (r *Reader) admit(name string, mode uint32) error {
	if err := CheckName(name); err != nil {
		return malformed(r.start+headerSize, "member %q: %v", name, err)
	}
	if kind := kindOf(mode); kind != "" {
		return malformed(r.start, "member %q is %s, want a file", name, kind)
	}
	if r.names[name] {
		return malformed(r.start, "a second member %q", name)
	}
	if len(r.names) == MaxMembers {
		return malformed(r.start, "more than %d members", MaxMembers)
	}
	r.names[name] = true
	return nil
}
