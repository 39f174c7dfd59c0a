# SPDX-License-Identifier: MIT
"""Builds, tests and measures Mezzo on a machine with an NVIDIA GPU, which needs neither .NET nor a network.

    ./build.sh gpu [--simulate] [--minutes N] [PART...]

Parts, all of them in this order by default, each with a limit of time so that together they end within N minutes, 10 if
not said:
    build           native library, native tests and benchmarks, for the GPU that is present
    native          native tests on the GPU, then on the CPU
    managed         managed tests on the GPU, then on the CPU
    sanitizer       native tests under compute-sanitizer's memcheck and racecheck, as many as there is time for
    bench-kernels   kernels against cuBLASLt and a plain copy
    bench-training  the sin/cos study against PyTorch eager, compiled, and in CUDA graphs

What needs .NET comes from the bundle that `./build.sh gpu-bundle` makes elsewhere: artifacts/gpu-bundle/ of a checkout,
or the unpacked bundle itself. Results go to benchmarks/results/gpu-NAME-DATE.json and .md, and where OUT is set they and
the logs are copied there too. With --simulate a simulated device stands in for the GPU: it proves this program, its
figures mean nothing, and they go to artifacts/gpu-simulated/.
"""
import argparse
import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import gpu_report
import tally

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks" / "sincos"))
import machine  # noqa: E402

# Seconds of each part when all of them get 10 minutes. One may take longer where those after it leave it time.
LIMITS = {"build": 240, "native": 75, "managed": 60, "sanitizer": 60, "bench-kernels": 60, "bench-training": 90}
PARTS = tuple(LIMITS)

# These read the source tree that they were built from, or call clang: nothing of them runs on a GPU.
TESTS_OF_SOURCES = r"^Mezzo\.Tests\.(Conventions\.|Bindings\.(GeneratedBindings|GeneratorRefusal|Layout)Tests)"
ON_CPU_ONLY = "-*OnCpu.*"


class Stopped(Exception):
    """A command that its limit of time has ended."""


class Missing(Exception):
    """What a part needs and the machine lacks; said in one sentence."""


class Commands:
    """Runs the commands of one part, into its log, until its time is up."""

    def __init__(self, log, seconds):
        self.log, self.end = log, time.monotonic() + seconds
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")

    def left(self):
        return self.end - time.monotonic()

    def run(self, command, environment=None, limit=None):
        """The exit status. The whole process group goes when the time is up."""
        seconds = max(0.1, min(self.left(), limit or self.left()))
        with self.log.open("a") as log:
            settings = "".join(f"{name}={shlex.quote(value)} " for name, value in (environment or {}).items())
            print(f"$ {settings}{shlex.join(map(str, command))}", file=log, flush=True)
            process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, env=os.environ | (environment or {}), start_new_session=True)
            try:
                return process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                print(f"\nstopped after {seconds:.0f} s", file=log)
                raise Stopped(f"{pathlib.Path(str(command[0])).name} was stopped after {seconds:.0f} s") from None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def tail(self, lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def last(self):
        """What the last command has printed."""
        return self.log.read_text(errors="replace").rpartition("\n$ ")[2].partition("\n")[2]

    def expect(self, command, environment=None, limit=None):
        status = self.run(command, environment, limit)
        if status != 0:
            raise RuntimeError(f"{pathlib.Path(str(command[0])).name} exited with {status}: {self.error()}\n{self.tail()}")

    def error(self):
        """The first line of the last command's output that speaks of an error, else its last line."""
        lines = self.last().splitlines()
        return next((line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)), (lines or [""])[-1]).strip()


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


def ending(status):
    """How a program ended, in words."""
    if status >= 0:
        return f"exited with {status}"
    return f"was killed by {signal.Signals(-status).name}"


def findings(text):
    """What compute-sanitizer has found, its first lines."""
    return [line.removeprefix("=========").strip() for line in text.splitlines()
            if re.match(r"========= (Invalid|Error|Program hit|Race|Misaligned|ERROR|WARN)", line)][:5]


class Bundle:
    """The programs that need no .NET, and what the machine lacks of the sources. Unpacked where it is an archive."""

    def __init__(self, work):
        self.missing = None
        self.folder = ROOT / "bundle"
        if not self.folder.is_dir():
            archive = ROOT / "artifacts" / "gpu-bundle" / "mezzo-gpu.tar.xz"
            if archive.is_file():
                self.folder = self.unpack(archive, work / "bundle")
            else:
                self.missing = "there is no bundle: ./build.sh gpu-bundle makes artifacts/gpu-bundle/mezzo-gpu.tar.xz"
        manifest = self.folder / "manifest.json"
        self.manifest = json.loads(manifest.read_text()) if manifest.is_file() else {}
        self.tests = self.folder / "tests" / "Mezzo.Tests.Standalone"
        self.mezzo = self.folder / "mezzo" / "mezzo"
        self.googletest = self.folder / "googletest"

    @staticmethod
    def unpack(archive, folder):
        stamp = folder.parent / "bundle.sha256"
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if not (stamp.is_file() and stamp.read_text() == digest and folder.is_dir()):
            shutil.rmtree(folder, ignore_errors=True)
            unpacked = folder.parent / "unpacked"
            shutil.rmtree(unpacked, ignore_errors=True)
            unpacked.mkdir(parents=True)
            subprocess.run([sys.executable, "-m", "tarfile", "-e", str(archive), str(unpacked)], check=True)
            (unpacked / "mezzo-gpu" / "bundle").rename(folder)
            shutil.rmtree(unpacked)
            stamp.write_text(digest)
        return folder

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
        if self.missing:
            raise Missing(self.missing)
        if not program.is_file():
            raise Missing(f"the bundle has no {program.relative_to(self.folder)}")
        return program


class Job:
    """What all parts share: the machine, the folders, the device."""

    def __init__(self, simulate):
        self.simulate = simulate
        name = "gpu-simulated" if simulate else "gpu"
        self.work = ROOT / "artifacts" / name
        self.build = ROOT / "build" / name
        self.library = self.build / "libmezzo.so"
        self.bundle = Bundle(self.work)
        self.device = "cuda:0"

    def require_built(self, name):
        if not (self.build / name).is_file():
            raise Missing(f"{name} is not built: run the part build first")
        return self.build / name

    # -- parts: each returns what it has found, beside its status --

    def part_build(self, commands):
        prefix = self.work / "googletest"
        if self.bundle.googletest.is_dir() and not any(prefix.glob("lib*/cmake/GTest/GTestConfig.cmake")):
            folder = self.work / "googletest-build"
            commands.expect(["cmake", "-S", self.bundle.googletest, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                             "-DBUILD_GMOCK=OFF", f"-DCMAKE_INSTALL_PREFIX={prefix}"])
            commands.expect(["cmake", "--build", folder, "--target", "install"])
        start = time.monotonic()
        device = ["-DMEZZO_CUDA=SIM"] if self.simulate else ["-DMEZZO_CUDA=ON", "-DMEZZO_CUDA_ARCHITECTURES=native"]
        found = [f"-DCMAKE_PREFIX_PATH={prefix}"] if prefix.is_dir() else []
        # A machine's compiler may be one that nobody has tried yet, with warnings of its own.
        commands.expect(["cmake", "-S", ROOT, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                         "-DMEZZO_ONEDNN=OFF", "-DMEZZO_WERROR=OFF", *device, *found])
        jobs = [f"-j{os.environ['MEZZO_JOBS']}"] if "MEZZO_JOBS" in os.environ else []
        commands.expect(["ninja", "-C", self.build, *jobs, "mezzo", "mezzo_native_tests", "cuda_kernels_bench"])
        return {"compile_seconds": round(time.monotonic() - start, 1),
                "library_bytes": self.library.resolve().stat().st_size}

    def part_native(self, commands):
        tests = self.require_built("mezzo_native_tests")
        # In slices on the GPU, so that a crash takes no more than one with it.
        slices = 8
        suites = [(self.device, [tests, f"--gtest_filter={ON_CPU_ONLY}"],
                   {"MEZZO_TEST_DEVICE": self.device, "MEZZO_POISON_MEMORY": "1",
                    "GTEST_TOTAL_SHARDS": str(slices), "GTEST_SHARD_INDEX": str(index)}) for index in range(slices)]
        suites.append(("cpu", [tests], {}))
        return self.run_suites(commands, suites, lambda file: [f"--gtest_output=xml:{file}"])

    def part_managed(self, commands):
        library = {"MEZZO_LIBRARY": str(self.require_built("libmezzo.so"))}
        tests = [self.bundle.require(self.bundle.tests), "--except", TESTS_OF_SOURCES]
        return self.run_suites(commands, [(self.device, [*tests, "--without", "CpuOnly"], library | {"MEZZO_TEST_DEVICE": self.device}),
                                          ("cpu", tests, library)], lambda file: ["--results", file])

    def run_suites(self, commands, suites, results_option):
        """Runs every suite, whatever the others gave, and counts by device."""
        counts, failures = {}, []
        for device, command, environment in suites:
            file = self.work / "results.xml"
            file.unlink(missing_ok=True)
            count, failed = Counter(), []
            try:
                status = commands.run([*command, *results_option(file)], environment)
                if file.is_file():
                    count, failed = tally.count(tally.results_of(file, status))
                else:
                    failed = [f"{command[0].name} {ending(status)} after: {commands.tail(1)}"]
            except Stopped as stopped:
                failed = [f"{stopped} after: {commands.tail(3).splitlines()[0]}"]
            counts[device] = counts.get(device, Counter()) + count
            if failed and not count["failed"]:
                counts[device]["failed"] += 1
            failures += [f"{device}: {test}" for test in failed]
        return {"suites": counts, "failures": failures}

    def part_sanitizer(self, commands):
        """Each tool takes one slice of the tests after another, so that those run are spread over all of them."""
        tests = self.require_built("mezzo_native_tests")
        if not self.simulate and not shutil.which("compute-sanitizer"):
            raise Missing("there is no compute-sanitizer on PATH")
        slices = 4 if self.simulate else 24
        data, failures = {"tools": {}}, []
        for tool, share in (("memcheck", 0.5), ("racecheck", 1.0)):
            end = time.monotonic() + share * commands.left()
            prefix = [] if self.simulate else ["compute-sanitizer", "--tool", tool, "--error-exitcode", "86"]
            done = ran = 0
            for index in range(slices):
                file = self.work / "results.xml"
                file.unlink(missing_ok=True)
                try:
                    status = commands.run([*prefix, tests, f"--gtest_filter={ON_CPU_ONLY}", f"--gtest_output=xml:{file}"],
                                          {"MEZZO_TEST_DEVICE": self.device, "GTEST_TOTAL_SHARDS": str(slices),
                                           "GTEST_SHARD_INDEX": str(index)}, end - time.monotonic())
                except Stopped:
                    break
                count, failed = tally.count(tally.results_of(file, status))
                done, ran = done + 1, ran + count["passed"] + count["failed"]
                if failed:
                    failures += [f"{tool}: {test}" for test in [*failed, *findings(commands.last())]]
                if end - time.monotonic() < 2:
                    break
            data["tools"][tool] = {"tests": ran, "slices": f"{done} of {slices}"}
            if done == 0:
                failures.append(f"{tool}: not even the first of {slices} slices of the tests ended in time")
        if failures:
            data["failures"] = failures
        return data

    def part_bench_kernels(self, commands):
        program = self.require_built("cuda_kernels_bench")
        file = self.work / "kernels.json"
        file.unlink(missing_ok=True)
        environment = {"MEZZO_CUBLASLT": ":".join(cublaslt_files())}
        status, stopped = 0, None
        try:
            status = commands.run([program, "--json", file, *(["--tiny"] if self.simulate else [])], environment)
        except Stopped as error:
            stopped = str(error)
        if not file.is_file():
            raise RuntimeError(f"{stopped or f'{program.name} exited with {status}'}:\n{commands.tail()}")
        data = {"kernels": json.loads(file.read_text())}
        failures = [f"{case['group']} {case['name']}: {case['error']}" for case in data["kernels"]["cases"] if "error" in case]
        if stopped:
            failures.append(stopped)
        elif status != 0 and not failures:
            failures.append(f"{program.name} exited with {status}")
        if failures:
            data["failures"] = failures
        return data

    def part_bench_training(self, commands):
        mezzo = self.bundle.require(self.bundle.mezzo)
        environment = {"MEZZO_LIBRARY": str(self.require_built("libmezzo.so")), "PYTHONUNBUFFERED": "1"}
        file = self.work / "training.json"
        file.unlink(missing_ok=True)
        limit = commands.left() - 5
        sizes = ["--epochs", "3", "--samples", "64", "--hidden", "16", "--rounds", "1", "--warm-up", "2"] if self.simulate else []
        peer = ["--torch-device", "cpu"] if self.simulate else []
        status = commands.run([sys.executable, ROOT / "benchmarks/cuda/train_bench.py", "--mezzo", shlex.quote(str(mezzo)),
                               "--mezzo-device", self.device, "--python", python_with_torch(), "--limit", f"{limit:.0f}",
                               "--json", file, *sizes, *peer], environment)
        if not file.is_file():
            raise RuntimeError(f"train_bench.py exited with {status}:\n{commands.tail()}")
        data = {"training": json.loads(file.read_text())}
        if status != 0:
            data["failures"] = [data["training"]["contestants"].get("mezzo mixed", {}).get("missing", f"exit status {status}")]
        return data

    def run(self, part, seconds):
        """A part's record: its status, its time and what it has found. Nothing that happens in it stops the next."""
        print(f"\n== {part}, at most {seconds:.0f} s", flush=True)
        start = time.monotonic()
        record = {"status": "passed", "finished": now(), "limit": round(seconds)}
        commands = Commands(self.work / "logs" / f"{part}.log", seconds)
        try:
            record |= getattr(self, f"part_{part.replace('-', '_')}")(commands)
            if record.get("failures"):
                record["status"] = "failed"
        except Missing as missing:
            record |= {"status": "not run", "reason": str(missing)}
        except Stopped as stopped:
            record |= {"status": "stopped", "reason": f"{stopped}; its log ends with:\n{commands.tail()}"}
        except Exception as error:  # of whatever kind, the other parts run
            record |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        record |= {"seconds": round(time.monotonic() - start, 1), "finished": now()}
        print(gpu_report.summary(part, record), flush=True)
        return record


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def toolkits():
    """Where a CUDA toolkit may be, as native/cmake/Cuda.cmake looks for it."""
    nvcc = shutil.which("nvcc")
    roots = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), nvcc and pathlib.Path(nvcc).resolve().parents[1],
             "/usr/local/cuda"]
    return [pathlib.Path(root) for root in roots if root]


def cublaslt_files():
    """Where cuBLASLt may be: the toolkit's, then PyTorch's own."""
    folders = [root / lib for root in toolkits() for lib in ("lib64", "targets/x86_64-linux/lib")]
    site = output_of(python_with_torch(), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    if site:
        folders += sorted(pathlib.Path(site, "nvidia").glob("*/lib"))
    files = [file for folder in folders for file in sorted(folder.glob("libcublasLt.so.*[0-9]"))]
    return list(dict.fromkeys(str(file.resolve()) for file in files))


def python_with_torch():
    for python in (sys.executable, "/usr/bin/python3"):
        if output_of(python, "-c", "import importlib.util as u; print(u.find_spec('torch') is not None)") == "True":
            return python
    return sys.executable


def facts(simulate):
    """The machine: its processor, GPU and tools, never its name."""
    data = {"cpu": machine.facts(), "simulated": simulate}
    fields = ("name", "driver_version", "memory.total", "compute_cap", "clocks.max.sm", "power.limit")
    answer = output_of("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader").splitlines()
    if simulate:
        data["gpu"] = {"name": "simulated"}
    elif not answer:
        sys.exit("build.sh gpu: no NVIDIA GPU here, nvidia-smi names none; --simulate tries this program without one")
    else:
        data["gpu"] = dict(zip(fields, (value.strip() for value in answer[0].split(","))))
    data["toolkit"] = first_match(r"V([0-9.]+)", output_of("nvcc", "--version"))
    data["compiler"] = (output_of("c++", "--version").splitlines() or [None])[0]
    data["compute-sanitizer"] = first_match(r"Version ([0-9.]+)", output_of("compute-sanitizer", "--version"))
    return data


def source(bundle):
    """What was built: the commit, and whether it is what the bundle was made from."""
    commit = output_of("git", "-C", str(ROOT), "rev-parse", "HEAD")
    changed = bool(output_of("git", "-C", str(ROOT), "status", "--porcelain", "--", ".", ":!benchmarks/results"))
    data = {"commit": commit or bundle.manifest.get("commit"),
            "changed": changed if commit else bundle.manifest.get("changed"),
            "bundle_commit": bundle.manifest.get("commit")}
    different = bundle.changed_sources()
    if different:
        data["differs"] = f"{different} native sources are not those of the bundle, which holds the managed programs"
    return data


def limits(parts, minutes):
    """The time of each part in turn, given what is left of the total when it begins; 15 s are for what lies between."""
    total = 60 * minutes - 15
    end = time.monotonic() + total
    share = {part: LIMITS[part] * total / sum(LIMITS.values()) for part in PARTS}
    for index, part in enumerate(parts):
        left = end - time.monotonic()
        spare = left - sum(share[other] for other in parts[index:])
        # The sanitizer takes whatever it gets, and would leave nothing of it to others.
        extra = spare if part != "sanitizer" or len(parts) == 1 else 0
        yield part, min(left, share[part] + max(0.0, extra))


def slug(name):
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def earlier_parts(file, report):
    """Parts of an earlier run of the same day, commit and sources, so that parts can be run one by one."""
    try:
        earlier = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return earlier["parts"] if earlier.get("source") == report["source"] and not report["source"]["changed"] else {}


def copy_out(job, files):
    folder = os.environ.get("OUT")
    if not folder:
        return
    out = pathlib.Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, out)
    for log in sorted((job.work / "logs").glob("*.log")):
        text = log.read_text(errors="replace")
        (out / log.name).write_text(text if len(text) < 1 << 20 else f"[the last mebibyte]\n{text[-(1 << 20):]}")


def main():
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(prog="./build.sh gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--simulate", action="store_true", help="on a simulated device, to try this program")
    parser.add_argument("--minutes", type=float, default=10, help="that all of it may take (default 10)")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]}, expected {', '.join(PARTS)}")
    if arguments.minutes < 1:
        parser.error(f"--minutes is {arguments.minutes:g}, expected at least 1")
    parts = [part for part in PARTS if part in arguments.parts] or list(PARTS)

    os.environ["PATH"] = ":".join([os.environ["PATH"], *(str(root / "bin") for root in toolkits())])
    found = facts(arguments.simulate)
    job = Job(arguments.simulate)
    report = {"benchmark": "gpu", "simulated": arguments.simulate, "date": datetime.date.today().isoformat(),
              "machine": found, "source": source(job.bundle),
              "command": shlex.join(["./build.sh", "gpu", *sys.argv[1:]])}
    folder = ROOT / "artifacts" / "gpu-simulated" if arguments.simulate else ROOT / "benchmarks" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"gpu-{slug(found['gpu']['name'])}-{report['date']}"
    json_file, table_file = stem.with_suffix(".json"), stem.with_suffix(".md")
    report["parts"] = earlier_parts(json_file, report)

    for part, seconds in limits(parts, arguments.minutes):
        if seconds < 5:
            report["parts"][part] = {"status": "not run", "reason": "no time was left", "finished": now(), "seconds": 0}
        else:
            report["parts"][part] = job.run(part, seconds)
        report["goals"] = gpu_report.goals(report)
        json_file.write_text(json.dumps(report, indent=1) + "\n")
        table_file.write_text(gpu_report.markdown(report))
    copy_out(job, (json_file, table_file))
    print(f"\n{table_file.read_text()}\nWritten to {json_file.relative_to(ROOT)} and {table_file.name}")
    return 0 if all(report["parts"][part]["status"] == "passed" for part in parts) else 1


if __name__ == "__main__":
    sys.exit(main())
