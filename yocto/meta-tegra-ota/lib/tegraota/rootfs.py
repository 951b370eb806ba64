"""Finds in the root file system of an image what would keep its updates from working."""

import os
import re

VERIFY = "usr/libexec/tegra-ota/tegra-boot-verify"
UNITS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
# Services that call every boot good. A drop-in of ours keeps each from starting; in an image without the package that has it the service
# is as before.
STOCK = ("nv_update_verifier.service", "nv-l4t-bootloader-config.service", "l4t-rootfs-validation-config.service",
         "rauc-mark-good.service")
DROP_IN = "50-tegra-ota.conf"


def problems(root):
    """Returns a list of sentences, each with what to do; empty for an image without tegra-ota."""
    if not os.path.lexists(os.path.join(root, VERIFY)):
        return []
    found = []
    path = journal(root)
    if not mounted(root, path):
        found.append("no file system is mounted at %s, where tegra-ota keeps the journal of the update in flight: both slots must "
                     "share it. Add a mount unit or a line to /etc/fstab; without one the journal lies on the EFI system "
                     "partition, which is small and FAT" % (path or "/data"))
    for unit in STOCK:
        if masked(root, unit) or any(os.path.exists(os.path.join(root, folder, unit + ".d", DROP_IN)) for folder in UNITS):
            continue
        if any(enabled(os.path.join(root, folder), unit) for folder in UNITS):
            found.append("%s is enabled and would call every boot good; remove its package or disable it" % unit)
    return found


def journal(root):
    """Returns the folder that the image's config.toml names for the journal, or ""."""
    section = ""
    try:
        with open(os.path.join(root, "etc/tegra-ota/config.toml"), encoding="utf-8") as f:
            for line in f:
                head = re.match(r"\s*\[([^\]]+)\]", line)
                if head:
                    section = head.group(1).strip()
                value = re.match(r"\s*path\s*=\s*[\"']([^\"']*)[\"']", line)
                if value and section == "journal":
                    return value.group(1)
    except FileNotFoundError:
        pass
    return ""


def mounted(root, path):
    """Says whether the image mounts a file system at path or above it (but not at /); "" stands for /data."""
    wanted = os.path.normpath(path or "/data")
    for where in mounts(root):
        where = os.path.normpath(where)
        if where != "/" and (wanted + "/").startswith(where + "/"):
            return True
    return False


def mounts(root):
    """Yields every mount point of /etc/fstab and of mount units; tegra-boot-count.service wants that of /data, enabled or not."""
    try:
        with open(os.path.join(root, "etc/fstab"), encoding="utf-8") as f:
            for line in f:
                fields = line.split()
                if len(fields) >= 3 and not fields[0].startswith("#") and fields[2] not in ("tmpfs", "ramfs", "swap", "proc"):
                    yield fields[1]
    except FileNotFoundError:
        pass
    for folder in UNITS:
        folder = os.path.join(root, folder)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            unit = os.path.join(folder, name)
            if not name.endswith(".mount") or os.path.islink(unit) or masked(root, name):
                continue
            with open(unit, encoding="utf-8") as f:
                text = f.read()
            where = re.search(r"^Where\s*=\s*(\S+)", text, re.MULTILINE)
            if where and not re.search(r"^Type\s*=\s*(tmpfs|ramfs)\s*$", text, re.MULTILINE):
                yield where.group(1)


def masked(root, unit):
    """Says whether a link to /dev/null hides the unit, wherever it lies."""
    path = os.path.join(root, UNITS[0], unit)
    return os.path.islink(path) and os.readlink(path) == "/dev/null"


def enabled(folder, unit):
    """Says whether a .wants folder in folder has the unit."""
    if not os.path.isdir(folder):
        return False
    return any(name.endswith((".wants", ".requires")) and os.path.lexists(os.path.join(folder, name, unit))
               for name in os.listdir(folder))
