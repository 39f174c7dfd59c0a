# SPDX-License-Identifier: MIT
"""Measures the sin/cos study against PyTorch and against the floor of oneDNN's matrix products alone.

Every contestant runs once a round, in its own process, so that a change in the machine's mood meets all of them;
the medians over the rounds are compared. Called by `./build.sh bench sincos`, which builds what is measured.
Writes benchmarks/results/sincos-DATE.json and .md, and prints the latter.
"""
import argparse
import datetime
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile

import breakdown
import machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLES, HIDDEN = 20000, 150
PYTHON = "/usr/bin/python3"


def run_json(command, threads=None):
    """Runs a command that prints one JSON line and returns it."""
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench: {shlex.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def mezzo_run(precision, epochs, threads, seed=0):
    """One training run of the study: what `mezzo train sincos --json` says of it."""
    with tempfile.TemporaryDirectory() as folder:
        result = pathlib.Path(folder, "run.json")
        command = ["dotnet", "artifacts/bin/Mezzo.Cli/release/Mezzo.Cli.dll", "train", "sincos",
                   "--precision", precision, "--epochs", str(epochs), "--samples", str(SAMPLES), "--hidden", str(HIDDEN),
                   "--seed", str(seed), "--threads", str(threads), "--out", folder, "--json", str(result), "--quiet"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"bench: {shlex.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
        return json.loads(result.read_text())["runs"][0]


def mezzo(precision, settings):
    run = mezzo_run(precision, settings.epochs, settings.threads)
    return 1e3 * run["seconds"] / run["epochs"]


def pytorch(precision, threads, settings):
    run = run_json([PYTHON, "benchmarks/sincos/torch_sincos.py", "--precision", precision, "--threads", str(threads),
                    "--epochs", str(settings.epochs), "--samples", str(SAMPLES), "--hidden", str(HIDDEN)])
    return 1e3 * run["seconds"] / run["epochs"]


def floor(dtype, settings):
    run = run_json(["build/bench/onednn_floor", dtype, str(settings.epochs), str(SAMPLES), str(HIDDEN)],
                   settings.threads)
    return run["ms_per_epoch"]


CONTESTANTS = {
    "mezzo fp32": lambda settings: mezzo("fp32", settings),
    "mezzo bf16": lambda settings: mezzo("bf16", settings),
    "PyTorch fp32, 1 thread": lambda settings: pytorch("fp32", 1, settings),
    "PyTorch fp32": lambda settings: pytorch("fp32", settings.threads, settings),
    "PyTorch bf16 autocast": lambda settings: pytorch("bf16", settings.threads, settings),
    "oneDNN products f32": lambda settings: floor("f32", settings),
    "oneDNN products bf16": lambda settings: floor("bf16", settings),
}

# (what is measured, its peers of which the best one counts, how many times faster it is to be)
GOALS = (
    ("mezzo bf16", ("PyTorch bf16 autocast",), 2.0),
    ("mezzo fp32", ("PyTorch fp32, 1 thread", "PyTorch fp32"), 3.0),
)
FLOORS = {"mezzo fp32": "oneDNN products f32", "mezzo bf16": "oneDNN products bf16"}


def measure(settings):
    """Milliseconds per epoch of each contestant in each round."""
    times = {name: [] for name in CONTESTANTS}
    for round_ in range(settings.repeats):
        for name, contestant in CONTESTANTS.items():
            times[name].append(contestant(settings))
        progress = ", ".join(f"{name} {values[-1]:.1f}" for name, values in times.items())
        print(f"round {round_ + 1} of {settings.repeats}, ms per epoch: {progress}", flush=True)
    return times


def judge(medians):
    goals = []
    for name, peers, wanted in GOALS:
        peer = min(peers, key=medians.get)
        ratio = medians[peer] / medians[name]
        goals.append({"name": name, "peer": peer, "ratio": ratio, "goal": wanted, "met": ratio >= wanted})
    floors = [{"name": name, "floor": peer, "share": medians[peer] / medians[name],
               "beyond_floor_ms": medians[name] - medians[peer]} for name, peer in FLOORS.items()]
    return goals, floors


def versions():
    """Versions of what is compared with, from a run of one epoch each."""
    torch = run_json([PYTHON, "benchmarks/sincos/torch_sincos.py", "--precision", "fp32", "--epochs", "1",
                      "--samples", "10"])
    onednn = run_json(["build/bench/onednn_floor", "f32", "1", "10", "10"])
    return {"PyTorch": f"{torch['version']} with {torch['blas'] or 'its own BLAS'}", "oneDNN": onednn["version"]}


def table(head, rows):
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown(report):
    settings, medians = report["settings"], report["median_ms_per_epoch"]
    times = [[name, f"{medians[name]:.2f}", f"{min(values):.2f}", f"{max(values):.2f}"]
             for name, values in report["ms_per_epoch"].items()]
    goals = [[goal["name"], goal["peer"], f"{goal['ratio']:.2f}x", f"{goal['goal']:.1f}x",
              "met" if goal["met"] else f"**short by {100 * (1 - goal['ratio'] / goal['goal']):.0f}%**"]
             for goal in report["goals"]]
    floors = [[item["name"], f"{medians[item['floor']]:.2f}", f"{100 * item['share']:.0f}%",
               f"{item['beyond_floor_ms']:.2f}"] for item in report["floors"]]
    parts = [[part, *[f"{times[part]:.2f}" for times in report["breakdown_ms"].values()]]
             for part in next(iter(report["breakdown_ms"].values()))]
    return f"""# Sin/cos study, {report['date']}

{machine.describe(report['machine'])}. {SAMPLES} samples, width {HIDDEN}, full batch, {settings['epochs']} epochs a run, \
{settings['threads']} threads, rounds interleaved: {settings['repeats']}. \
{', '.join(f'{name} {version}' for name, version in report['versions'].items())}.

Repeat with `{report['command']}`.

{table(['contestant', 'median ms per epoch', 'fastest', 'slowest'], times)}

{table(['measured', 'against the best of', 'times as fast', 'goal', 'verdict'], goals)}

{table(['measured', "oneDNN's products alone, ms", 'share of the epoch', 'beyond them, ms'], floors)}

Where the time of an epoch goes, in ms: each native call of a step alone, in a loop; the rest is what the step adds.

{table(['part', *report['breakdown_ms']], parts)}
"""


def write(folder, name, report, text):
    """Writes a report as JSON and as Markdown, and prints the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{name}-{report['date']}"
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    stem.with_suffix(".md").write_text(text)
    print(f"\n{text}\nWritten to {stem}.json and .md")


def main():
    parser = argparse.ArgumentParser(prog="./build.sh bench sincos", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--epochs", type=int, default=200, help="epochs of a run (default 200)")
    parser.add_argument("--threads", type=int, default=2, help="threads, but for the single-threaded peer (default 2)")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "benchmarks" / "results",
                        help="folder for the results (default benchmarks/results)")
    settings = parser.parse_args()
    for name in ("repeats", "epochs", "threads"):
        if getattr(settings, name) < 1:
            parser.error(f"--{name} is {getattr(settings, name)}, expected at least 1")

    report = {
        "benchmark": "sincos",
        "date": datetime.date.today().isoformat(),
        "machine": machine.facts(),
        "versions": versions(),
        "command": shlex.join(["./build.sh", "bench", "sincos", *sys.argv[1:]]),
        "settings": {name: getattr(settings, name) for name in ("repeats", "epochs", "threads")},
    }
    report["ms_per_epoch"] = measure(settings)
    medians = {name: statistics.median(values) for name, values in report["ms_per_epoch"].items()}
    report["median_ms_per_epoch"] = medians
    report["goals"], report["floors"] = judge(medians)
    library = breakdown.Library(ROOT / "build" / "release" / "libmezzo.so", settings.threads)
    report["breakdown_ms"] = {
        name: breakdown.epoch(library, dtype, SAMPLES, HIDDEN, settings.epochs, medians[name])
        for name, dtype in (("mezzo fp32", "f32"), ("mezzo bf16", "bf16"))}

    write(settings.results, "sincos", report, markdown(report))


if __name__ == "__main__":
    main()
