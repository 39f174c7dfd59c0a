# SPDX-License-Identifier: MIT
"""Tests what `./build.sh gpu` computes: times of the parts, what it reads from logs, goals, pages. Takes a second.

    python3 eng/gpu_test.py
"""
import unittest

import gpu
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
        self.assertEqual(gpu.finished_tests(self.LOG), [("passed", "A.B"), ("failed", "C.D/0")])
        self.assertEqual(gpu.broke_off(self.LOG), "in E.F")

    def test_findings_of_the_sanitizer_are_its_errors_alone(self):
        self.assertEqual(gpu.findings("========= COMPUTE-SANITIZER\n========= Invalid __global__ read of size 4\nx"),
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
