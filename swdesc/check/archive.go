package check

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// Contents is what a .swu has.
type Contents struct {
	Container   string        `json:"container"` // "newc" or "crc"
	Syntax      syntax.Format `json:"syntax"`    // of sw-description; "" where it cannot be parsed
	Members     []Member      `json:"members"`   // in the order of the archive, sw-description and its signature among them
	Description []byte        `json:"-"`
	Signature   []byte        `json:"-"` // content of sw-description.sig; nil if there is none
}

// Member is one file of a .swu.
type Member struct {
	Name   string `json:"name"`
	Offset int64  `json:"offset"` // of its header, in bytes from the start of the archive
	Size   int64  `json:"size"`   // in bytes, as stored
	SHA256 string `json:"sha256"` // of the stored bytes
}

// The members that SWUpdate reads before all others.
const (
	descriptionName = "sw-description"
	signatureName   = "sw-description.sig"
)

// Archive checks a .swu in one pass and in memory that does not grow with its members. The name is the file's. What is wrong with
// sw-description or with a member is a problem; an error says that the container itself is broken (exit code 65) or that it could
// not be read. It ends early when ctx does: a member of some KiB may decompress for hours.
func Archive(ctx context.Context, name string, r io.Reader, o Options) (*Contents, problem.List, error) {
	a := newArchive(ctx, r, o)
	if err := a.read(); err != nil {
		return nil, nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	return a.contents, a.judge(), nil
}

func newArchive(ctx context.Context, r io.Reader, o Options) *archive {
	return &archive{ctx: ctx, in: cpio.NewReader(interruptible{ctx, r}), options: o, contents: &Contents{Members: []Member{}},
		found: map[string]*found{}, buffer: make([]byte, 256<<10)}
}

// interruptible is a reader that stops when the work is cancelled.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, fail.New(fail.IO, "interrupted: %w", err)
	}
	return i.r.Read(p)
}

// archive is one .swu under test.
type archive struct {
	ctx         context.Context
	bytesOnly   bool // nobody asks what the members mean
	in          *cpio.Reader
	options     Options
	contents    *Contents
	found       map[string]*found
	description *checker     // nil before sw-description was read, and where it cannot be parsed
	problems    problem.List // of the container
	buffer      []byte
}

// found is what is known of a member.
type found struct {
	Member
	start    [4]byte // its first bytes
	measured *measurement
}

func (a *archive) read() error {
	for {
		h, err := a.in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := a.member(h); err != nil {
			return err
		}
	}
	a.contents.Container = a.in.Format().String()
	if a.contents.Description == nil {
		return fail.New(fail.Data, "it has no member %s", descriptionName).Then("this is no update for SWUpdate")
	}
	var malformed *cpio.FormatError
	if _, err := a.in.Trailing(); errors.As(err, &malformed) {
		a.problems = append(a.problems, problem.Errorf(checkTrailing, "at offset %d: %s", malformed.Offset, malformed.Problem).
			Then("pack the update again: nothing signs what stands there"))
	} else if err != nil {
		return err
	}
	return nil
}

// member reads one member: all of sw-description and its signature, and of any other its digest and what its entry asks for.
func (a *archive) member(h cpio.Header) error {
	f := &found{Member: Member{Name: h.Name, Offset: a.in.Offset(), Size: h.Size}}
	digest := sha256.New()
	stored := io.TeeReader(a.in, io.MultiWriter(digest, &head{into: f.start[:]}))
	switch {
	case h.Name == descriptionName || h.Name == signatureName:
		if h.Size > MaxDescription {
			return fail.New(fail.Data, "its %s has %d bytes, more than %d", h.Name, h.Size, MaxDescription)
		}
		content := make([]byte, h.Size)
		if _, err := io.ReadFull(stored, content); err != nil {
			return err
		}
		if h.Name == signatureName {
			a.contents.Signature = content
		} else {
			a.contents.Description = content
			if !a.bytesOnly {
				a.parse()
			}
		}
	case a.description != nil:
		f.measured = a.measure(h.Name, stored)
		if err := a.ctx.Err(); err != nil { // it stopped short, which is not the member's fault
			return fail.New(fail.IO, "interrupted: %w", err)
		}
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, stored, a.buffer); err != nil {
		return err
	}
	f.SHA256 = hex.EncodeToString(digest.Sum(nil))
	a.contents.Members = append(a.contents.Members, f.Member)
	a.found[h.Name] = f
	return nil
}

// parse makes the checker of sw-description, so that it is known what to look for in the members behind.
func (a *archive) parse() {
	c, err := parse(descriptionName, a.contents.Description, a.options)
	if err != nil {
		a.problems = append(a.problems, problem.Errorf(checkSyntax, "SWUpdate cannot read it: %s", fail.Reason(err)).
			Then("%s", fail.NextOf(err)).At(descriptionName))
		return
	}
	c.all()
	a.description, a.contents.Syntax = c, c.format
}

// head keeps the first bytes that are written to it.
type head struct{ into []byte }

func (h *head) Write(p []byte) (int, error) {
	h.into = h.into[copy(h.into, p):]
	return len(p), nil
}
