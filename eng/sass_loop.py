#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts, by kind, the instructions of a warp in one turn of the main loop of each kernel in a file.

Usage: sass_loop.py FILE... [--kernel REGEX] [--listing] [--toolkit ROOT]

FILE is a library or object file with machine code, or what `cuobjdump -sass` printed of one. The main loop is the
smallest one with the most instructions of tensor cores or, without any, of fused multiply-adds. Of the ways through one
turn of it that is counted which reads the most from global memory, single halves apart, and is then the shortest: where a
loop copies either words or halves the words, and of its turns one that copies. Inner loops turn once. REGEX is looked for
in a kernel's demangled name; --listing prints the instructions that were counted. For example:
eng/sass_loop.py build/package/libmezzo.so --kernel 'sm80_kernel.*Layout.0'
"""
import argparse
import pathlib
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

from cuobjdump import demangle, find_cuobjdump, lines_of

# Kinds and how their instructions begin; the first that fits. What fits none is "other".
KINDS = {
    "mma": r"HMMA|HGMMA|IMMA|DMMA",
    "ldsm": r"LDSM",
    "ldgsts": r"LDGSTS",
    "global": r"(LDG|STG|LD|ST)\b",
    "shared": r"(LDS|STS)\b",
    "float": r"FFMA|FMUL|FADD|DFMA|DMUL|DADD|HFMA2|F2F",
    "predicate": r"ISETP|PLOP3|R2P|P2R|FSETP|LOP3\.LUT P|UISETP|UPLOP3|SEL|USEL|VOTE",
    "integer": r"IMAD|IADD|LEA|LOP3|SHF|IMNMX|VIMNMX|IABS|PRMT|SGXT|BREV|VIADD|U(?:IADD|IMAD|LEA|LOP3|SHF|PRMT)",
    "move": r"MOV|UMOV|R2UR|LDC|ULDC|S2R|S2UR|CS2R|UMEMSETS",
    "control": r"BRA|BAR|BSSY|BSYNC|WARPSYNC|DEPBAR|LDGDEPBAR|EXIT|NOP|CALL|RET|BREAK",
}


@dataclass
class Instruction:
    address: int
    predicate: str
    text: str

    @property
    def kind(self):
        for kind, pattern in KINDS.items():
            if re.match(pattern, self.text):
                return kind
        return "other"

    @property
    def copies(self):
        """Whether it reads from global memory, and more than a half."""
        return re.match(r"LDGSTS|LDG\b(?!\S*\.U16)", self.text) is not None

    @property
    def target(self):
        """Where a branch leads, else None."""
        found = re.match(r"BRA(?:\.\S+)? .*?(0x[0-9a-f]+)", self.text)
        return int(found[1], 16) if found else None


@dataclass
class Kernel:
    arch: str
    symbol: str
    name: str = ""
    code: list = field(default_factory=list)


def read_kernels(lines):
    kernels = []
    arch = ""
    for line in lines:
        if found := re.search(r"code for (sm_\w+)", line):
            arch = found[1]
        elif found := re.search(r"Function : (\S+)", line):
            kernels.append(Kernel(arch, found[1]))
        elif found := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(?:\{\s*)?(@!?U?P\w+\s+)?([A-Z].*?)\s*;", line):
            kernels[-1].code.append(Instruction(int(found[1], 16), (found[2] or "").strip(), found[3]))
    for kernel, name in zip(kernels, demangle(kernel.symbol for kernel in kernels)):
        kernel.name = re.sub(r"^void |mezzo::|\((?:unsigned int|int)\)|(?<=\d)u\b", "", name)
    return kernels


def main_loop(code):
    """The first and the last instruction of the main loop, by index, or None."""
    index = {instruction.address: i for i, instruction in enumerate(code)}
    best = None
    for last, instruction in enumerate(code):
        first = index.get(instruction.target)
        if first is None or first >= last:
            continue
        kinds = Counter(each.kind for each in code[first:last + 1])
        rank = (kinds["mma"], kinds["float"], first - last)
        if best is None or rank > best[0]:
            best = rank, first, last
    return best and best[1:]


def turn_of(code, first, last):
    """The instructions of a turn: of the ways from first to last, forwards, the one that the usage tells of."""
    index = {instruction.address: i for i, instruction in enumerate(code)}
    best = {first: (0, 0, None)}  # by instruction: copies and instructions before it, negative, and the one before
    for i in range(first, last):
        if i not in best:
            continue
        here = code[i]
        copies, length, _ = best[i]
        step = copies + here.copies, length - 1, i
        to = index.get(here.target)
        ends = here.target is not None or here.text.startswith("EXIT")
        following = [] if ends and not here.predicate else [i + 1]
        if to is not None and i < to <= last:
            following.append(to)
        for each in following:
            if each not in best or step[:2] > best[each][:2]:
                best[each] = step
    turn = []
    at = last if last in best else None
    while at is not None:
        turn.append(code[at])
        at = best[at][2]
    return turn[::-1]


def disassembly_of(file, toolkit):
    if pathlib.Path(file).suffix == ".sass":
        return pathlib.Path(file).read_text().splitlines()
    return lines_of(find_cuobjdump(toolkit), "-sass", file)


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--kernel", default="", metavar="REGEX")
    parser.add_argument("--listing", action="store_true")
    parser.add_argument("--toolkit", metavar="ROOT", help="of CUDA, else the one that eng/cuda-toolkit.sh names")
    options = parser.parse_args()

    columns = ["all", *KINDS, "other"]
    widths = [max(5, len(column)) for column in columns]
    print(*(f"{column:>{width}}" for column, width in zip(columns, widths)), " arch   kernel")
    try:
        for file in options.files:
            for kernel in read_kernels(disassembly_of(file, options.toolkit)):
                loop = main_loop(kernel.code) if re.search(options.kernel, kernel.name) else None
                if loop is None:
                    continue
                turn = turn_of(kernel.code, *loop)
                counts = Counter(instruction.kind for instruction in turn)
                counts["all"] = len(turn)
                print(*(f"{counts[column]:>{width}}" for column, width in zip(columns, widths)),
                      f" {kernel.arch:<6} {kernel.name}")
                if options.listing:
                    print(*(f"    {each.address:05x} {each.predicate:>5} {each.text}" for each in turn), sep="\n")
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"sass_loop.py: {error}")


if __name__ == "__main__":
    main()
