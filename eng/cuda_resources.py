#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints what each CUDA kernel in a library or object file takes, and fails where a kernel is not as it should be.

Usage: cuda_resources.py FILE... [--shipped CMAKE_FILE] [--tensor REGEX[@FROM[-TO]]]... [--wgmma REGEX]...
                         [--wide-load REGEX]... [--wide-store REGEX]... [--max-megabytes N] [--toolkit ROOT]

Exits with 1 when a kernel has a stack frame or local memory, which is where registers spill to; with --shipped, when
some kernel lacks the machine code or the PTX for an architecture that the CMake file's list `shipped_architectures`
names, or there is code for another one; when a kernel whose name matches --tensor has no tensor-core instruction (HMMA
or HGMMA) in the code of some architecture, of those from sm_FROM to sm_TO where they are given; when a kernel whose
name matches --wgmma has no HGMMA in its code for sm_90a; when one whose name matches --wide-load or --wide-store has,
in the code of some architecture, no load from or store to global memory of 128 bits; when a pattern matches no kernel;
when a file has no kernels, or is larger than N megabytes.
For example: eng/cuda_resources.py build/package/libmezzo.so --tensor matmul_sm75@75-75 --tensor matmul_sm80@80
`python3 eng/cuda_resources_test.py` plants each of these faults.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter

from cuobjdump import demangle, find_cuobjdump, lines_of


@dataclass
class Kernel:
    symbol: str
    arch: str  # as in sm_90a
    registers: int
    shared: int  # bytes, static; on sm_90 with 1024 of CUDA's own where a file uses any
    stack: int  # bytes per thread, in local memory
    local: int  # likewise
    name: str = ""
    instructions: frozenset = frozenset()

    @property
    def generation(self):
        return int(re.sub(r"\D", "", self.arch))


def read_kernels(cuobjdump, file):
    kernels = []
    arch = symbol = None
    for line in lines_of(cuobjdump, "--dump-resource-usage", file):
        if line.startswith("arch = "):
            arch = line.split()[-1]
        elif line.startswith(" Function "):
            symbol = line.strip()[len("Function "):-1]
        elif line.startswith("  REG:"):
            figures = dict(figure.split(":") for figure in line.split())
            kernels.append(Kernel(symbol, arch, *(int(figures[key]) for key in ("REG", "SHARED", "STACK", "LOCAL"))))
    return kernels


def read_ptx(cuobjdump, file):
    """The symbols of the kernels that are there as PTX, by architecture."""
    found = defaultdict(set)
    arch = None
    for line in lines_of(cuobjdump, "--dump-ptx", file):
        if target := re.match(r"\.target (\w+)", line):
            arch = target.group(1)
        elif entry := re.match(r"(?:\.\w+ )?\.entry ([\w$]+)", line):
            found[arch].add(entry.group(1))
    return found


def read_instructions(cuobjdump, file, kernels):
    """Notes which tensor-core instructions and which accesses of 128 bits these kernels of the file have."""

    # All functions of an architecture: asked for some of them, cuobjdump disassembles anew for each and is slower.
    def disassemble(arch):
        found = defaultdict(set)
        for line in lines_of(cuobjdump, "--dump-sass", "--gpu-architecture", arch, file):
            if "Function : " in line:
                here = found[line.split()[-1]]
            elif "MMA" in line:
                here.update(re.findall(r"\bHG?MMA\b", line))
            elif ".128" in line and (access := re.search(r"\b(LDG|STG)\.E\b[.\w]*\.128\b", line)):
                here.add(f"{access.group(1)}.E.128")  # what stands between says how it is cached
        return found

    archs = sorted({kernel.arch for kernel in kernels})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(archs, pool.map(disassemble, archs)))
    for kernel in kernels:
        kernel.instructions = frozenset(found[kernel.arch][kernel.symbol])


def faults_of_memory(kernels):
    for kernel in kernels:
        if kernel.stack or kernel.local:
            yield (f"{kernel.name} for {kernel.arch} takes {kernel.stack + kernel.local} bytes of local memory per "
                   "thread; nvcc -Xptxas=-v says how much of it is spilled registers")


def faults_of_code(kernels, ptx, shipped):
    """That every kernel has the code that is shipped, and that there is no other."""
    machine = defaultdict(set)
    for kernel in kernels:
        machine[kernel.arch].add(kernel.symbol)
    names = {symbol: symbol for symbols in ptx.values() for symbol in symbols}
    names |= {kernel.symbol: kernel.name for kernel in kernels}
    for kind, found, expected in ("machine code", machine, shipped[0]), ("PTX", ptx, shipped[1]):
        for arch in sorted(expected.union(found)):
            if arch not in expected:
                yield f"there is {kind} for {arch}, which is not shipped"
            elif arch not in found:
                yield f"there is no {kind} for {arch}"
            else:
                for symbol in sorted(names.keys() - found[arch]):
                    yield f"{names[symbol]} has no {kind} for {arch}"


def faults_of_instructions(kernels, required, wanted):
    for kernel in kernels:
        if not kernel.instructions & required:
            yield f"{kernel.name} for {kernel.arch} has no {' or '.join(sorted(required))}"
    if not kernels:
        yield f"no kernel matches {wanted}"


def print_table(kernels):
    width = max(len(kernel.name) for kernel in kernels)
    print(f"{'arch':<7} {'kernel':<{width}} registers   shared   local")
    for kernel in sorted(kernels, key=attrgetter("generation", "arch", "name")):
        print(f"{kernel.arch:<7} {kernel.name:<{width}} {kernel.registers:>9} {kernel.shared:>8} "
              f"{kernel.stack + kernel.local:>7}  {' '.join(sorted(kernel.instructions))}".rstrip())


def demanded_instructions(kernels, options):
    """What the options demand: (how they say it, the instructions of which a kernel needs one, the kernels)."""
    def matching(regex):
        return [kernel for kernel in kernels if re.search(regex, kernel.name)]

    for text, regex, generations in options.tensor:
        yield f"--tensor {text}", {"HMMA", "HGMMA"}, [k for k in matching(regex) if k.generation in generations]
    for regex in options.wgmma:
        yield f"--wgmma {regex} for sm_90a", {"HGMMA"}, [k for k in matching(regex) if k.arch == "sm_90a"]
    for regex in options.wide_load:
        yield f"--wide-load {regex}", {"LDG.E.128"}, matching(regex)
    for regex in options.wide_store:
        yield f"--wide-store {regex}", {"STG.E.128"}, matching(regex)


def check(cuobjdump, file, options):
    """Prints the file's table and returns its faults."""
    megabytes = pathlib.Path(file).stat().st_size / 1e6
    kernels = read_kernels(cuobjdump, file)
    if not kernels:
        return [f"{file} has no kernel in the machine code of a GPU"]
    for kernel, name in zip(kernels, demangle(kernel.symbol for kernel in kernels)):
        kernel.name = name

    demands = list(demanded_instructions(kernels, options))
    if demands:
        read_instructions(cuobjdump, file, [kernel for _, _, matches in demands for kernel in matches])

    print_table(kernels)
    print(f"{file}: {megabytes:.1f} MB, {len(kernels)} kernels, counting each architecture")

    faults = list(faults_of_memory(kernels))
    if options.shipped:
        faults += faults_of_code(kernels, read_ptx(cuobjdump, file), shipped_code(options.shipped))
    for wanted, required, matches in demands:
        faults += faults_of_instructions(matches, required, wanted)
    if megabytes > options.max_megabytes:
        faults.append(f"{file} is {megabytes:.1f} MB, more than {options.max_megabytes:g}")
    return faults


def tensor_pattern(text):
    """The text as it was given, its regular expression, and the generations in which it holds."""
    regex, oldest, newest = re.fullmatch(r"(.*?)(?:@(\d+)(?:-(\d+))?)?", text).groups()
    return text, regex, range(int(oldest or 0), int(newest or 10**6) + 1)


def shipped_code(file):
    """The architectures that a CMake file lists as shipped, (machine code, PTX), as in sm_90a."""
    listed = re.search(r"^set\(shipped_architectures ([^)]*)\)", pathlib.Path(file).read_text(), re.MULTILINE)
    if not listed:
        raise ValueError(f"{file} has no list shipped_architectures")
    words = listed.group(1).split()
    return tuple({f"sm_{word.partition('-')[0]}" for word in words if not word.endswith(other)}
                 for other in ("-virtual", "-real"))


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--shipped", metavar="CMAKE_FILE")
    parser.add_argument("--tensor", action="append", default=[], type=tensor_pattern, metavar="REGEX[@FROM[-TO]]")
    parser.add_argument("--wgmma", action="append", default=[], metavar="REGEX")
    parser.add_argument("--wide-load", action="append", default=[], metavar="REGEX")
    parser.add_argument("--wide-store", action="append", default=[], metavar="REGEX")
    parser.add_argument("--max-megabytes", type=float, default=float("inf"), metavar="N")
    parser.add_argument("--toolkit", metavar="ROOT", help="of CUDA, else the one that eng/cuda-toolkit.sh names")
    options = parser.parse_args()

    try:
        cuobjdump = find_cuobjdump(options.toolkit)
        faults = [fault for file in options.files for fault in check(cuobjdump, file, options)]
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"cuda_resources.py: {error}")
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
