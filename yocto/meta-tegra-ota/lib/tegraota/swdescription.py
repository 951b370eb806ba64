"""Describes an update for SWUpdate: a root file system, perhaps kernel and device tree, and boot firmware."""

import hashlib
import os
import re
import subprocess

# What a partition's content is called in a recipe's variables; in the order of installation. The firmware comes last.
PARTITIONS = (("TEGRA_OTA_SWU_ROOTFS", "APP"), ("TEGRA_OTA_SWU_KERNEL", "kernel"), ("TEGRA_OTA_SWU_DTB", "kernel-dtb"))


class Refused(Exception):
    """What is wrong with a recipe's variables, and what to do."""


def files(d):
    """Returns the names of the files in the deploy folder that the update consists of."""
    return [name for name in (d.getVar(v) for v in [v for v, _ in PARTITIONS] + ["TEGRA_OTA_SWU_CAPSULE"]) if name]


def text(d, deploy):
    """Returns sw-description. Hashes of the stored files are left to meta-swupdate, which knows what it packs."""
    for name in files(d):
        if (d.getVarFlag("SWUPDATE_IMAGES_ENCRYPTED", name) or "") == "1":
            raise Refused("%s is to be encrypted, which is not described here: bring your own sw-description in SRC_URI, or make the "
                          "update with swdesc" % name)
    version = word(d, "TEGRA_OTA_SWU_VERSION")
    images = []
    for variable, partition in PARTITIONS:
        name = d.getVar(variable)
        if name:
            images.append(partition_image(name, partition, os.path.join(deploy, name), version))
    if d.getVar("TEGRA_OTA_SWU_CAPSULE"):
        images.append(firmware(d.getVar("TEGRA_OTA_SWU_CAPSULE"), version))
    if not images:
        raise Refused("the update is empty: set TEGRA_OTA_SWU_ROOTFS or TEGRA_OTA_SWU_CAPSULE")
    return DESCRIPTION % {"version": version, "board": board(d), "revision": word(d, "TEGRA_OTA_REVISION"),
                          "images": ",\n".join(images)}


# Devices of other boards find nothing for themselves: SWUpdate looks for the first word of /etc/hwrevision here.
DESCRIPTION = """software =
{
	version = "%(version)s";
	%(board)s =
	{
		hardware-compatibility = [ "%(revision)s" ];
		images: (
%(images)s
		);
		scripts: (
			{
				filename = "activate";
				type = "tegra-activate";
				sha256 = "$swupdate_get_sha256(activate)";
				properties: { update = "%(version)s"; };
			}
		);
	};
}
"""


def partition_image(name, partition, path, version):
    """Describes what is written to a partition of the slot that does not run."""
    compressed = name.endswith(".zst")
    size, digest = plain(path, compressed)
    lines = ['filename = "%s";' % os.path.basename(name), 'type = "tegra-image";']
    if compressed:
        lines.append('compressed = "zstd";')
    if partition == "APP":
        # Without a copy in TMPDIR, which is memory on many devices. A wrong hash is found while it is written.
        lines.append("installed-directly = true;")
    lines += ['sha256 = "$swupdate_get_sha256(%s)";' % os.path.basename(name),
              'properties: { partition = "%s"; size = "%d"; sha256 = "%s"; update = "%s"; };' % (partition, size, digest, version)]
    return entry(lines)


def firmware(name, version):
    """Describes a UEFI capsule. SWUpdate checks it in TMPDIR before it is staged."""
    name = os.path.basename(name)
    return entry(['filename = "%s";' % name, 'type = "tegra-bup";', 'sha256 = "$swupdate_get_sha256(%s)";' % name,
                  'properties: { update = "%s"; };' % version])


def entry(lines):
    return "\t\t\t{\n" + "".join("\t\t\t\t%s\n" % line for line in lines) + "\t\t\t}"


def plain(path, compressed):
    """Returns size and SHA-256 of what a file holds, uncompressed."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as stored:
        if not compressed:
            source, program = stored, None
        else:
            program = subprocess.Popen(["zstd", "-dc"], stdin=stored, stdout=subprocess.PIPE)
            source = program.stdout
        while True:
            data = source.read(1 << 20)
            if not data:
                break
            digest.update(data)
            size += len(data)
        if program and program.wait() != 0:
            raise Refused("%s is no whole zstd file" % path)
    return size, digest.hexdigest()


def word(d, variable):
    """Returns a value that goes between quotes."""
    value = d.getVar(variable) or ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+~_:-]*", value):
        raise Refused('%s is "%s"; it must be a word of letters, digits and . + ~ _ : -' % (variable, value))
    return value


def board(d):
    """Returns the board's name, which libconfig takes as that of a setting."""
    value = d.getVar("TEGRA_OTA_BOARD") or ""
    if not re.fullmatch(r"[A-Za-z*][A-Za-z0-9_*-]*", value):
        raise Refused('TEGRA_OTA_BOARD is "%s"; it must begin with a letter and have letters, digits, - and _ only' % value)
    return value
