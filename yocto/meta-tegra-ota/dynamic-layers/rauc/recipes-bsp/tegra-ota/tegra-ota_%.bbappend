require ${@'tegra-ota_rauc.inc' if d.getVar('TEGRA_OTA_UPDATER') == 'rauc' else ''}
