# SPDX-License-Identifier: MIT
"""How well the sin/cos study is learnt: the smallest loss of 1,000 epochs in each precision, over several seeds.

Called by `./build.sh bench quality`. Writes benchmarks/results/sincos-quality-DATE.json and .md, and prints the latter.
"""
import argparse
import datetime
import json
import pathlib
import shlex
import statistics
import sys

import bench
import machine

GOAL = 3e-4
PRECISIONS = ("fp32", "bf16", "fp16")


def train(precision, seed, epochs, threads):
    run = bench.mezzo_run(precision, epochs, threads, seed)
    losses = [float("nan") if loss is None else loss for loss in run["losses"]]
    return {"precision": precision, "seed": seed, "seconds": run["seconds"], "smallest_loss": min(losses),
            "median_of_last_100": statistics.median(losses[-100:]), "last_loss": losses[-1],
            "skipped_steps": run["skipped_steps"], "last_scale": run["scales"][-1]}


def markdown(report):
    rows = [[run["precision"], str(run["seed"]), f"{run['smallest_loss']:.2e}",
             "met" if run["smallest_loss"] <= GOAL else "**missed**", f"{run['median_of_last_100']:.2e}",
             f"{run['last_loss']:.2e}", str(run["skipped_steps"]), f"{run['last_scale']:g}"] for run in report["runs"]]
    head = ["precision", "seed", "smallest loss", f"at most {GOAL:.0e}", "median of the last 100", "last", "steps skipped",
            "last scale"]
    return f"""# How well the sin/cos study is learnt, {report['date']}

{machine.describe(report['machine'])}. {bench.SAMPLES} samples, width {bench.HIDDEN}, {report['epochs']} epochs, \
{report['threads']} threads.

Repeat with `{report['command']}`.

{bench.table(head, rows)}
"""


def main():
    parser = argparse.ArgumentParser(prog="./build.sh bench quality", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, from 0, the default one (default 5)")
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    settings = parser.parse_args()
    report = {"benchmark": "sincos-quality", "date": datetime.date.today().isoformat(), "machine": machine.facts(),
              "command": shlex.join(["./build.sh", "bench", "quality", *sys.argv[1:]]),
              "epochs": settings.epochs, "threads": settings.threads, "goal": GOAL, "runs": []}
    for seed in range(settings.seeds):
        for precision in PRECISIONS:
            report["runs"].append(train(precision, seed, settings.epochs, settings.threads))
            print(json.dumps(report["runs"][-1]), flush=True)
    bench.write(bench.ROOT / "benchmarks" / "results", "sincos-quality", report, markdown(report))


if __name__ == "__main__":
    main()
