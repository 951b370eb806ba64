require ${@'tegra-ota_tegra.inc' if d.getVar('TEGRA_OTA_UPDATER') else ''}
