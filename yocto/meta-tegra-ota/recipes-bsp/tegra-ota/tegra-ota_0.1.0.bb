require tegra-ota.inc
# Generated: our licence and those of the modules in vendor/.
require tegra-ota-licenses.inc

# "make dist" makes the same bytes from the tag; it has the modules in vendor/, because do_compile has no network.
SRC_URI = "https://github.com/tegra-ota/tegra-ota/releases/download/v${PV}/tegra-ota-${PV}.tar.gz;subdir=${BP}/src/${GO_IMPORT};striplevel=1"
SRC_URI[sha256sum] = "410bfab9aa0cc8c1017f6e1c6c11eeb60eff7103b95b213ebce0a9c2fd9cb45a"

GOBUILDFLAGS:append = " -mod=vendor"
