# Says before a build starts what would make an image that cannot be updated: the updater's layer is missing, its features are, or
# the flash layout has one root file system only. Warnings, because a build of something else is none of ours.

addhandler tegra_ota_sanity
tegra_ota_sanity[eventmask] = "bb.event.SanityCheck"
python tegra_ota_sanity() {
    import tegraota.configuration
    for problem in tegraota.configuration.problems(e.data):
        bb.warn("tegra-ota: " + problem)
}
