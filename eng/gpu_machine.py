# SPDX-License-Identifier: MIT
"""What `./build.sh gpu` finds on the machine: its tools, its facts, the bundle, and which sources it builds."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks" / "sincos"))
import machine  # noqa: E402


class Missing(Exception):
    """What a part needs and the machine lacks; said in one sentence."""


class Bundle:
    """The programs that need no .NET, and what the machine lacks of the sources. Unpacked where it is an archive."""

    def __init__(self, work):
        self.missing = None
        self.folder = ROOT / "bundle"
        archive = ROOT / "artifacts" / "gpu-bundle" / "mezzo-gpu.tar.xz"
        if not self.folder.is_dir():
            if archive.is_file():
                self.folder = work / "bundle"
                self.unpack(archive)
            else:
                self.missing = "there is no bundle: ./build.sh gpu-bundle makes artifacts/gpu-bundle/mezzo-gpu.tar.xz"
        manifest = self.folder / "manifest.json"
        self.manifest = json.loads(manifest.read_text()) if manifest.is_file() else {}
        self.tests = self.folder / "tests" / "Mezzo.Tests.Standalone"
        self.mezzo = self.folder / "mezzo" / "mezzo"
        self.googletest = self.folder / "googletest"

    def unpack(self, archive):
        """Where it cannot be unpacked, what needs it will say so."""
        stamp = self.folder.parent / "bundle.sha256"
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if stamp.is_file() and stamp.read_text() == digest and self.folder.is_dir():
            return
        unpacked = self.folder.parent / "unpacked"
        # Python may have been built without xz, and tar may lack the program.
        for command in ([sys.executable, "-m", "tarfile", "-e", archive, unpacked], ["tar", "-xf", archive, "-C", unpacked]):
            for folder in (self.folder, unpacked):
                shutil.rmtree(folder, ignore_errors=True)
            unpacked.mkdir(parents=True)
            try:
                subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
                (unpacked / "mezzo-gpu" / "bundle").rename(self.folder)
                stamp.write_text(digest)
                self.missing = None
                return
            except (OSError, subprocess.CalledProcessError) as error:
                told = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
                self.missing = f"{archive.relative_to(ROOT)} cannot be unpacked: {' '.join(told)}"
            finally:
                shutil.rmtree(unpacked, ignore_errors=True)

    def changed_sources(self):
        """Number of native sources here that are not those that the bundle was made from."""
        listed = self.folder / "sources.sha256"
        if not listed.is_file():
            return 0
        changed = 0
        for line in listed.read_text().splitlines():
            digest, name = line.split(maxsplit=1)
            file = ROOT / name
            changed += not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest
        return changed

    def require(self, program):
        if not program.is_file():
            raise Missing(self.missing or f"the bundle has no {program.relative_to(self.folder)}")
        return program


def output_of(*command):
    """What a command prints; "" when it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


def first_match(pattern, text):
    found = re.search(pattern, text)
    return found.group(1) if found else None


def toolkits():
    """Where a CUDA toolkit may be, as native/cmake/Cuda.cmake looks for it."""
    nvcc = shutil.which("nvcc")
    roots = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), nvcc and pathlib.Path(nvcc).resolve().parents[1],
             "/usr/local/cuda"]
    return list(dict.fromkeys(pathlib.Path(root) for root in roots if root))


def extend_path():
    """The tools of the toolkit and of the driver are found, though they may not be on PATH."""
    folders = [root / name for root in toolkits() for name in ("bin", "compute-sanitizer")]
    folders.append(pathlib.Path("/usr/local/nvidia/bin"))
    os.environ["PATH"] = ":".join([os.environ["PATH"], *(str(folder) for folder in folders if folder.is_dir())])


def cublaslt_files(python):
    """Where cuBLASLt may be: the toolkit's, then PyTorch's own."""
    folders = [root / lib for root in toolkits() for lib in ("lib64", "targets/x86_64-linux/lib")]
    for site in json.loads(output_of(python, "-c", "import json, sys; print(json.dumps(sys.path))") or "[]"):
        folders += sorted(pathlib.Path(site, "nvidia").glob("*/lib")) + [pathlib.Path(site, "torch", "lib")]
    files = [file for folder in folders for file in sorted(folder.glob("libcublasLt.so.*[0-9]"))]
    return list(dict.fromkeys(str(file.resolve()) for file in files))


def python_with_torch():
    """This Python, or the first on PATH that has PyTorch; this one where none has."""
    on_path = [os.path.join(folder, "python3") for folder in os.environ["PATH"].split(":")]
    for python in dict.fromkeys([sys.executable, *filter(os.path.isfile, on_path), "/usr/bin/python3"]):
        if output_of(python, "-c", "import importlib.util as u; print(u.find_spec('torch') is not None)") == "True":
            return python
    return sys.executable


def facts(simulate):
    """The machine: its processor, GPU and tools, never its name."""
    data = {"cpu": machine.facts(), "simulated": simulate}
    fields = ("name", "driver_version", "memory.total", "compute_cap", "clocks.max.sm", "power.limit")
    if simulate:
        data["gpu"] = {"name": "simulated"}
    else:
        answer = output_of("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader").splitlines()
        if not answer:
            sys.exit("build.sh gpu: no NVIDIA GPU here, nvidia-smi names none; --simulate tries this program without one")
        data["gpu"] = dict(zip(fields, (value.strip() for value in answer[0].split(","))))
    data["toolkit"] = first_match(r"V([0-9.]+)", output_of("nvcc", "--version"))
    data["compiler"] = (output_of("c++", "--version").splitlines() or [None])[0]
    data["compute-sanitizer"] = first_match(r"Version ([0-9.]+)", output_of("compute-sanitizer", "--version"))
    return data


def source(bundle):
    """What was built: the commit, and whether it is what the bundle was made from."""
    commit, changed = bundle.manifest.get("commit"), bundle.manifest.get("changed")
    # A copy without .git may lie within another repository.
    top = output_of("git", "-C", str(ROOT), "rev-parse", "--show-toplevel")
    if top and pathlib.Path(top).resolve() == ROOT:
        commit = output_of("git", "-C", str(ROOT), "rev-parse", "HEAD") or commit
        changed = bool(output_of("git", "-C", str(ROOT), "status", "--porcelain", "--", ".", ":!benchmarks/results"))
    data = {"commit": commit, "changed": changed, "bundle_commit": bundle.manifest.get("commit")}
    different = bundle.changed_sources()
    if different:
        data["differs"] = f"{different} native sources are not those of the bundle, which holds the managed programs"
    return data
