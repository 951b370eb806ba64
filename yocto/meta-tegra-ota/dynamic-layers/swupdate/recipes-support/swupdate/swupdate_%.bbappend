require ${@'swupdate_tegra-ota.inc' if d.getVar('TEGRA_OTA_UPDATER') == 'swupdate' else ''}
