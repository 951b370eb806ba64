SUMMARY = "Example: a bundle of core-image-minimal and its boot firmware for RAUC"
LICENSE = "MIT"

inherit tegra-ota-bundle

TEGRA_OTA_BUNDLE_IMAGE = "core-image-minimal"

COMPATIBLE_MACHINE = "(tegra)"
