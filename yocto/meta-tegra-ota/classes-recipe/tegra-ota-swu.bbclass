# Makes an update for SWUpdate out of an image recipe and the capsule of tegra-uefi-capsules:
#
#   inherit tegra-ota-swu
#   TEGRA_OTA_SWU_IMAGE = "core-image-minimal"
#
# meta-swupdate packs and signs it; set SWUPDATE_SIGNING and the variables of its kind. A sw-description in the recipe's SRC_URI takes
# the place of the generated one. JetPack 7, and JetPack 6 where the launcher boots what lies in the root file system's /boot, need root
# file system and capsule; a JetPack 6 layout that boots from the partitions kernel and kernel-dtb needs these as well:
#
#   TEGRA_OTA_SWU_KERNEL = "${INITRAMFS_IMAGE}-${MACHINE}.cboot"
#   TEGRA_OTA_SWU_DTB = "tegra234-p3768-0000+p3767-0005-nv.dtb"
#   TEGRA_OTA_SWU_DEPENDS = "${INITRAMFS_IMAGE}:do_image_complete virtual/kernel:do_deploy"

LICENSE ?= "MIT"

inherit swupdate

# The image recipe. Its IMAGE_FSTYPES must have the type of TEGRA_OTA_SWU_ROOTFS.
TEGRA_OTA_SWU_IMAGE ?= ""
# Files in the deploy folder; "" leaves one out. Those that end in .zst are stored compressed.
TEGRA_OTA_SWU_ROOTFS ?= "${@'${TEGRA_OTA_SWU_IMAGE}${IMAGE_MACHINE_SUFFIX}${IMAGE_NAME_SUFFIX}.ext4.zst' if d.getVar('TEGRA_OTA_SWU_IMAGE') else ''}"
TEGRA_OTA_SWU_KERNEL ?= ""
TEGRA_OTA_SWU_DTB ?= ""
TEGRA_OTA_SWU_CAPSULE ?= "tegra-bl.cap"
# More tasks that deploy them.
TEGRA_OTA_SWU_DEPENDS ?= ""
# Of the update; parts of two versions never mix on a device.
TEGRA_OTA_SWU_VERSION ?= "${DISTRO_VERSION}"
# The two words of the device's /etc/hwrevision.
TEGRA_OTA_BOARD ?= "${MACHINE}"
TEGRA_OTA_REVISION ?= "1.0"

IMAGE_DEPENDS += "${TEGRA_OTA_SWU_IMAGE}"
DEPENDS += "zstd-native"
# The script's type is all that counts; its content is not.
# Last, so that a file of this name beside the recipe is taken instead.
# nooelint: oelint.vars.inconspaces
FILESPATH:append = ":${TEGRA_OTA_LAYERDIR}/files"
SRC_URI += "file://activate"
SWUPDATE_IMAGES = "${@' '.join(tegraota.swdescription.files(d))}"

do_swuimage[depends] += "${@'tegra-uefi-capsules:do_deploy' if d.getVar('TEGRA_OTA_SWU_CAPSULE') else ''} ${TEGRA_OTA_SWU_DEPENDS}"
do_swuimage[vardeps] += "TEGRA_OTA_SWU_ROOTFS TEGRA_OTA_SWU_KERNEL TEGRA_OTA_SWU_DTB TEGRA_OTA_SWU_CAPSULE TEGRA_OTA_SWU_VERSION \
    TEGRA_OTA_BOARD TEGRA_OTA_REVISION SWUPDATE_SIGNING"

python do_swuimage:prepend() {
    import tegraota.swdescription
    if not d.getVar('SWUPDATE_SIGNING'):
        bb.warn('SWUPDATE_SIGNING is not set: the update is not signed, and a device that takes it takes anybody\'s')
    if d.getVar('TEGRA_OTA_SWU_VERSION').startswith('nodistro'):
        bb.warn('TEGRA_OTA_SWU_VERSION is %s: give every update a version of its own, a device tells parts of two updates apart by it'
                % d.getVar('TEGRA_OTA_SWU_VERSION'))
    if not any(uri.startswith('file://sw-description') for uri in d.getVar('SRC_URI').split()):
        try:
            described = tegraota.swdescription.text(d, d.getVar('DEPLOY_DIR_IMAGE'))
        except (tegraota.swdescription.Refused, OSError) as e:
            bb.fatal('cannot describe the update: %s' % e)
        # Where do_unpack would have put one: the folder has another name before wrynose.
        folder = d.getVar('UNPACKDIR') or d.getVar('WORKDIR')
        with open(os.path.join(folder, 'sw-description'), 'w', encoding='utf-8') as f:
            f.write(described)
}
