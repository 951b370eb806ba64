# Makes a RAUC bundle out of an image recipe and the capsule of tegra-uefi-capsules:
#
#   inherit tegra-ota-bundle
#   TEGRA_OTA_BUNDLE_IMAGE = "core-image-minimal"
#   RAUC_KEY_FILE = "..."
#   RAUC_CERT_FILE = "..."
#
# All variables of meta-rauc's bundle.bbclass can be set as well. The certificate needs the extended key usage codeSigning, which the
# generated system.conf asks for.

# The image recipe. Its IMAGE_FSTYPES must have ext4.
TEGRA_OTA_BUNDLE_IMAGE ?= ""
# "0": no boot firmware.
TEGRA_OTA_BUNDLE_FIRMWARE ?= "1"
# Equals compatible= in the device's system.conf.
TEGRA_OTA_RAUC_COMPATIBLE ?= "${MACHINE}"

RAUC_BUNDLE_COMPATIBLE ?= "${TEGRA_OTA_RAUC_COMPATIBLE}"
RAUC_BUNDLE_VERSION ?= "${DISTRO_VERSION}"
RAUC_BUNDLE_FORMAT ?= "verity"

# In this order: if the root file system fails, no firmware is staged.
RAUC_BUNDLE_SLOTS ?= "rootfs ${@'bootloader' if bb.utils.to_boolean(d.getVar('TEGRA_OTA_BUNDLE_FIRMWARE')) else ''}"
RAUC_SLOT_rootfs ?= "${TEGRA_OTA_BUNDLE_IMAGE}"
RAUC_SLOT_rootfs[fstype] = "ext4"
RAUC_SLOT_rootfs[rename] = "rootfs.ext4"
RAUC_SLOT_bootloader ?= "tegra-uefi-capsules"
RAUC_SLOT_bootloader[type] = "file"
RAUC_SLOT_bootloader[file] = "tegra-bl.cap"
RAUC_SLOT_bootloader[rename] = "TEGRA_BL.Cap.img"
# RAUC writes nothing: the hook has the device's tegra-bup stage the capsule.
RAUC_SLOT_bootloader[hooks] = "install"
RAUC_BUNDLE_HOOKS[file] = "tegra-ota-hook"

# Last, so that a file of this name beside the recipe is taken instead.
# nooelint: oelint.vars.inconspaces
FILESPATH:append = ":${TEGRA_OTA_LAYERDIR}/files"
SRC_URI += "file://tegra-ota-hook"

inherit bundle
