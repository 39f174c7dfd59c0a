# SPDX-License-Identifier: MIT
"""Tests what `./build.sh gpu` computes: times of the parts, what it reads from logs, goals, pages; and the commands of its
sanitizer, with stand-ins for compute-sanitizer and the tests. Takes a few seconds.

    python3 eng/gpu_test.py
"""
import contextlib
import io
import os
import pathlib
import tempfile
import unittest
from unittest import mock

import gpu
import gpu_commands
import gpu_report


def report(**parts):
    return {"simulated": False, "date": "2026-01-02", "command": "./build.sh gpu", "parts": parts,
            "source": {"commit": "c0ffee", "changed": False},
            "machine": {"gpu": {"name": "NVIDIA H200"}, "toolkit": "13.0", "compiler": "c++",
                        "cpu": {"cpu": "CPU", "cpu_family": "6", "features": [], "cores": 16, "memory_gib": 128, "system": "Linux"}}}


def part(**found):
    return {"status": "passed", "seconds": 1, "finished": "now", **found}


def kernels(*cases):
    return part(kernels={"cublaslt": {"version": 130000}, "rounds": 9, "cases": list(cases)})


def product(name, **found):
    return {"group": "square", "name": name, "ours_us": 10, "tflops": 1.0, "kernel": "sm80", **found}


# A slice of the native tests: notes how it was called, and has two tests, of which it says what GoogleTest would.
TESTS = """#!/bin/sh
echo "$MEZZO_TEST_DEVICE slice $GTEST_SHARD_INDEX of $GTEST_TOTAL_SHARDS: $*" >>"$(dirname "$0")/tests.log"
printf '[ RUN      ] Relu.A\\n[       OK ] Relu.A (3 ms)\\n'
one="<testcase classname='Relu' name='A$GTEST_SHARD_INDEX' status='run'/>"
two="<testcase classname='Relu' name='B$GTEST_SHARD_INDEX' status='run'/>"
echo "<testsuites><testsuite>$one$two</testsuite></testsuites>" >"${2#--gtest_output=xml:}"
"""

# Notes how it was called and runs the program. A file named as the tool holds what it then finds, which shows in the output
# and in the exit status that was asked for.
COMPUTE_SANITIZER = """#!/bin/sh
here=$(dirname "$0") tool=$2 status=$6
echo "$*" >>"$here/sanitizer.log"
echo '========= COMPUTE-SANITIZER'
shift 6
"$@" || exit
[ -f "$here/$tool" ] || { echo '========= ERROR SUMMARY: 0 errors'; exit 0; }
cat "$here/$tool"
exit "$status"
"""


class Job(unittest.TestCase):
    """Parts as they run on a GPU, in a folder of the test's own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        with mock.patch.object(gpu, "Bundle"):
            self.job = gpu.Job(simulate=False, python="python3")
        self.job.work = self.job.build = self.folder


class Sanitizer(Job):
    """The part as it runs on a GPU. On the simulated device it runs the tests without the tool."""
    FOUND = {"memcheck": """========= Invalid __global__ write of size 4 bytes
=========     at relu_kernel(float *)+0x90 in relu.cu:20
=========     Address 0x7f is out of bounds
========= ERROR SUMMARY: 1 error
""", "racecheck": """========= Error: Race reported between Write access at 0x90 and Read access at 0xd0
=========
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""}

    def run_part(self, seconds=60, sanitizer=COMPUTE_SANITIZER, finds=()):
        for name, text in (("mezzo_native_tests", TESTS), ("compute-sanitizer", sanitizer)):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)
        for tool in finds:
            (self.folder / tool).write_text(self.FOUND[tool])
        with mock.patch.dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}"), contextlib.redirect_stdout(io.StringIO()):
            return self.job.run("sanitizer", seconds)

    def test_both_tools_run_every_slice_on_the_device(self):
        record = self.run_part()
        self.assertEqual((record["status"], record["tools"]),
                         ("passed", {tool: {"tests": 48, "slices": "24 of 24"} for tool in ("memcheck", "racecheck")}))
        arguments = f"--gtest_filter=-*OnCpu.* --gtest_output=xml:{self.folder}/results.xml"
        self.assertEqual((self.folder / "sanitizer.log").read_text().splitlines(), [
            f"--tool {tool} --report-api-errors no --error-exitcode 86 {self.folder}/mezzo_native_tests {arguments}"
            for tool in ("memcheck", "racecheck") for _ in range(24)])
        self.assertEqual((self.folder / "tests.log").read_text().splitlines(),
                         2 * [f"cuda:0 slice {index} of 24: {arguments}" for index in range(24)])

    def test_what_memcheck_finds_fails_the_part_though_the_tests_pass(self):
        record = self.run_part(finds=["memcheck"])
        self.assertEqual(record["status"], "failed")
        self.assertEqual(record["failures"], ["memcheck: the run broke off or its program failed, exit status 86",
                                              "memcheck: Invalid __global__ write of size 4 bytes", "memcheck: ERROR SUMMARY: 1 error"])

    def test_what_racecheck_finds_fails_the_part_though_the_tests_pass(self):
        record = self.run_part(finds=["racecheck"])
        self.assertEqual(record["status"], "failed")
        self.assertEqual(record["failures"], ["racecheck: the run broke off or its program failed, exit status 86",
                                              "racecheck: Error: Race reported between Write access at 0x90 and Read access at 0xd0"])

    def test_what_was_found_before_the_time_was_up_counts(self):
        record = self.run_part(seconds=5, sanitizer=COMPUTE_SANITIZER.replace('exit "$status"', "sleep 60"), finds=["memcheck", "racecheck"])
        self.assertEqual(record["status"], "failed")
        self.assertIn("memcheck: Invalid __global__ write of size 4 bytes", record["failures"])
        self.assertEqual(record["tools"]["memcheck"], {"tests": 1, "slices": "0 of 24 and a part"})

    def test_a_tool_that_crashes_is_no_pass(self):
        record = self.run_part(sanitizer="#!/bin/sh\necho '========= Error: out of memory'\nexit 1\n")
        self.assertEqual((record["status"], record["failures"][:2]),
                         ("failed", ["memcheck: exited with 1 after: nothing", "memcheck: Error: out of memory"]))

    def test_a_device_that_the_tool_does_not_support(self):
        record = self.run_part(sanitizer="#!/bin/sh\necho '========= Error: Device not supported'\nexit 1\n")
        self.assertEqual((record["status"], record["reason"]), ("not run", "compute-sanitizer does not support this device here"))

    def test_a_machine_without_the_tool(self):
        with mock.patch.object(gpu.shutil, "which", return_value=None):
            record = self.run_part()
        self.assertEqual((record["status"], record["reason"]), ("not run", "there is no compute-sanitizer on PATH"))


class MachineCode(Job):
    """What the part build says of the library's kernels, from the words of a stand-in for cuobjdump."""
    KERNEL = """arch = sm_90
 Function _Z4stepv:
  REG:40 STACK:{stack} SHARED:0 LOCAL:0 CONSTANT[0]:528 TEXTURE:0 SURFACE:0 SAMPLER:0
"""

    def setUp(self):
        super().setUp()
        self.job.library = self.folder / "libmezzo.so"
        self.job.library.write_text("")

    def read(self, cuobjdump):
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "cuobjdump").write_text(cuobjdump)
        (self.folder / "bin" / "cuobjdump").chmod(0o755)
        with mock.patch.dict(os.environ, PATH=f"{self.folder}/bin:{os.environ['PATH']}"):
            return self.job.read_kernels(gpu_commands.Commands(self.folder / "build.log", 60))

    def test_kernels_that_keep_all_in_registers(self):
        self.assertEqual(self.read(f"#!/bin/sh\ncat <<end\n{self.KERNEL.format(stack=0)}end\n"), {"machine_code": "no local memory"})

    def test_a_kernel_that_spills_fails_the_part(self):
        found = self.read(f"#!/bin/sh\ncat <<end\n{self.KERNEL.format(stack=16)}end\n")
        self.assertEqual(found["failures"], ["step for sm_90 takes 16 bytes of local memory per thread; nvcc -Xptxas=-v says how "
                                             "much of it is spilled registers"])

    def test_a_tool_that_fails_is_said(self):
        found = self.read("#!/bin/sh\nexit 3\n")
        self.assertEqual(list(found), ["machine_code"])
        self.assertIn("not read: ", found["machine_code"])
        self.assertIn("exit status 3", found["machine_code"])


class Limits(unittest.TestCase):
    def test_parts_that_take_all_they_may_still_leave_time_for_those_after_them(self):
        left, given = 585.0, []
        for index in range(len(gpu.PARTS)):
            given.append(gpu.limit(gpu.PARTS[index:], left))
            left -= given[-1]
        self.assertAlmostEqual(left, 0)
        self.assertGreater(min(given), 15)
        self.assertGreaterEqual(given[0], 240)

    def test_one_part_alone_gets_all(self):
        for name in gpu.PARTS:
            self.assertEqual(gpu.limit([name], 100), 100)


class Logs(unittest.TestCase):
    LOG = "[ RUN      ] A.B\n[       OK ] A.B (3 ms)\n[ RUN      ] C.D/0\n[  FAILED  ] C.D/0, where GetParam() = 2 (1 ms)\n[ RUN      ] E.F\n"

    def test_tests_that_ended_are_counted_where_the_run_broke_off(self):
        self.assertEqual(gpu_commands.finished_tests(self.LOG), [("passed", "A.B"), ("failed", "C.D/0")])
        self.assertEqual(gpu_commands.broke_off(self.LOG), "in E.F")

    def test_findings_of_the_sanitizer_are_its_errors_alone(self):
        self.assertEqual(gpu_commands.findings("========= COMPUTE-SANITIZER\n========= Invalid __global__ read of size 4\nx"),
                         ["Invalid __global__ read of size 4"])


class Goals(unittest.TestCase):
    def verdicts(self, **parts):
        return {goal["name"].split()[0]: goal["verdict"] for goal in gpu_report.goals(report(**parts))}

    def test_nothing_measured_is_nothing_claimed(self):
        self.assertEqual(set(self.verdicts().values()), {"not measured"})

    def test_a_product_counts_unless_it_is_wrong_or_without_a_peer(self):
        name = "nt 4096 f16"
        for found, verdict in (({"speed": 0.8, "relative_difference": 1e-4}, "met"),
                               ({"speed": 0.7, "relative_difference": 1e-4}, "missed"),
                               ({"speed": 2.0, "relative_difference": 0.5}, "not measured"),
                               ({"speed": 2.0, "relative_difference": None}, "not measured"),
                               ({"peer_error": "cublasLtMatmul answered 7"}, "not measured"),
                               ({"error": "an illegal memory access"}, "not measured")):
            self.assertEqual(self.verdicts(**{"bench-kernels": kernels(product(name, **found))})["matrix"], verdict, found)

    def test_a_network_that_has_not_learnt_has_no_time(self):
        for loss, verdict in ((0.01, "met"), (0.9, "not measured")):
            contestants = {"mezzo mixed": {"seconds": 1.0, "smallest_loss": loss}, "mezzo fp32": {"seconds": 2.0, "smallest_loss": 0.01}}
            self.assertEqual(self.verdicts(**{"bench-training": part(training={"contestants": contestants})})["mixed"], verdict)

    def test_the_peers_that_goals_name_are_there(self):
        peers = (gpu.ROOT / "benchmarks" / "cuda" / "torch_peer.py").read_text()
        for name in (*gpu_report.EAGER, *gpu_report.GRAPHS):
            self.assertIn(f'"{name.removeprefix("PyTorch ")}": (lambda', peers)

    def test_a_simulated_device_meets_no_goal(self):
        simulated = report(build=part(compile_seconds=1, fresh=True)) | {"simulated": True}
        self.assertEqual({goal["verdict"] for goal in gpu_report.goals(simulated)}, {"simulated"})


class Page(unittest.TestCase):
    def test_every_kind_of_trouble_has_its_line(self):
        troubled = report(**{
            "build": part(status="failed", reason="RuntimeError: ninja exited with 1: x.cu(1): error: no\nlog"),
            "native": part(status="failed", suites={"cuda:0": {"failed": 1}}, failures=["cuda:0: A.B"]),
            "sanitizer": {"status": "not run", "reason": "there is no compute-sanitizer on PATH", "seconds": 0, "finished": "now"},
            "bench-kernels": kernels(product("nt 4096 f16", peer_us=1, peer_tflops=2.0, speed=None, relative_difference=None),
                                     {"group": "square", "name": "nn 64 f16", "error": "a | b"},
                                     product("tn 64 f16", peer_error="cublasLtMatmul answered 7")),
            "bench-training": part(training={"settings": {"epochs": 1000, "samples": 20000, "hidden": 150}, "rounds": 0, "torch": {},
                                             "stopped": "after 5 s", "contestants": {"mezzo mixed": {"runs": [], "missing": "no | GPU"}}}),
        })
        troubled["goals"] = gpu_report.goals(troubled)
        page = gpu_report.markdown(troubled)
        for line in ("error: no", "cuda:0: A.B", "no compute-sanitizer", "not finite", "a / b", "answered 7", "no / GPU", "stopped after 5 s"):
            self.assertIn(line, page)
        self.assertNotIn("SIMULATED", page)
        troubled["simulated"] = True
        self.assertTrue(gpu_report.markdown(troubled).startswith("# SIMULATED"))
        self.assertIn("Nothing here was measured on a GPU", gpu_report.markdown(troubled))


if __name__ == "__main__":
    unittest.main()
