SUMMARY = "SWUpdate's configuration for a Jetson"
DESCRIPTION = "swupdate.cfg with the check before every update and the machine's identity. A product with a swupdate.cfg of its own \
sets TEGRA_OTA_SWUPDATE_CONFIG to the package that has it."
HOMEPAGE = "https://github.com/tegra-ota/tegra-ota"
SECTION = "base"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

SRC_URI = "file://swupdate.cfg.in ${TEGRA_OTA_SWUPDATE_CERTIFICATE_URI}"

# hardware-compatibility of sw-description is compared with this revision, and "board" selects a part of it.
TEGRA_OTA_BOARD ?= "${MACHINE}"
TEGRA_OTA_REVISION ?= "1.0"
# The certificate or public key that updates must be signed for, a file that FILESPATH finds; "" installs none.
TEGRA_OTA_SWUPDATE_CERTIFICATE ?= ""
TEGRA_OTA_SWUPDATE_CERTIFICATE_URI = "${@d.expand('file://${TEGRA_OTA_SWUPDATE_CERTIFICATE}') if d.getVar('TEGRA_OTA_SWUPDATE_CERTIFICATE') else ''}"
# What runs once an update is installed; "" leaves the reboot to others.
TEGRA_OTA_SWUPDATE_POSTUPDATE ?= "systemctl reboot"

# Where files are unpacked has another name before wrynose.
S = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"

PACKAGE_ARCH = "${MACHINE_ARCH}"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${sysconfdir}/swupdate
    key='${@'public-key-file = "%s/swupdate/%s";' % (d.getVar('sysconfdir'), os.path.basename(d.getVar('TEGRA_OTA_SWUPDATE_CERTIFICATE'))) if d.getVar('TEGRA_OTA_SWUPDATE_CERTIFICATE') else ''}'
    post='${@'postupdatecmd = "%s";' % d.getVar('TEGRA_OTA_SWUPDATE_POSTUPDATE') if d.getVar('TEGRA_OTA_SWUPDATE_POSTUPDATE') else ''}'
    sed -e "s|@KEY@|$key|" -e "s|@POSTUPDATE@|$post|" \
        -e 's|@BOARD@|${TEGRA_OTA_BOARD}|' -e 's|@REVISION@|${TEGRA_OTA_REVISION}|' -e '/^[[:space:]]*$/d' \
        ${S}/swupdate.cfg.in >${D}${sysconfdir}/swupdate.cfg
    echo "${TEGRA_OTA_BOARD} ${TEGRA_OTA_REVISION}" >${D}${sysconfdir}/hwrevision
    if [ -n "${TEGRA_OTA_SWUPDATE_CERTIFICATE}" ]; then
        install -m 0644 ${S}/${TEGRA_OTA_SWUPDATE_CERTIFICATE} ${D}${sysconfdir}/swupdate/
    fi
}

FILES:${PN} = "${sysconfdir}/swupdate ${sysconfdir}/swupdate.cfg ${sysconfdir}/hwrevision"
CONFFILES:${PN} = "${sysconfdir}/swupdate.cfg"
