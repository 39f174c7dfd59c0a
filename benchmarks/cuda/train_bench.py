# SPDX-License-Identifier: MIT
"""Measures the sin/cos study on a GPU: `mezzo train sincos` against PyTorch eager, compiled, and in CUDA graphs.

Contestants take turns in rounds. Of PyTorch, whatever happens once has happened before the clock starts. Of mezzo a
long run less a short one is taken, which leaves out as much; its first epochs, all included, stand beside. Called by
`./build.sh gpu bench-training`. Everyone has a first turn as soon as it is prepared, and the JSON is written anew after
every turn, so that a run that is stopped leaves what it has.
"""
import argparse
import json
import os
import pathlib
import queue
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent


class OutOfTime(Exception):
    pass


class Clock:
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return self.end - time.monotonic()


class Torch:
    """torch_peer.py, kept up. `missing` says why it is not."""

    def __init__(self, settings):
        self.missing, self.version, self.ways, self.lines = None, None, [], queue.Queue()
        self.settings, self.process, self.errors = settings, None, tempfile.TemporaryFile(mode="w+")

    def start(self, clock):
        settings = self.settings
        command = [settings.python, str(HERE / "torch_peer.py"), "--device", settings.torch_device, "--samples",
                   str(settings.samples), "--hidden", str(settings.hidden), "--warm-up", str(settings.warm_up)]
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                            text=True)
        except OSError as error:
            self.missing = f"{settings.python} does not start: {error.strerror}"
            return
        threading.Thread(target=self.read, daemon=True).start()
        first = self.receive(clock)
        if "missing" in first:
            self.missing = first["missing"]
        else:
            self.version, self.ways = first["version"], first["ways"]

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def receive(self, clock):
        try:
            line = self.lines.get(timeout=max(0.1, clock.left()))
        except queue.Empty:
            raise OutOfTime from None
        if line is None:
            self.lines.put(None)  # for whoever asks next
            self.errors.seek(0)
            last = self.errors.read().strip().splitlines()[-1:] or [f"exit status {self.process.wait()}"]
            return {"missing": f"PyTorch's program ended: {last[0]}"}
        return json.loads(line)

    def ask(self, clock, **request):
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass
        return self.receive(clock)

    def close(self):
        """It ends by itself with its input, unless it is busy."""
        if self.process is None:
            return
        try:
            self.process.stdin.close()
            self.process.wait(timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


class Mezzo:
    """`mezzo train sincos` in one precision, captured in a graph or eager."""

    def __init__(self, settings, precision, options):
        self.settings, self.precision, self.options = settings, precision, options
        self.long = 5 * settings.epochs

    def train(self, epochs, clock):
        with tempfile.TemporaryDirectory() as folder:
            result = pathlib.Path(folder, "run.json")
            command = [*self.settings.mezzo, "train", "sincos", "--device", self.settings.mezzo_device, "--precision",
                       self.precision, "--epochs", str(epochs), "--samples", str(self.settings.samples), "--hidden",
                       str(self.settings.hidden), "--out", folder, "--json", str(result), "--quiet", *self.options]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=max(0.1, clock.left()))
            except subprocess.TimeoutExpired:
                raise OutOfTime from None
            if done.returncode != 0:
                lines = (done.stderr + done.stdout).strip().splitlines()[-3:]
                print(shlex.join(command), flush=True)
                raise RuntimeError(f"mezzo exited with {done.returncode}: {' '.join(lines)}")
            return json.loads(result.read_text())["runs"][0]

    def run(self, clock):
        """Seconds of `epochs` epochs: after the first ones, and from a cold start."""
        short = self.train(self.settings.epochs, clock)
        if short["seconds"] > 1:
            self.long = 2 * self.settings.epochs  # long enough
        long = self.train(self.long, clock)
        scale = self.settings.epochs / (self.long - self.settings.epochs)
        losses = [loss for loss in short["losses"] if loss is not None]
        return {"seconds": scale * (long["seconds"] - short["seconds"]), "cold_seconds": short["seconds"],
                "smallest_loss": min(losses, default=None), "skipped_steps": short["skipped_steps"],
                "captured": short["captured"]}


class Report:
    def __init__(self, settings):
        self.settings = settings
        self.data = {"settings": {"epochs": settings.epochs, "samples": settings.samples, "hidden": settings.hidden},
                     "torch": {}, "rounds": 0, "contestants": {}}

    def miss(self, name, reason):
        self.data["contestants"].setdefault(name, {"runs": []})["missing"] = reason

    def add(self, name, run):
        self.data["contestants"].setdefault(name, {"runs": []})["runs"].append(run)

    def write(self):
        for contestant in self.data["contestants"].values():
            runs = contestant["runs"]
            for key in ("seconds", "cold_seconds"):
                values = [run[key] for run in runs if key in run]
                if values:
                    contestant[key] = statistics.median(values)
                    contestant[f"{key}_span"] = [min(values), max(values)]
            losses = [run["smallest_loss"] for run in runs if run.get("smallest_loss") is not None]
            if losses:
                contestant["smallest_loss"] = max(losses)
        part = self.settings.json.with_name(self.settings.json.name + ".part")
        part.write_text(json.dumps(self.data, indent=1) + "\n")
        part.replace(self.settings.json)


def take_turn(name, run, report, clock):
    """Whether the contestant can go on."""
    try:
        result = run(clock)
    except OutOfTime:
        if name not in report.data["contestants"]:
            report.miss(name, "did not end in time")
        raise
    except Exception as error:  # of whatever kind, the others go on
        report.miss(name, str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}")
        report.write()
        return False
    report.add(name, result)
    report.write()
    print(f"{name}: {result['seconds']:.4f} s", flush=True)
    return True


def prepare(settings, report, clock, torch):
    """(name, run) of everyone that is there, after the first turn of each, should there be no time for another."""
    contestants = []

    def add_mezzo(name, precision, options):
        mezzo = Mezzo(settings, precision, options)
        if take_turn(name, mezzo.run, report, clock):
            contestants.append((name, mezzo.run))

    half = "fp16" if settings.mezzo_device != "cpu" else "bf16"
    add_mezzo("mezzo mixed", half, [])
    add_mezzo("mezzo fp32", "fp32", [])
    add_mezzo("mezzo mixed, eager", half, ["--capture", "off"])

    torch.start(clock)
    report.data["torch"] = {"version": torch.version} if torch.missing is None else {"missing": torch.missing}

    def add_torch(way):
        def run(clock):
            answer = torch.ask(clock, run=way, epochs=settings.epochs)
            if "missing" in answer:
                raise RuntimeError(answer["missing"])
            return answer

        def first(clock):
            answer = torch.ask(clock, prepare=way)
            print(f"PyTorch {way}, preparation: {answer}", flush=True)
            if "missing" in answer:
                raise RuntimeError(answer["missing"])
            return run(clock)

        if take_turn(f"PyTorch {way}", first, report, clock):
            contestants.append((f"PyTorch {way}", run))

    for way in torch.ways:
        add_torch(way)
    return contestants


def measure(settings, report, clock):
    torch = Torch(settings)
    try:
        contestants = prepare(settings, report, clock, torch)
        report.data["rounds"] = 1
        for round_ in range(1, settings.rounds):
            if not contestants:
                break
            start = time.monotonic()
            print(f"round {round_ + 1} of {settings.rounds}", flush=True)
            contestants = [(name, run) for name, run in contestants if take_turn(name, run, report, clock)]
            report.data["rounds"] = round_ + 1
            if clock.left() < 1.2 * (time.monotonic() - start):
                break
    finally:
        torch.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mezzo", type=shlex.split, required=True, help="command that starts mezzo")
    parser.add_argument("--mezzo-device", default="cuda")
    parser.add_argument("--torch-device", default="cuda")
    parser.add_argument("--python", default=sys.executable, help="the Python that has PyTorch")
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=20000)
    parser.add_argument("--hidden", type=int, default=150)
    parser.add_argument("--warm-up", type=int, default=11)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=300, help="seconds after which it stops with what it has")
    parser.add_argument("--json", type=pathlib.Path, required=True)
    settings = parser.parse_args()

    report, clock = Report(settings), Clock(settings.limit)
    try:
        measure(settings, report, clock)
    except OutOfTime:
        report.data["stopped"] = f"after {settings.limit:.0f} s"
    report.write()
    missing = [f"{name}: {one['missing']}" for name, one in report.data["contestants"].items() if "missing" in one]
    print("\n".join(missing))
    return 0 if report.data["contestants"].get("mezzo mixed", {}).get("runs") else 1


if __name__ == "__main__":
    sys.exit(main())
