# SPDX-License-Identifier: MIT
"""By how many bytes a process grows at most: Linux's own count, to check those of allocators against."""
import pathlib


def growth(function):
    """Most resident bytes while a function runs, above those before it."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident
    before = _status("VmRSS")
    function()
    return _status("VmHWM") - before


def _status(name):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
