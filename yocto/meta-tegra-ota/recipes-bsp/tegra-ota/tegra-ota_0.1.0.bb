require tegra-ota.inc
# Generated: our licence and those of the modules in vendor/.
require tegra-ota-licenses.inc

# "make dist" makes the same bytes from the tag; it has the modules in vendor/, because do_compile has no network.
SRC_URI = "https://github.com/tegra-ota/tegra-ota/releases/download/v${PV}/tegra-ota-${PV}.tar.gz;subdir=${BP}/src/${GO_IMPORT};striplevel=1"
SRC_URI[sha256sum] = "5fcad73a1a4b8803f796a31761e6e77edb72a7beb274692d6d10299115c12605"

GOBUILDFLAGS:append = " -mod=vendor"
