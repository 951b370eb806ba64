require ${@'rauc_tegra-ota.inc' if d.getVar('TEGRA_OTA_UPDATER') == 'rauc' else ''}
