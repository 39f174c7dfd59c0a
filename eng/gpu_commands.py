# SPDX-License-Identifier: MIT
"""Runs the commands of a part of `./build.sh gpu`, and reads from what they print how they ended."""
import contextlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

from gpu_machine import ROOT


class Stopped(Exception):
    """A command that its limit of time has ended."""


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
        """The first line of the last command's output that tells of an error, else its last line."""
        lines = [line.strip() for line in self.last().splitlines() if line.strip()] or [""]
        told = re.compile(r"\b(error|fatal)( #[\w-]+)?:|^CMake Error|undefined reference", re.IGNORECASE)
        first = next((index for index, line in enumerate(lines) if told.search(line)), len(lines) - 1)
        # CMake says where in one line, and what in the next.
        return " ".join(lines[first:first + (2 if lines[first].startswith("CMake Error") else 1)])


def ending(status):
    """How a program ended, in words."""
    if status >= 0:
        return f"exited with {status}"
    return f"was killed by {signal.Signals(-status).name}"


def finished_tests(text):
    """(outcome, name) of the tests that are said to be over, by GoogleTest or in its manner: all there is of a run that
    did not end well."""
    outcomes = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
    return [(outcomes[mark], name) for mark, name in
            re.findall(r"^\[ +(OK|FAILED|SKIPPED) +\] (.+?)(?:, where .*)? \(\d+ ms\)$", text, re.MULTILINE)]


def broke_off(text):
    """Where a run broke off: the last test that it has begun, else the last line."""
    begun = re.findall(r"^\[ RUN +\] (.+)", text, re.MULTILINE)
    said = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("stopped after", "=========", "Note:"))]
    return f"in {begun[-1]}" if begun else f"after: {(said or ['nothing'])[-1]}"


def findings(text):
    """What compute-sanitizer has found, its first lines."""
    return [line.removeprefix("=========").strip() for line in text.splitlines()
            if "ERROR SUMMARY: 0 " not in line and re.match(r"========= (Invalid|Error|Program hit|Race|Misaligned|ERROR|WARN)", line)][:5]
