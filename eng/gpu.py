# SPDX-License-Identifier: MIT
"""Builds, tests and measures Mezzo on a machine with an NVIDIA GPU, which needs neither .NET nor a network.

    ./build.sh gpu [--simulate] [--minutes N] [--copy-to DIR] [--python PATH] [PART...]

Parts, all of them in this order by default, each with a limit of time so that together they end within N minutes, 10 if
not said:
    build           native library, native tests and benchmarks, for the GPU that is present
    native          native tests on the GPU, then on the CPU
    managed         managed tests on the GPU, then on the CPU
    sanitizer       native tests under compute-sanitizer's memcheck and racecheck, as many as there is time for
    bench-kernels   kernels against cuBLASLt and a plain copy
    bench-training  the sin/cos study against PyTorch eager, compiled, and in CUDA graphs

What needs .NET comes from the bundle that `./build.sh gpu-bundle` makes elsewhere: artifacts/gpu-bundle/ of a checkout,
or the unpacked bundle itself. Results go to benchmarks/results/gpu-NAME-DATE.json and .md; --copy-to copies them and the
logs to one more folder, at most 8 files. With --simulate a simulated device stands in for the GPU: it proves this
program, its figures mean nothing, and they go to artifacts/gpu-simulated/.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import sys
import time
from collections import Counter

import gpu_report
import tally
from gpu_commands import Commands, Stopped, broke_off, ending, findings, finished_tests
from gpu_machine import ROOT, Bundle, Missing, cublaslt_files, extend_path, facts, python_with_torch, source

# Seconds of each part when all of them get 10 minutes.
LIMITS = {"build": 240, "native": 75, "managed": 60, "sanitizer": 60, "bench-kernels": 60, "bench-training": 90}
PARTS = tuple(LIMITS)

# These read the source tree that they were built from, or call clang: nothing of them runs on a GPU.
TESTS_OF_SOURCES = r"^Mezzo\.Tests\.(Conventions\.|Bindings\.(GeneratedBindings|GeneratorRefusal|Layout)Tests)"
ON_CPU_ONLY = "-*OnCpu.*"
MOST_FAILURES = 200


class Job:
    """What all parts share: the machine, the folders, the device."""

    def __init__(self, simulate, python):
        self.simulate, self.python = simulate, python
        name = "gpu-simulated" if simulate else "gpu"
        self.work = ROOT / "artifacts" / name
        self.build = ROOT / "build" / name
        self.library = self.build / "libmezzo.so"
        self.bundle = Bundle(self.work)
        self.device = "cuda:0"

    def require_built(self, name):
        if not (self.build / name).is_file():
            raise Missing(f"{name} is not there: the part build has not run, or has failed")
        return self.build / name

    # -- parts: each returns what it has found, beside its status --

    def part_build(self, commands):
        prefix = self.work / "googletest"
        if self.bundle.googletest.is_dir() and not any(prefix.glob("lib*/cmake/GTest/GTestConfig.cmake")):
            folder = self.work / "googletest-build"
            commands.expect(["cmake", "-S", self.bundle.googletest, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                             "-DBUILD_GMOCK=OFF", f"-DCMAKE_INSTALL_PREFIX={prefix}"])
            commands.expect(["cmake", "--build", folder, "--target", "install"])
        targets = {"mezzo": "libmezzo.so", "mezzo_native_tests": "mezzo_native_tests", "cuda_kernels_bench": "cuda_kernels_bench"}
        fresh = not (self.build / "build.ninja").exists()
        # What an earlier build has left would be taken for this one's, should this one fail.
        for file in targets.values():
            (self.build / file).resolve().unlink(missing_ok=True)
        start = time.monotonic()
        device = ["-DMEZZO_CUDA=SIM"] if self.simulate else ["-DMEZZO_CUDA=ON", "-DMEZZO_CUDA_ARCHITECTURES=native"]
        found = [f"-DCMAKE_PREFIX_PATH={prefix}"] if prefix.is_dir() else []
        # A machine's compiler may be one that nobody has tried yet, with warnings of its own.
        commands.expect(["cmake", "-S", ROOT, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                         "-DMEZZO_ONEDNN=OFF", "-DMEZZO_WERROR=OFF", *device, *found])
        jobs = [f"-j{os.environ['MEZZO_JOBS']}"] if "MEZZO_JOBS" in os.environ else []
        # A test that does not compile leaves the library and the benchmarks, -k 0.
        commands.expect(["ninja", "-C", self.build, "-k", "0", *jobs, *targets])
        data = {"compile_seconds": round(time.monotonic() - start, 1), "fresh": fresh,
                "library_bytes": self.library.resolve().stat().st_size}
        return data if self.simulate else data | self.read_kernels(commands)

    def read_kernels(self, commands):
        """What is wrong with the machine code of this toolkit, which may be one that `check` has never seen."""
        cuobjdump = shutil.which("cuobjdump")
        if not cuobjdump:
            return {"machine_code": "not read: there is no cuobjdump on PATH"}
        status = commands.run([sys.executable, ROOT / "eng" / "cuda_resources.py", "--toolkit",
                               pathlib.Path(cuobjdump).parents[1], self.library.resolve()])
        faults = [line.removeprefix("FAULT: ") for line in commands.last().splitlines() if line.startswith("FAULT: ")]
        if status != 0 and not faults:
            return {"machine_code": f"not read: {commands.error()}"}
        return {"machine_code": "local memory in some kernels" if faults else "no local memory"} | ({"failures": faults} if faults else {})

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
        """Runs every suite, whatever the others gave, and counts by device. Two thirds of the time are the GPU's."""
        counts, failures, skipped = {}, [], []
        spared = commands.left() / 3
        for device, command, environment in suites:
            file = self.work / "results.xml"
            file.unlink(missing_ok=True)
            broken, limit = None, commands.left() - (spared if device == self.device else 0)
            if limit < 1:
                skipped.append(device)
                continue
            try:
                status = commands.run([*command, *results_option(file)], environment, limit)
                if not file.is_file():
                    broken = f"{command[0].name} {ending(status)} {broke_off(commands.last())}"
            except Stopped as stopped:
                broken = f"{stopped} {broke_off(commands.last())}"
            if broken:
                results = [*finished_tests(commands.last()), ("failed", broken)]
            else:
                results = tally.results_of(file, status)
            count, failed = tally.count(results)
            counts[device] = counts.get(device, Counter()) + count
            failures += [f"{device}: {test}" for test in failed]
        failures += [f"{device}: no time was left for {skipped.count(device)} of the runs" for device in dict.fromkeys(skipped)]
        return {"suites": counts, "failures": list(dict.fromkeys(failures))}

    def part_sanitizer(self, commands):
        """Each tool takes one slice of the tests after another, so that those run are spread over all of them."""
        self.require_built("mezzo_native_tests")
        if not self.simulate and not shutil.which("compute-sanitizer"):
            raise Missing("there is no compute-sanitizer on PATH")
        data, failures = {"tools": {}}, []
        for tool, share in (("memcheck", 0.5), ("racecheck", 1.0)):
            # Failed calls are no finding: tests make some fail, and look themselves.
            prefix = [] if self.simulate else ["compute-sanitizer", "--tool", tool, "--report-api-errors", "no",
                                               "--error-exitcode", "86"]
            data["tools"][tool], failed = self.sanitize(commands, prefix, time.monotonic() + share * commands.left())
            failures += [f"{tool}: {test}" for test in failed]
        if failures:
            data["failures"] = failures
        return data

    def sanitize(self, commands, prefix, end):
        """What one tool has run until its time is up, and what has failed."""
        tests = self.require_built("mezzo_native_tests")
        slices = 24
        done, ran, failures, cut = 0, 0, [], False
        while done < slices and not cut and end - time.monotonic() > 2:
            file = self.work / "results.xml"
            file.unlink(missing_ok=True)
            broken = None
            try:
                status = commands.run([*prefix, tests, f"--gtest_filter={ON_CPU_ONLY}", f"--gtest_output=xml:{file}"],
                                      {"MEZZO_TEST_DEVICE": self.device, "GTEST_TOTAL_SHARDS": str(slices),
                                       "GTEST_SHARD_INDEX": str(done)}, end - time.monotonic())
                if not file.is_file():
                    broken = f"{ending(status)} {broke_off(commands.last())}"
                results = finished_tests(commands.last()) if broken else tally.results_of(file, status)
                done += 1
            except Stopped:
                results, cut = finished_tests(commands.last()), True
            if "Device not supported" in commands.last():
                raise Missing("compute-sanitizer does not support this device here")
            count, failed = tally.count(results)
            ran += count["passed"] + count["failed"]
            failures += [*failed, *([broken] if broken else []), *findings(commands.last())] if failed or broken or cut else []
            if broken and ran == 0:
                break  # the next would say the same
        if ran == 0 and not failures:
            failures.append(f"not one test ended in time; stopped {broke_off(commands.last())}")
        return {"tests": ran, "slices": f"{done} of {slices}" + (" and a part" if cut else "")}, list(dict.fromkeys(failures))

    def part_bench_kernels(self, commands):
        program = self.require_built("cuda_kernels_bench")
        file = self.work / "kernels.json"
        file.unlink(missing_ok=True)
        environment = {"MEZZO_CUBLASLT": ":".join(cublaslt_files(self.python))}
        status, stopped = 0, None
        try:
            status = commands.run([program, "--json", file, *(["--tiny"] if self.simulate else [])], environment)
        except Stopped as error:
            stopped = str(error)
        if not file.is_file():
            raise RuntimeError(f"{stopped or f'{program.name} {ending(status)}'}: {commands.error()}\n{commands.tail()}")
        data = {"kernels": json.loads(file.read_text())}
        failures = [f"{case['group']} {case['name']}: {case['error']}" for case in data["kernels"]["cases"] if "error" in case]
        if stopped:
            failures.append(stopped)
        elif status != 0 and not failures:
            failures.append(f"{program.name} {ending(status)}")
        if failures:
            data["failures"] = failures
        return data

    def part_bench_training(self, commands):
        mezzo = self.bundle.require(self.bundle.mezzo)
        # The folders that compiled kernels are kept in by default may not be writable.
        environment = {"MEZZO_LIBRARY": str(self.require_built("libmezzo.so")), "PYTHONUNBUFFERED": "1",
                       "TORCHINDUCTOR_CACHE_DIR": str(self.work / "torch" / "inductor"),
                       "TRITON_CACHE_DIR": str(self.work / "torch" / "triton")}
        file = self.work / "training.json"
        file.unlink(missing_ok=True)
        sizes = ["--epochs", "3", "--samples", "64", "--hidden", "16", "--rounds", "1", "--warm-up", "2"] if self.simulate else []
        peer = ["--torch-device", "cpu"] if self.simulate else []
        status, stopped = 0, None
        try:
            status = commands.run([sys.executable, ROOT / "benchmarks/cuda/train_bench.py", "--mezzo", shlex.quote(str(mezzo)),
                                   "--mezzo-device", self.device, "--python", self.python, "--limit",
                                   f"{commands.left() - 5:.0f}", "--json", file, *sizes, *peer], environment)
        except Stopped as error:
            stopped = str(error)
        if not file.is_file():
            raise RuntimeError(f"{stopped or f'train_bench.py {ending(status)}'}: {commands.error()}\n{commands.tail()}")
        data = {"training": json.loads(file.read_text())}
        if stopped or status != 0:
            lost = data["training"]["contestants"].get("mezzo mixed", {}).get("missing")
            data["failures"] = [stopped or (lost and f"mezzo mixed: {lost}") or f"train_bench.py {ending(status)}"]
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
                if len(record["failures"]) > MOST_FAILURES:
                    more = f"and {len(record['failures']) - MOST_FAILURES} more, see {part}.log"
                    record["failures"] = [*record["failures"][:MOST_FAILURES], more]
        except Missing as missing:
            record |= {"status": "not run", "reason": str(missing)}
        except Stopped as stopped:
            record |= {"status": "stopped", "reason": f"{stopped} {broke_off(commands.last())}\n{commands.tail()}"}
        except RuntimeError as error:
            record |= {"status": "failed", "reason": str(error)}
        except Exception as error:  # of whatever kind, the other parts run
            record |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        record |= {"seconds": round(time.monotonic() - start, 1), "finished": now()}
        print(gpu_report.summary(part, record), flush=True)
        return record


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def limit(parts, left):
    """The time of the first of these parts, given what is left for all of them: its share, and up to half as much again,
    by which the others get less. The sanitizer, which takes whatever it gets, keeps to its share."""
    share = left * LIMITS[parts[0]] / sum(LIMITS[part] for part in parts)
    return share if parts[0] == "sanitizer" else min(left, 1.5 * share)


def slug(name):
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def earlier_parts(file, report):
    """Parts of an earlier run of the same day, commit and sources, so that parts can be run one by one."""
    try:
        earlier = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return earlier["parts"] if earlier.get("source") == report["source"] and not report["source"]["changed"] else {}


def replace(file, text):
    """Writes a file whole, or not at all where it is ended meanwhile."""
    part = file.with_name(file.name + ".part")
    part.write_text(text)
    part.replace(file)


def copy_to(folder, job, files):
    """Copies the results and the ends of the logs, a flat list of at most 2 + 6 files below a mebibyte each."""
    most = 1_000_000
    for file in files:
        shutil.copyfile(file, folder / file.name)
    for part in PARTS:
        log = job.work / "logs" / f"{part}.log"
        if log.is_file():
            text = log.read_bytes()
            (folder / log.name).write_bytes(text if len(text) <= most else b"[the end of the log]\n" + text[-most:])


def arguments_of(words):
    parser = argparse.ArgumentParser(prog="./build.sh gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--simulate", action="store_true", help="on a simulated device, to try this program")
    parser.add_argument("--minutes", type=float, default=10, help="that all of it may take (default 10)")
    parser.add_argument("--copy-to", metavar="DIR", help="folder that results and logs are copied to, too, after each part")
    parser.add_argument("--python", metavar="PATH", help="the Python that has PyTorch (default: the first that has it)")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    arguments = parser.parse_args(words)
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]}, expected {', '.join(PARTS)}")
    if arguments.minutes < 1:
        parser.error(f"--minutes is {arguments.minutes:g}, expected at least 1")
    if arguments.copy_to is not None:
        try:
            pathlib.Path(arguments.copy_to or "/dev/null").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--copy-to got '{arguments.copy_to}', expected a folder: {error.strerror}")
    arguments.parts = [part for part in PARTS if part in arguments.parts] or list(PARTS)
    return arguments


def command_of(arguments):
    """How to repeat it, without the paths of this machine."""
    return shlex.join(["./build.sh", "gpu", *(["--simulate"] if arguments.simulate else []),
                       *(["--minutes", f"{arguments.minutes:g}"] if arguments.minutes != 10 else []),
                       *(arguments.parts if arguments.parts != list(PARTS) else [])])


def main():
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = arguments_of(sys.argv[1:])
    parts = arguments.parts
    end = time.monotonic() + 60 * arguments.minutes - 15  # for what lies between the parts
    extend_path()
    found = facts(arguments.simulate)
    job = Job(arguments.simulate, arguments.python or python_with_torch())
    report = {"benchmark": "gpu", "simulated": arguments.simulate, "date": datetime.date.today().isoformat(),
              "machine": found, "source": source(job.bundle), "command": command_of(arguments)}
    folder = ROOT / "artifacts" / "gpu-simulated" if arguments.simulate else ROOT / "benchmarks" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"gpu-{slug(found['gpu']['name'])}-{report['date']}"
    json_file, table_file = stem.with_suffix(".json"), stem.with_suffix(".md")
    report["parts"] = earlier_parts(json_file, report)

    unread = False
    for index, part in enumerate(parts):
        seconds = limit(parts[index:], end - time.monotonic())
        if seconds < 5:
            report["parts"][part] = {"status": "not run", "reason": "no time was left", "finished": now(), "seconds": 0}
        else:
            report["parts"][part] = job.run(part, seconds)
        replace(json_file, json.dumps(report, indent=1) + "\n")
        try:
            report["goals"] = gpu_report.goals(report)
            replace(json_file, json.dumps(report, indent=1) + "\n")
            replace(table_file, gpu_report.markdown(report))
        except Exception as error:  # a figure that nobody has foreseen: the other parts run, and the JSON has what there is
            replace(table_file, f"# This page could not be made\n\n{type(error).__name__}: {error}. See {json_file.name}.\n")
            unread = True
        if arguments.copy_to:
            copy_to(pathlib.Path(arguments.copy_to), job, (json_file, table_file))
    print(f"\n{table_file.read_text()}\nWritten to {json_file.relative_to(ROOT)} and {table_file.name}")
    return 1 if unread or any(report["parts"][part]["status"] != "passed" for part in parts) else 0


if __name__ == "__main__":
    sys.exit(main())
