# SPDX-License-Identifier: MIT
"""Reading compiled CUDA code with the toolkit's cuobjdump."""
import pathlib
import subprocess


def find_cuobjdump(toolkit):
    """The program of a toolkit, of the one that eng/cuda-toolkit.sh names where none is given."""
    if not toolkit:
        script = pathlib.Path(__file__).parent / "cuda-toolkit.sh"
        toolkit = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
    return f"{toolkit}/bin/cuobjdump"


def lines_of(*command):
    """The lines that a program prints, one after the other: a library's disassembly does not fit in memory."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        yield from process.stdout
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)


def demangle(symbols):
    """The names of functions, without their parameters."""
    answer = subprocess.run(["c++filt", "--no-params"], input="\n".join(symbols), stdout=subprocess.PIPE, text=True,
                            check=True)
    return [name.replace("(anonymous namespace)::", "") for name in answer.stdout.split("\n")]
