SUMMARY = "Example: core-image-minimal and its boot firmware for SWUpdate"
DESCRIPTION = "Shows how little a recipe for an update needs. Copy it and name your image."
HOMEPAGE = "https://github.com/tegra-ota/tegra-ota"
SECTION = "base"
LICENSE = "MIT"

inherit tegra-ota-swu

TEGRA_OTA_SWU_IMAGE = "core-image-minimal"

COMPATIBLE_MACHINE = "(tegra)"
