require tegra-ota.inc
# Generated: the modules, which BitBake fetches by itself, and all licences.
require tegra-ota-go-mods.inc

# Scarthgap's BitBake has no fetcher for Go modules.
def can_fetch_modules():
    return any("gomod" in type(m).__module__ for m in bb.fetch2.methods)

PV = "0.1.0+git"
# Without the fetcher externalsrc would trip over the list before the recipe is skipped below.
SRC_URI = "git://github.com/tegra-ota/tegra-ota.git;protocol=https;branch=main;destsuffix=${BP}/src/${GO_IMPORT} \
    ${@d.getVar('TEGRA_OTA_GO_MODS') if can_fetch_modules() else ''} \
"
SRCREV = "6c8cfa32a23f5eebd904b4d023a7faeb710889bf"

# Go unpacks what it compiles; all other licences are needed as well.
do_compile:append() {
    ${GO} list -modcacherw -deps -test ./... >/dev/null
}

# For development; a release is preferred.
DEFAULT_PREFERENCE = "-1"

# Use the release instead, or externalsrc on an unpacked "make dist".
# nooelint: oelint.task.noanonpython
python () {
    if not can_fetch_modules():
        raise bb.parse.SkipRecipe("this BitBake cannot fetch gomod://; use tegra-ota of a release")
}
