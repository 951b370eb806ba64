SUMMARY = "Example: a bundle of core-image-minimal and its boot firmware for RAUC"
DESCRIPTION = "Shows how little a recipe for an update needs. Copy it and name your image."
HOMEPAGE = "https://github.com/tegra-ota/tegra-ota"
SECTION = "base"
LICENSE = "MIT"

inherit tegra-ota-bundle

TEGRA_OTA_BUNDLE_IMAGE = "core-image-minimal"

COMPATIBLE_MACHINE = "(tegra)"
