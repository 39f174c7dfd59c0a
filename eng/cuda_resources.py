#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints what each CUDA kernel in a library or object file takes, and fails where a kernel is not as it should be.

Usage: cuda_resources.py FILE... [--tensor REGEX[@FROM[-TO]]]... [--wgmma REGEX]... [--max-megabytes N]
                         [--toolkit ROOT]

Exits with 1 when a kernel has a stack frame or local memory, which is where registers spill to; when a kernel whose
name matches --tensor has no tensor-core instruction (HMMA or HGMMA) in the code of some architecture, of those from
sm_FROM to sm_TO where they are given; when a kernel whose name matches --wgmma has no HGMMA in its code for sm_90a;
when a pattern matches no kernel; when a file has no kernels, or is larger than N megabytes.
For example: eng/cuda_resources.py build/package/libmezzo.so --tensor matmul_sm75@75-75 --tensor matmul_sm80@80
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


def lines_of(*command):
    """The lines that a program prints, one after the other: a library's disassembly does not fit in memory."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        yield from process.stdout
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)


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


def name_kernels(kernels):
    symbols = "\n".join(kernel.symbol for kernel in kernels)
    answer = subprocess.run(["c++filt", "--no-params"], input=symbols, stdout=subprocess.PIPE, text=True, check=True)
    for kernel, name in zip(kernels, answer.stdout.split("\n")):
        kernel.name = name.replace("(anonymous namespace)::", "")


def read_instructions(cuobjdump, file, kernels):
    """Notes which tensor-core instructions these kernels of the file have."""

    # All functions of an architecture: asked for some of them, cuobjdump disassembles anew for each and is slower.
    def disassemble(arch):
        found = defaultdict(set)
        for line in lines_of(cuobjdump, "--dump-sass", "--gpu-architecture", arch, file):
            if "Function : " in line:
                here = found[line.split()[-1]]
            elif "MMA" in line:
                here.update(re.findall(r"\bHG?MMA\b", line))
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


def check(cuobjdump, file, options):
    """Prints the file's table and returns its faults."""
    megabytes = pathlib.Path(file).stat().st_size / 1e6
    kernels = read_kernels(cuobjdump, file)
    if not kernels:
        return [f"{file} has no kernel in the machine code of a GPU"]
    name_kernels(kernels)

    tensor = [(text, [k for k in kernels if re.search(regex, k.name) and k.generation in generations])
              for text, regex, generations in options.tensor]
    wgmma = [(regex, [k for k in kernels if re.search(regex, k.name) and k.arch == "sm_90a"])
             for regex in options.wgmma]
    disassembled = [kernel for _, matches in tensor + wgmma for kernel in matches]
    if disassembled:
        read_instructions(cuobjdump, file, disassembled)

    print_table(kernels)
    print(f"{file}: {megabytes:.1f} MB, {len(kernels)} kernels, counting each architecture")

    faults = list(faults_of_memory(kernels))
    for text, matches in tensor:
        faults += faults_of_instructions(matches, {"HMMA", "HGMMA"}, f"--tensor {text}")
    for regex, matches in wgmma:
        faults += faults_of_instructions(matches, {"HGMMA"}, f"--wgmma {regex} for sm_90a")
    if megabytes > options.max_megabytes:
        faults.append(f"{file} is {megabytes:.1f} MB, more than {options.max_megabytes:g}")
    return faults


def tensor_pattern(text):
    """The text as it was given, its regular expression, and the generations in which it holds."""
    regex, oldest, newest = re.fullmatch(r"(.*?)(?:@(\d+)(?:-(\d+))?)?", text).groups()
    return text, regex, range(int(oldest or 0), int(newest or 10**6) + 1)


def find_toolkit():
    script = pathlib.Path(__file__).parent / "cuda-toolkit.sh"
    return subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--tensor", action="append", default=[], type=tensor_pattern, metavar="REGEX[@FROM[-TO]]")
    parser.add_argument("--wgmma", action="append", default=[], metavar="REGEX")
    parser.add_argument("--max-megabytes", type=float, default=float("inf"), metavar="N")
    parser.add_argument("--toolkit", metavar="ROOT", help="of CUDA, else the one that eng/cuda-toolkit.sh names")
    options = parser.parse_args()

    try:
        cuobjdump = f"{options.toolkit or find_toolkit()}/bin/cuobjdump"
        faults = [fault for file in options.files for fault in check(cuobjdump, file, options)]
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"cuda_resources.py: {error}")
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
