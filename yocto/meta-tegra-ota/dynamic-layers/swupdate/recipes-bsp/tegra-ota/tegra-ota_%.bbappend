require ${@'tegra-ota_swupdate.inc' if d.getVar('TEGRA_OTA_UPDATER') == 'swupdate' else ''}
