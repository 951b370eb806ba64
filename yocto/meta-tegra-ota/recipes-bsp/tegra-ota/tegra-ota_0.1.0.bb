require tegra-ota.inc
# Generated: our licence and those of the modules in vendor/.
require tegra-ota-licenses.inc

# "make dist" makes the same bytes from the tag; it has the modules in vendor/, because do_compile has no network.
SRC_URI = "https://github.com/tegra-ota/tegra-ota/releases/download/v${PV}/tegra-ota-${PV}.tar.gz;subdir=${BP}/src/${GO_IMPORT};striplevel=1"
SRC_URI[sha256sum] = "e358d050a3eb77a0c60e007bf0614ce671af5e57f18d32070078197b2369fc9f"

GOBUILDFLAGS:append = " -mod=vendor"
