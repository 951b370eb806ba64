require tegra-ota.inc
# Generated: the modules, which BitBake fetches by itself, and all licences.
require tegra-ota-go-mods.inc

PV = "0.1.0+git"
SRC_URI = "git://github.com/tegra-ota/tegra-ota.git;protocol=https;branch=main;destsuffix=${BP}/src/${GO_IMPORT} ${TEGRA_OTA_GO_MODS}"
SRCREV = "6c8cfa32a23f5eebd904b4d023a7faeb710889bf"

# Go unpacks what it compiles; all other licences are needed as well.
do_compile:append() {
    ${GO} list -deps -test ./... >/dev/null
}

# For development; a release is preferred.
DEFAULT_PREFERENCE = "-1"

# Scarthgap's BitBake has no fetcher for Go modules: use the release, or externalsrc on an unpacked "make dist".
# nooelint: oelint.task.noanonpython
python () {
    if not any("gomod" in m.supports.__module__ for m in bb.fetch2.methods):
        raise bb.parse.SkipRecipe("this BitBake cannot fetch gomod://; use tegra-ota of a release")
}
