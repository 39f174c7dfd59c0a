# SPDX-License-Identifier: MIT
"""Adds up the results of test suites and prints `N passed, N failed, N skipped` as its last line.

Usage: tally.py FILE=STATUS...
FILE holds a suite's results: GoogleTest's, CTest's or NUnit's XML, dotnet test's .trx, or .cases with lines
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


def outcome_of_nunit(case):
    return {"Passed": "passed", "Warning": "passed", "Skipped": "skipped"}.get(case.get("result"), "failed")


def read_nunit(root):
    """A failure of a suite itself, of its set-up say, counts as one more test."""
    results = [(outcome_of_nunit(e), e.get("fullname")) for e in root.iter("test-case")]
    results += [("failed", e.get("fullname")) for e in root.iter("test-suite")
                if e.get("result") == "Failed" and e.get("site") in ("SetUp", "TearDown", "Test")]
    return results, root.get("result") == "Failed"


def read(path):
    """(outcome, name) of every test in the file, and whether the file says that the run itself broke off."""
    if path.suffix == ".cases":
        return [tuple(line.split(" ", 1)) for line in path.read_text().splitlines()], False
    root = xml.parse(path).getroot()
    if path.suffix == ".trx":
        return read_trx(root)
    if root.tag == "test-run":
        return read_nunit(root)
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


def count(results):
    """How many of each outcome, and the names of those that failed."""
    return Counter(outcome for outcome, _ in results), [name for outcome, name in results if outcome == "failed"]


def summary(count):
    return f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped"


def main(arguments):
    total = Counter()
    for argument in arguments:
        file, status = argument.rsplit("=", 1)
        counted, failed = count(results_of(pathlib.Path(file), int(status)))
        total += counted
        print(f"{pathlib.Path(file).stem:<22}{summary(counted)}")
        for name in failed:
            print(f"  failed: {name}")
    print(summary(total))
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
