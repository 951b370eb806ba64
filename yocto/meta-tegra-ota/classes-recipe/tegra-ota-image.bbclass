# Puts tegra-ota beside the updater into an image and looks at the result. Every image inherits it once TEGRA_OTA_UPDATER is set;
# an initramfs is left alone, because it lists its packages itself (PACKAGE_INSTALL).
#
# TEGRA_OTA_PACKAGES  what is installed: glue and D-Bus bridge by default

TEGRA_OTA_PACKAGES ?= "tegra-ota-${TEGRA_OTA_UPDATER} tegra-ota-dbus"
IMAGE_INSTALL:append = " ${TEGRA_OTA_PACKAGES}"
# It mounts the EFI system partition, where capsules go, and writes /etc/nv_boot_control.conf, which says what board this is. Images with
# packagegroup-base have it, core-image-minimal has not. Not among tegra-ota's own dependencies: other machines have no such package.
IMAGE_INSTALL:append:tegra = " setup-nv-boot-control-service"

IMAGE_QA_COMMANDS += "tegra_ota_check_rootfs"

python tegra_ota_check_rootfs() {
    import tegraota.rootfs
    for problem in tegraota.rootfs.problems(d.getVar('IMAGE_ROOTFS')):
        bb.warn("%s: %s" % (d.getVar('PN'), problem))
}
