require tegra-ota.inc
# Generated: our licence and those of the modules in vendor/.
require tegra-ota-licenses.inc

# "make dist" makes the same bytes from the tag; it has the modules in vendor/, because do_compile has no network.
SRC_URI = "https://github.com/tegra-ota/tegra-ota/releases/download/v${PV}/tegra-ota-${PV}.tar.gz;subdir=${BP}/src/${GO_IMPORT};striplevel=1"
SRC_URI[sha256sum] = "6b5a6e99bae2a12e0cfdae89718b2f00d860bdee081e07b7109b5abf3d578fe7"

GOBUILDFLAGS:append = " -mod=vendor"
