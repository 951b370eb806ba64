package check

import (
	"slices"

	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// mask says in which sections SWUpdate takes a handler. It does not tell images and files apart: a handler for either is taken in
// both (core/parser.c, check_handler_list).
type mask uint8

const (
	forImages     mask = 1 << iota // IMAGE_HANDLER or FILE_HANDLER
	forScripts                     // SCRIPT_HANDLER
	forPartitions                  // PARTITION_HANDLER
	withoutData                    // NO_DATA_HANDLER: it has no file, and needs no sha256
)

// handler is a type and where it comes from.
type handler struct {
	mask  mask
	since string // "": Debian's SWUpdate 2022.12 has it; else the release that brought it, or what a build needs
}

// handlers are the register_handler calls of SWUpdate 2022.12 to 2026.05 (handlers/*.c), those that Debian 12's package prints
// at start as it is built, and tegra-ota's own (handlers/swupdate/swupdate_handlers.lua).
var handlers = map[string]handler{
	"dummy":          {mask: forImages | forScripts | forPartitions},
	"archive":        {mask: forImages},
	"tar":            {mask: forImages},
	"uboot":          {mask: forImages},
	"bootloader":     {mask: forImages},
	"flash":          {mask: forImages},
	"flash-hamming1": {mask: forImages},
	"delta":          {mask: forImages},
	"gptpart":        {mask: forImages},
	"raw":            {mask: forImages},
	"rawfile":        {mask: forImages},
	"rdiff_image":    {mask: forImages},
	"rdiff_file":     {mask: forImages},
	"swuforward":     {mask: forImages},
	"ubivol":         {mask: forImages},
	"ucfw":           {mask: forImages},
	"lua":            {mask: forScripts},
	"shellscript":    {mask: forScripts},
	"preinstall":     {mask: forScripts},
	"postinstall":    {mask: forScripts},
	"toggleboot":     {mask: forScripts | withoutData},
	"gptswap":        {mask: forScripts | withoutData},
	"readback":       {mask: forScripts | withoutData},
	"ssblswitch":     {mask: forScripts | withoutData},
	"ubiswap":        {mask: forScripts | withoutData},
	"diskformat":     {mask: forPartitions | withoutData},
	"diskpart":       {mask: forPartitions | withoutData},
	"ubipartition":   {mask: forPartitions | withoutData},
	"uniqueuuid":     {mask: forPartitions | withoutData},

	"remote":                 {forImages, "a build with CONFIG_REMOTE_HANDLER"},
	"copy":                   {forScripts | withoutData, "a build with CONFIG_COPY"},
	"rawcopy":                {forScripts | withoutData, "a build with CONFIG_COPY"},
	"btrfs":                  {forPartitions | withoutData, "2023.05"},
	"btrfs-receive":          {forImages, "2024.12"},
	"docker_imageload":       {forImages, "2023.12"},
	"docker_imagedelete":     {forScripts | withoutData, "2023.12"},
	"docker_imageprune":      {forScripts | withoutData, "2023.12"},
	"docker_containercreate": {forScripts, "2023.12"},
	"docker_containerdelete": {forScripts | withoutData, "2023.12"},
	"docker_containerstart":  {forScripts | withoutData, "2023.12"},
	"docker_networkcreate":   {forScripts, "2023.12"},
	"docker_networkdelete":   {forScripts | withoutData, "2023.12"},
	"docker_volumecreate":    {forScripts, "2023.12"},
	"docker_volumedelete":    {forScripts | withoutData, "2023.12"},
	"emmc_boot":              {forScripts | withoutData, "2024.05"},
	"emmc_boot_toggle":       {forScripts | withoutData, "2024.05"},
	"executor":               {forImages, "2024.12"},

	tegraImage:    {mask: forImages},
	tegraBUP:      {mask: forImages},
	tegraActivate: {mask: forScripts},
}

// sectionMask is what check_handler_list wants of a section's handlers.
var sectionMask = map[string]mask{images: forImages, files: forImages, scripts: forScripts, partitions: forPartitions}

// kind returns an entry's type, or the one that SWUpdate takes where there is none (parser/parser.c).
func (it *item) kind() string {
	switch {
	case it.Type != "":
		return it.Type
	case it.section == scripts:
		return "lua"
	case it.section == files:
		return "rawfile"
	case it.section == partitions:
		return "ubipartition"
	case it.Volume != "":
		return "ubivol"
	case it.Device != "":
		return "raw"
	}
	return ""
}

// checkType looks whether a device has the handler, and whether it may stand in this section.
func (c *checker) checkType(it *item) {
	kind := it.kind()
	if kind == "" {
		if it.Hook == "" { // a hook may set the type
			c.add(it.Position, problem.Errorf("handler", "the image has no type, and neither a volume nor a device that would tell it").
				Then(`write type = "tegra-image", or what is to install it`))
		}
		return
	}
	if placeholders.MatchString(kind) || slices.Contains(c.options.Handlers, kind) {
		return
	}
	h, known := handlers[kind]
	switch {
	case !known && c.registered()[kind]:
		c.add(it.Position, problem.Warnf("handler",
			"type %q comes from embedded-script, which cannot bring a handler to SWUpdate before 2024.05", kind))
	case !known && it.Type != "" && it.Hook != "":
		c.add(it.Position, problem.Warnf("handler", "no handler is known for type %q, unless the hook %q changes it", kind, it.Hook))
	case !known:
		c.add(it.Position, problem.Errorf("handler", "no handler is known for type %q, and SWUpdate refuses the update without one", kind).
			Then("correct the type, or name it as a handler that your SWUpdate has"))
	case h.mask&sectionMask[it.section] == 0:
		c.add(it.Position, problem.Errorf("handler", "type %q is not for %s, and SWUpdate refuses the update", kind, it.section).
			Then("move the entry to %s", sectionsOf(h.mask)))
	case h.since != "":
		c.add(it.Position, problem.Warnf("handler", "Debian's SWUpdate 2022.12 has no handler for type %q: it needs %s", kind, h.since))
	}
}

func sectionsOf(m mask) string {
	switch {
	case m&forScripts != 0:
		return scripts
	case m&forPartitions != 0:
		return partitions
	}
	return "images or files"
}

// withData says whether SWUpdate wants a file, and so a sha256, for an entry. Of a handler that is not in the table nobody knows.
func (it *item) withData() (with, known bool) {
	h, known := handlers[it.kind()]
	return h.mask&withoutData == 0 && (known || it.Filename != ""), known
}
