# SPDX-License-Identifier: MIT
"""Tests that eng/cuda_resources.py finds each fault that is planted in a library, with a stand-in for cuobjdump that
prints what the real one (CUDA 12.4) would print of it. Takes two seconds, needs no CUDA.

    python3 eng/cuda_resources_test.py
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[1]
REAL, VIRTUAL = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90"), ("sm_80",)
CUOBJDUMP = """#!/bin/sh
here=$(dirname "$0")
case "$1" in
    --dump-resource-usage) cat "$here/usage" ;;
    --dump-ptx) cat "$here/ptx" ;;
    --dump-sass) cat "$here/$3" ;;
    *) exit 1 ;;
esac
"""


@dataclass
class Kernel:
    """A kernel of a made-up library; what is planted stands in its place."""
    name: str
    instructions: tuple = ()
    stack: int = 0
    local: int = 0
    real: tuple = REAL
    virtual: tuple = VIRTUAL

    def symbol(self):
        return f"_ZN5mezzo{len(self.name)}{self.name}Ev"


@dataclass
class Library:
    kernels: list = field(default_factory=lambda: [
        Kernel("compiled_arch_kernel"),
        Kernel("adam_step_kernel", ("LDG.E.NA.128", "STG.E.EF.128")),
        Kernel("fill_kernel", ("STG.E.128",)),
        Kernel("matmul_sm80_kernel", ("HMMA.16816.F32",)),
    ])

    def planted(self, name, **found):
        """With other figures of one kernel."""
        vars(next(kernel for kernel in self.kernels if kernel.name == name)).update(found)
        return self

    def write(self, folder):
        """The stand-in for the library's dumps, and a file that is the library."""
        folder.mkdir(parents=True)
        archs = sorted({arch for kernel in self.kernels for arch in kernel.real})
        (folder / "cuobjdump").write_text(CUOBJDUMP)
        (folder / "cuobjdump").chmod(0o755)
        (folder / "usage").write_text("".join(map(self.usage, archs)))
        (folder / "ptx").write_text("".join(map(self.ptx, sorted({a for kernel in self.kernels for a in kernel.virtual}))))
        for arch in archs:
            (folder / arch).write_text(self.sass(arch))
        (folder / "libmezzo.so").write_bytes(bytes(2_000_000))
        return folder / "libmezzo.so"

    def usage(self, arch):
        lines = ["", "Fatbin elf code:", "================", f"arch = {arch}", "code version = [1,7]", "", "Resource usage:", " Common:",
                 "  GLOBAL:4"]
        for kernel in self.kernels:
            if arch in kernel.real:
                lines += [f" Function {kernel.symbol()}:", f"  REG:40 STACK:{kernel.stack} SHARED:0 LOCAL:{kernel.local} "
                          "CONSTANT[0]:368 TEXTURE:0 SURFACE:0 SAMPLER:0"]
        return "\n".join(lines) + "\n"

    def ptx(self, arch):
        lines = ["", "Fatbin ptx code:", "================", f"arch = {arch}", "", ".version 8.4", f".target {arch}", ".address_size 64"]
        for number, kernel in enumerate(self.kernels):
            if arch in kernel.virtual:
                lines += [f"{('', '.visible ', '.weak ')[number % 3]}.entry {kernel.symbol()}(", ")", "{", "ret;", "}"]
        return "\n".join(lines) + "\n"

    def sass(self, arch):
        lines = ["", f"\tcode for {arch}"]
        for kernel in self.kernels:
            if arch in kernel.real:
                lines.append(f"\t\tFunction : {kernel.symbol()}")
                lines += [f"        /*0010*/                   {instruction} R4, [R2.64] ;  /* 0x0 */"
                          for instruction in (*kernel.instructions, "LDG.E", "STG.E.64", "LDS.128", "LDL.128", "EXIT")]
        return "\n".join(lines) + "\n"


class CudaResources(unittest.TestCase):
    OPTIONS = ("--tensor=matmul_sm80@80", "--wide-load=adam_step", "--wide-store=adam_step", "--wide-store=fill", "--max-megabytes=3")

    def faults(self, library, *options, shipped=ROOT / "native" / "cmake" / "Cuda.cmake"):
        """What is said of a library, and that the exit status agrees."""
        with tempfile.TemporaryDirectory() as folder:
            file = library.write(pathlib.Path(folder) / "bin")
            done = subprocess.run([sys.executable, ROOT / "eng" / "cuda_resources.py", file, "--toolkit", folder, "--shipped", shipped,
                                   *(options or self.OPTIONS)], capture_output=True, text=True, check=False)
        self.assertEqual(done.stderr, "")
        said = [line.removeprefix("FAULT: ") for line in done.stdout.splitlines() if line.startswith("FAULT: ")]
        self.assertEqual(done.returncode, 1 if said else 0, done.stdout)
        return said

    def test_what_is_shipped_is_what_this_test_makes(self):
        self.assertEqual(self.faults(Library()), [])

    def test_spilled_registers(self):
        said = self.faults(Library().planted("fill_kernel", stack=88))
        self.assertEqual(len(said), len(REAL))
        self.assertIn("mezzo::fill_kernel for sm_75 takes 88 bytes of local memory per thread", said[0])

    def test_local_memory(self):
        self.assertIn("takes 16 bytes of local memory", self.faults(Library().planted("adam_step_kernel", local=16))[-1])

    def test_a_missing_architecture(self):
        library = Library()
        for kernel in library.kernels:
            kernel.real = tuple(arch for arch in REAL if arch != "sm_86")
        self.assertEqual(self.faults(library), ["there is no machine code for sm_86"])

    def test_an_architecture_that_one_kernel_lacks(self):
        self.assertEqual(self.faults(Library().planted("fill_kernel", real=REAL[1:])), ["mezzo::fill_kernel has no machine code for sm_75"])

    def test_machine_code_that_nobody_ships(self):
        self.assertEqual(self.faults(Library().planted("fill_kernel", real=(*REAL, "sm_90a"))),
                         ["there is machine code for sm_90a, which is not shipped"])

    def test_missing_ptx(self):
        library = Library()
        for kernel in library.kernels:
            kernel.virtual = ()
        self.assertEqual(self.faults(library), ["there is no PTX for sm_80"])

    def test_ptx_that_one_kernel_lacks(self):
        self.assertEqual(self.faults(Library().planted("fill_kernel", virtual=())), ["mezzo::fill_kernel has no PTX for sm_80"])

    def test_ptx_that_nobody_ships(self):
        self.assertEqual(self.faults(Library().planted("fill_kernel", virtual=("sm_75", "sm_80"))),
                         ["there is PTX for sm_75, which is not shipped"])

    def test_a_matrix_kernel_without_tensor_cores(self):
        said = self.faults(Library().planted("matmul_sm80_kernel", instructions=("FFMA",)))
        self.assertEqual(said, [f"mezzo::matmul_sm80_kernel for {arch} has no HGMMA or HMMA" for arch in REAL[1:]])

    def test_accesses_narrower_than_128_bits(self):
        for instructions, missing in ((("LDG.E.64", "STG.E.128"), ["LDG"]), (("LDG.E.128.SYS", "STG.E.EF.64"), ["STG"]),
                                      (("LD.E.128", "ST.E.128"), ["LDG", "STG"]), (("LDG.E.128.CONSTANT", "STG.E.128.SYS"), [])):
            said = self.faults(Library().planted("adam_step_kernel", instructions=instructions))
            self.assertEqual(said, [f"mezzo::adam_step_kernel for {arch} has no {access}.E.128" for access in missing for arch in REAL])

    def test_names_that_no_kernel_has(self):
        said = self.faults(Library(), "--wide-load=relu", "--tensor=matmul_sm80@91", "--wgmma=sm90")
        self.assertEqual(said, ["no kernel matches --tensor matmul_sm80@91", "no kernel matches --wgmma sm90 for sm_90a",
                                "no kernel matches --wide-load relu"])

    def test_size_and_emptiness(self):
        self.assertIn("is 2.0 MB, more than 1", self.faults(Library(), "--max-megabytes=1")[0])
        self.assertIn("has no kernel", self.faults(Library([]))[0])

    def test_a_list_that_cannot_be_read_is_an_error(self):
        with self.assertRaisesRegex(AssertionError, "has no list shipped_architectures"):
            self.faults(Library(), shipped=ROOT / "CMakeLists.txt")


if __name__ == "__main__":
    unittest.main()
