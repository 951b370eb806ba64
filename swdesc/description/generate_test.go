package description_test

import (
	"fmt"
	"strconv"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
	"pgregory.net/rapid"
)

// same compares models without positions. JSON has one kind of list, so that libconfig's arrays become lists on the way.
var same = cmp.Options{
	cmp.Transformer("position", func(syntax.Position) struct{} { return struct{}{} }),
	cmp.Transformer("kind", func(k syntax.Kind) string {
		if k == syntax.Array {
			k = syntax.List
		}
		return strconv.Itoa(int(k))
	}),
}

var (
	words  = rapid.StringOfN(rapid.RuneFrom([]rune("ab \"\\/\n\té\U0001f680#@;{}[]()=1")), 0, 12, -1)
	texts  = rapid.OneOf(rapid.Just(""), words)
	named  = rapid.StringMatching(`x[a-z0-9_-]{1,8}`)
	linked = rapid.SampledFrom([]string{"", "", "", "#./xlist", "#../xother", "nowhere"})
)

// artifact draws an entry as Read would make it.
func artifact(t *rapid.T) description.Artifact {
	a := description.Artifact{Size: rapid.SampledFrom([]int64{0, 1, -1, 1 << 31, 1<<63 - 1}).Draw(t, "size"),
		Compressed: rapid.SampledFrom([]string{"", "zlib", "zstd", "brotli"}).Draw(t, "compressed"),
		Encrypted:  rapid.SampledFrom([]string{"", "aes-cbc", "aes-ctr-256"}).Draw(t, "encrypted"),
		Offset:     rapid.SampledFrom([]string{"", "0", "-1", "007", "4096", "2147483648", "4K", "+1", "x"}).Draw(t, "offset"),
		Ref:        linked.Draw(t, "ref"),
	}
	for _, field := range []*string{&a.Filename, &a.Type, &a.Name, &a.Version, &a.Path, &a.Volume, &a.Device, &a.MTDName, &a.Filesystem,
		&a.Data, &a.SHA256, &a.IVT, &a.AESKey, &a.Hook, &a.PreInstall, &a.PostInstall} {
		*field = texts.Draw(t, "text")
	}
	for _, field := range []*bool{&a.InstalledDirectly, &a.PreserveAttributes, &a.InstallIfDifferent, &a.InstallIfHigher} {
		*field = rapid.Bool().Draw(t, "flag")
	}
	for i := rapid.IntRange(0, 3).Draw(t, "properties"); i > 0; i-- {
		p := description.Property{Name: fmt.Sprint("p", i), List: rapid.Bool().Draw(t, "list")}
		p.Values = rapid.SliceOfN(words, 1, 1).Draw(t, "value")
		if p.List {
			p.Values = rapid.SliceOfN(words, 1, 3).Draw(t, "values")
		}
		a.Properties = append(a.Properties, p)
	}
	a.Unknown = unknown(t)
	return a
}

func variable(t *rapid.T) description.Variable {
	return description.Variable{Name: texts.Draw(t, "name"), Value: texts.Draw(t, "value"), Hook: texts.Draw(t, "hook"),
		Ref: linked.Draw(t, "ref"), Unknown: unknown(t)}
}

// unknown draws settings of every kind that no section knows; a group would be a node in some places.
func unknown(t *rapid.T) []syntax.Setting {
	var list []syntax.Setting
	for i := rapid.IntRange(0, 2).Draw(t, "unknown"); i > 0; i-- {
		v := rapid.SampledFrom([]syntax.Value{
			{Kind: syntax.Bool, Bool: true}, {Kind: syntax.Int, Int: 1 << 40}, {Kind: syntax.Float, Float: 0.25},
			{Kind: syntax.String, String: "s"}, {Kind: syntax.Array, Elements: []syntax.Value{{Kind: syntax.Int, Int: 1}}},
			{Kind: syntax.List, Elements: []syntax.Value{{Kind: syntax.Group, Settings: []syntax.Setting{
				{Name: "a", Value: syntax.Value{Kind: syntax.Bool}}}}}},
		}).Draw(t, "value")
		list = append(list, syntax.Setting{Name: fmt.Sprint("unknown", i), Value: v})
	}
	return list
}

// node draws a node with up to depth levels below it.
func node(t *rapid.T, depth int) description.Node {
	var n description.Node
	for _, field := range []*string{&n.Version, &n.Description, &n.UpdateType, &n.NamespaceForVars, &n.Output, &n.EmbeddedScript} {
		*field = texts.Draw(t, "text")
	}
	for _, field := range []*description.Switch{&n.Reboot, &n.TransactionMarker, &n.StateMarker} {
		*field = rapid.SampledFrom([]description.Switch{description.Default, description.On, description.Off}).Draw(t, "switch")
	}
	n.Ref = linked.Draw(t, "ref")
	if rapid.Bool().Draw(t, "hardware") {
		n.HardwareCompatibility = rapid.SliceOfN(words, 0, 3).Draw(t, "revisions")
	}
	for _, list := range []*[]description.Artifact{&n.Partitions, &n.Images, &n.Files, &n.Scripts} {
		*list = some(t, artifact)
	}
	n.BootEnv, n.Vars = some(t, variable), some(t, variable)
	n.UBoot = n.BootEnv != nil && rapid.Bool().Draw(t, "uboot")
	// Without a link to it the list "xlist" would be unknown, and which kind it has follows from the link.
	if rapid.IntRange(0, 3).Draw(t, "linked") == 0 {
		n.Images = []description.Artifact{{Ref: "#./xlist"}}
		n.Lists = []description.List{{Name: "xlist", Artifacts: []description.Artifact{{Filename: "there"}}}}
		n.Links = []description.Link{{Name: "vars", Ref: "#./xvars"}}
		n.Vars = nil
		n.Lists = append(n.Lists, description.List{Name: "xvars", Variables: []description.Variable{{Name: "v"}}})
	}
	if depth > 0 {
		for i := rapid.IntRange(0, 2).Draw(t, "children"); i > 0; i-- {
			n.Children = append(n.Children, description.Child{Name: named.Draw(t, "child") + fmt.Sprint(i), Node: node(t, depth-1)})
		}
	}
	n.Unknown = unknown(t)
	return n
}

// some draws a list: absent, empty, or of a few.
func some[T any](t *rapid.T, draw func(*rapid.T) T) []T {
	count := rapid.IntRange(-1, 2).Draw(t, "count")
	if count < 0 {
		return nil
	}
	list := make([]T, 0, count)
	for ; count > 0; count-- {
		list = append(list, draw(t))
	}
	return list
}
