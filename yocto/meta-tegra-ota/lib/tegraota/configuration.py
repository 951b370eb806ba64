"""Finds in the configuration of a build what would make an image that cannot be updated."""

UPDATERS = {
    # updater: the collection of its layer, the feature of the distribution that it wants
    "swupdate": ("swupdate", ""),
    "rauc": ("rauc", "rauc"),
    "mender": ("", ""),
}


def problems(d):
    """Returns a list of sentences, each with what to do; empty without TEGRA_OTA_UPDATER."""
    updater = d.getVar("TEGRA_OTA_UPDATER") or ""
    if not updater:
        return []
    if updater not in UPDATERS:
        return ["TEGRA_OTA_UPDATER is \"%s\"; it must be %s, or empty" % (updater, ", ".join(UPDATERS))]

    found = []
    layers = (d.getVar("BBFILE_COLLECTIONS") or "").split()
    features = (d.getVar("DISTRO_FEATURES") or "").split()
    layer, feature = UPDATERS[updater]
    if layer and layer not in layers:
        found.append("TEGRA_OTA_UPDATER is \"%s\", but its layer meta-%s is not in bblayers.conf" % (updater, layer))
    if feature and feature not in features:
        found.append("TEGRA_OTA_UPDATER is \"%s\", but DISTRO_FEATURES lacks \"%s\"" % (updater, feature))
    signing = d.getVar("SWUPDATE_SIGNING") or ""
    if updater == "swupdate" and signing == "CUSTOM":
        found.append("SWUPDATE_SIGNING is \"CUSTOM\": only you know which CONFIG_SIGALG the signature is for; append a fragment to swupdate "
                     "that sets it and CONFIG_SIGNED_IMAGES, or devices will take unsigned updates")
    if updater == "swupdate" and signing and not d.getVar("TEGRA_OTA_SWUPDATE_CERTIFICATE") and \
            (d.getVar("TEGRA_OTA_SWUPDATE_CONFIG") or "tegra-ota-swupdate-config") == "tegra-ota-swupdate-config":
        found.append("SWUPDATE_SIGNING is set, but TEGRA_OTA_SWUPDATE_CERTIFICATE is not: SWUpdate does not start without a public key")
    if updater == "mender":
        found.append("Mender's update module is not part of this release: tegra-ota-mender installs slot control and health checks "
                     "only, and Mender cannot install a payload of type tegra-bup yet")
    if "systemd" not in features:
        found.append("DISTRO_FEATURES lacks \"systemd\": without it nothing counts boots and nothing rolls back")
    # Only meta-tegra sets it; firmware that was not told of two root file systems always boots slot A's.
    if "tegra" in (d.getVar("MACHINEOVERRIDES") or "").split(":") and \
            (d.getVar("USE_REDUNDANT_FLASH_LAYOUT") or "0").lower() not in ("1", "y", "yes", "true", "on", "t"):
        found.append("USE_REDUNDANT_FLASH_LAYOUT is off: the firmware will always boot the root file system of slot A. "
                     "Set USE_REDUNDANT_FLASH_LAYOUT_DEFAULT = \"1\" in the distribution or local.conf")
    return found
