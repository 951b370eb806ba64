require ${@'tegra-redundant-boot_tegra-ota.inc' if d.getVar('TEGRA_OTA_UPDATER') else ''}
