# SPDX-License-Identifier: MIT
"""Adds up the results of test suites and prints `N passed, N failed, N skipped` as its last line.

Usage: tally.py FILE=STATUS...
FILE holds a suite's results: GoogleTest's or CTest's XML, dotnet test's .trx, or .cases with lines
`passed|failed|skipped NAME`. STATUS is what the suite's program exited with. A suite without results counts as
one failure, and so does one whose tests all passed though the program or the run failed.
Exits with 1 when anything failed.
"""
import pathlib
import sys
import xml.etree.ElementTree as xml
from collections import Counter


def outcome_of_junit(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        return "skipped"
    return "passed"


def outcome_of_trx(result):
    return {"Passed": "passed", "NotExecuted": "skipped"}.get(result.get("outcome"), "failed")


def read_trx(root):
    named = lambda name: (e for e in root.iter() if e.tag.endswith("}" + name))
    results = [(outcome_of_trx(e), e.get("testName")) for e in named("UnitTestResult")]
    return results, any(e.get("outcome") != "Completed" for e in named("ResultSummary"))


def read(path):
    """(outcome, name) of every test in the file, and whether the file says that the run itself broke off."""
    if path.suffix == ".cases":
        return [tuple(line.split(" ", 1)) for line in path.read_text().splitlines()], False
    root = xml.parse(path).getroot()
    if path.suffix == ".trx":
        return read_trx(root)
    return [(outcome_of_junit(e), f"{e.get('classname')}.{e.get('name')}") for e in root.iter("testcase")], False


def results_of(path, status):
    try:
        results, broken = read(path)
    except (OSError, xml.ParseError) as error:
        return [("failed", f"no result: {error}")]
    if not results:
        return [("failed", "no result: the file names no test")]
    if (broken or status != 0) and not any(outcome == "failed" for outcome, _ in results):
        results.append(("failed", f"the run broke off or its program failed, exit status {status}"))
    return results


def summary(count):
    return f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped"


def main(arguments):
    total = Counter()
    for argument in arguments:
        file, status = argument.rsplit("=", 1)
        results = results_of(pathlib.Path(file), int(status))
        count = Counter(outcome for outcome, _ in results)
        total += count
        print(f"{pathlib.Path(file).stem:<17}{summary(count)}")
        for outcome, name in results:
            if outcome == "failed":
                print(f"  failed: {name}")
    print(summary(total))
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
