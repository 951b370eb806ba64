package main

import (
	"fmt"
	"io"
	"sort"
	"text/tabwriter"
)

// print shows an inspection as a table.
func (r inspection) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	if c := r.Capsule; c != nil {
		fmt.Fprintf(t, "capsule\tfirmware %s, lowest supported %s\n", c.FirmwareVersion, c.LowestSupported)
		owner := "no chip that is known here"
		if c.Chip != nil {
			owner = *c.Chip
		}
		fmt.Fprintf(t, "\timage type %s (%s), image header version %d\n", c.ImageType, owner, c.HeaderVersion)
		fmt.Fprintf(t, "\t%d bytes, signed: %t (PKCS#7 at %d, %d bytes), BUP at %d\n",
			c.Size, c.Signed, c.SignatureOffset, c.SignatureLength, c.BUPOffset)
	}
	fmt.Fprintf(t, "BUP\t%s, version %s, %d bytes, header %d bytes, type %d, %d entries\n",
		r.BUP.Format, r.BUP.Version, r.BUP.Size, r.BUP.HeaderSize, r.BUP.Type, len(r.BUP.Entries))
	for _, g := range r.BUP.Gaps {
		fmt.Fprintf(t, "\tgap of %d bytes at %d\n", g.Length, g.Offset)
	}
	fmt.Fprintf(t, "\nindex\tname\toffset\tlength\tversion\tmode\tspec\tSHA-256\n")
	for i, e := range r.BUP.Entries {
		spec := e.Spec
		if spec == "" {
			spec = "(every board)"
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%#x\t%d\t%s\t%s\n", i, e.Name, e.Offset, e.Length, e.Version, e.OpMode, spec, e.SHA256)
	}
	if s := r.Selection; s != nil {
		fmt.Fprintf(t, "\nboard %s takes\tindex\n", s.Spec)
		names := make([]string, 0, len(s.Chosen))
		for n := range s.Chosen {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			fmt.Fprintf(t, "%s\t%d\n", n, s.Chosen[n])
		}
		for _, name := range s.Missing {
			fmt.Fprintf(t, "%s\tmissing: %s\n", name, s.Reasons[name])
		}
	}
	return t.Flush()
}
