SUMMARY = "Example: an update of core-image-minimal and its boot firmware for SWUpdate"
LICENSE = "MIT"

inherit tegra-ota-swu

TEGRA_OTA_SWU_IMAGE = "core-image-minimal"

COMPATIBLE_MACHINE = "(tegra)"
