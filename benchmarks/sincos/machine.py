# SPDX-License-Identifier: MIT
"""What a figure needs to be told about the machine: its processor, never its name."""
import os
import pathlib
import platform

WIDE_FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16")


def facts():
    processor = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        processor.setdefault(key.strip(), value.strip())
    flags = processor.get("flags", "").split()
    return {
        "cpu": processor.get("model name", platform.machine()),
        "cpu_family": processor.get("cpu family", ""),
        "cores": os.cpu_count(),
        "features": [feature for feature in WIDE_FEATURES if feature in flags],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
    }


def describe(machine):
    return (f"{machine['cpu']} (family {machine['cpu_family']}, {' '.join(machine['features'])}), "
            f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}")
