"""What the classes of meta-tegra-ota compute, as plain functions that need no BitBake to be tested."""

# BitBake follows the variables that these modules read (bitbake 2.2, addpylib).
BBIMPORTS = ["configuration", "rootfs", "swdescription"]
