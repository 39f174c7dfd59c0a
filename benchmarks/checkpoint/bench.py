# SPDX-License-Identifier: MIT
"""Measures activation checkpointing on the CPU: memory and time of a step under Mezzo's plans, and under every sensible number
of segments of PyTorch's checkpoint_sequential.

Both sides live in processes of their own and take turns, step by step. Each step under a plan comes right after one of the
same side without, so that a change in the machine's mood meets both. Called by `./build.sh bench checkpoint`, which builds what
is measured. Writes benchmarks/results/checkpoint-DATE.json and .md with a picture for each net, and prints the .md.
"""
import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import time

import picture
import report

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "sincos"))
import bench as sincos  # noqa: E402  its files
import machine  # noqa: E402

PROGRAM = "artifacts/bin/CheckpointBench/release/CheckpointBench.dll"
# Beyond 12, what is kept between segments outgrows what is inside them; two such numbers show it.
SEGMENTS = (*range(2, 13), 16, 24)
# Seconds after which the threads of the other side have stopped spinning; OpenBLAS's do for some 30 ms.
PAUSE = 0.2
# Freed memory goes back to the system at once, so that resident memory is what is in use.
RETURNING = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


@dataclasses.dataclass(frozen=True)
class Case:
    """A net, its precision and its goals: (share of activation bytes saved, share of time more at most)."""

    name: str
    layers: int
    width: int
    rows: int
    precision: str
    goals: tuple

    @property
    def title(self):
        return f"{self.layers} layers, width {self.width}, batch {self.rows}, {self.precision}"


WIDE_GOALS, NARROW_GOALS = ((0.60, 0.12), (0.80, 0.25)), ((0.60, 0.05),)
CASES = (
    Case("wide-fp32", 48, 512, 4096, "fp32", WIDE_GOALS),
    Case("wide-bf16", 48, 512, 4096, "bf16", WIDE_GOALS),
    Case("narrow-fp32", 48, 150, 20000, "fp32", NARROW_GOALS),
)
QUICK_SEGMENTS = (2, 3)


class Worker:
    """A process that runs the steps of one side: a line in, a line of JSON out."""

    def __init__(self, command, threads, environment=None):
        self._command = command
        variables = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), **(environment or {})}
        self._process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.facts = self._answer()

    def ask(self, what, index):
        self._process.stdin.write(f"{what} {index}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"bench: {shlex.join(self._command)} exited with {self._process.wait()}")
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()


def workers(case, settings, environment=None):
    sizes = [str(size) for size in (case.layers, case.width, case.rows, case.precision, settings.threads)]
    commands = {
        "PyTorch": [sincos.PYTHON, "benchmarks/checkpoint/torch_peer.py", *sizes, *map(str, settings.segments)],
        "Mezzo": ["dotnet", PROGRAM, *sizes, str(settings.plans)],
    }
    return {side: Worker(command, settings.threads, environment) for side, command in commands.items()}


def points_of(facts, steps):
    """What was measured at each point, with shares of the same side's step without checkpointing."""
    held = facts["live_bytes"] + facts["gradient_bytes"]
    points = []
    for point, (bases, times, peaks) in zip(facts["points"], steps):
        peak = max(peaks, default=point["peak_bytes"])
        points.append({**point, "peak_bytes": peak, "activation_bytes": peak - held, "seconds": statistics.median(times),
                       "time_share": statistics.median(time / base for time, base in zip(times, bases)),
                       "times": times, "base_times": bases})
    for point in points:
        point["peak_share"] = point["peak_bytes"] / points[0]["peak_bytes"]
        point["activation_share"] = point["activation_bytes"] / points[0]["activation_bytes"]
    return points


def measure(case, settings):
    both = workers(case, settings)
    with both["PyTorch"], both["Mezzo"]:
        steps = {side: [([], [], []) for _ in worker.facts["points"]] for side, worker in both.items()}
        for round_ in range(settings.rounds):
            for index in range(1, max(map(len, steps.values()))):
                for side, worker in both.items():
                    if index < len(steps[side]):
                        run_pair(worker, steps[side], index)
            print(f"{case.name}, round {round_ + 1} of {settings.rounds}: without checkpointing " + ", ".join(
                f"{side} {statistics.median(points[0][1]):.3f} s" for side, points in steps.items()), flush=True)
        return {side: {**worker.facts, "points": points_of(worker.facts, steps[side])} for side, worker in both.items()}


def run_pair(worker, steps, index):
    """A step without checkpointing, and one at a point."""
    time.sleep(PAUSE)
    base = worker.ask("step", 0)
    for at, step in ((0, base), (index, worker.ask("step", index))):
        bases, times, peaks = steps[at]
        bases.append(base["seconds"])
        times.append(step["seconds"])
        if "peak_bytes" in step:
            peaks.append(step["peak_bytes"])


def check_resident(case, settings):
    """Counted bytes that a step adds, against the growth of the process, without checkpointing and in the middle."""
    rows = []
    both = workers(case, settings, RETURNING)
    with both["PyTorch"], both["Mezzo"]:
        for side, worker in both.items():
            points = worker.facts["points"]
            for index in (0, len(points) // 2):
                worker.ask("step", index)
                rows.append({"side": side, "name": points[index]["name"],
                             "counted_bytes": points[index]["peak_bytes"] - worker.facts["live_bytes"],
                             "resident_bytes": worker.ask("resident", index)["bytes"]})
    return rows


def result_of(case, settings):
    sides = measure(case, settings)
    mezzo, torch = (sides[side]["points"] for side in ("Mezzo", "PyTorch"))
    return {"name": case.name, "title": case.title, "sides": sides, "resident": check_resident(case, settings),
            "goals": report.goals(case.goals, mezzo, torch), "against": report.against(mezzo, torch)}


def settings_of():
    parser = argparse.ArgumentParser(prog="./build.sh bench checkpoint", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="steps at each point (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both sides (default 2)")
    parser.add_argument("--plans", type=int, default=12, help="plans of the curve, besides those that the goals ask for (default 12)")
    parser.add_argument("--only", choices=[case.name for case in CASES], action="append", help="only this net; more than once for more")
    parser.add_argument("--quick", action="store_true", help="small nets and few steps, to see that all runs; the times mean nothing")
    parser.add_argument("--results", type=pathlib.Path, help="folder for the results (default benchmarks/results, "
                                                             "artifacts/checkpoint-quick with --quick)")
    settings = parser.parse_args()
    settings.rounds = settings.rounds or (2 if settings.quick else 5)
    settings.segments = QUICK_SEGMENTS if settings.quick else SEGMENTS
    settings.results = settings.results or ROOT / ("artifacts/checkpoint-quick" if settings.quick else "benchmarks/results")
    for name in ("rounds", "threads", "plans"):
        if getattr(settings, name) < 1:
            parser.error(f"--{name} is {getattr(settings, name)}, expected at least 1")
    return settings


def main():
    settings = settings_of()
    cases = [case for case in CASES if case.name in (settings.only or case.name)]
    if settings.quick:
        cases = [dataclasses.replace(case, layers=6, width=32, rows=256) for case in cases]
    results = [result_of(case, settings) for case in cases]
    found = {
        "benchmark": "checkpoint",
        "date": datetime.date.today().isoformat(),
        "machine": machine.facts(),
        "command": shlex.join(["./build.sh", "bench", "checkpoint", *sys.argv[1:]]),
        "settings": {name: getattr(settings, name) for name in ("rounds", "threads", "plans", "segments")},
        "results": results,
    }
    settings.results.mkdir(parents=True, exist_ok=True)
    for result in results:
        name = report.picture_name(found, result)
        (settings.results / name).write_text(picture.draw(result["title"], {
            side: found_side["points"] for side, found_side in result["sides"].items()}))
    sincos.write(settings.results, "checkpoint", found, report.markdown(found))


if __name__ == "__main__":
    main()
