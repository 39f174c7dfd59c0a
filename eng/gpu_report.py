# SPDX-License-Identifier: MIT
"""The report of `./build.sh gpu`: what its figures are held to, and the page that shows them."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "benchmarks", "sincos"))
import bench  # noqa: E402  its tables
import machine  # noqa: E402

EAGER = ("PyTorch eager AMP", "PyTorch eager AMP, fused Adam", "PyTorch eager AMP, fused Adam, losses read at the end")
GRAPHS = ("PyTorch whole step in a CUDA graph, AMP", "PyTorch compiled, reduce-overhead, AMP",
          "PyTorch compiled, whole step in a CUDA graph, AMP")
# Two right products differ by what their results are rounded to.
MOST_DIFFERENCE = 1e-2
# Below this the study has learnt nothing, and its time says nothing.
MOST_LOSS = 0.1


def sound(case):
    """Whether its speed counts. What is not finite is null."""
    difference = case.get("relative_difference", 0)
    return case.get("speed") is not None and difference is not None and difference <= MOST_DIFFERENCE


def cases(report, group, wanted=lambda case: True):
    kernels = report["parts"].get("bench-kernels", {}).get("kernels", {})
    return [case for case in kernels.get("cases", []) if case["group"] == group and wanted(case)]


def lowest_speed(found):
    """The smallest speed against the peer, None unless every case has one that counts."""
    return min(case["speed"] for case in found) if found and all(sound(case) for case in found) else None


def seconds_of(report, *names):
    """The fastest of the contestants that are there and have learnt."""
    contestants = report["parts"].get("bench-training", {}).get("training", {}).get("contestants", {})
    times = [contestants[name]["seconds"] for name in names
             if contestants.get(name, {}).get("seconds", 0) > 0 and contestants[name].get("smallest_loss", 1) < MOST_LOSS]
    return min(times, default=None)


def ratio(slow, fast):
    return slow / fast if slow is not None and fast is not None else None


def goals(report):
    """What each figure is held to on an H200. `value` is None where it was not measured."""
    def in_layouts_at_4096(case):
        return case["name"].split()[1] == "4096" and case["name"].split()[2] in ("f16", "bf16")

    epilogues = [case for case in cases(report, "epilogue") if int(case["name"].split()[1].split("x")[-1]) >= 1024]
    slowdown = lowest_speed(epilogues)
    mixed = seconds_of(report, "mezzo mixed")
    built = report["parts"].get("build", {})
    measured = (
        ("library, native tests and benchmarks built from nothing",
         built.get("compile_seconds") if built.get("fresh") else None, 240, "{:.0f} s", False),
        ("matrix products at 4096^3, the slowest of nt, nn and tn in f16 and bf16, of cuBLASLt's best",
         lowest_speed(cases(report, "square", in_layouts_at_4096)), 0.75, "{:.1%}", True),
        ("bias and ReLU in a product with K >= 1024, slower than the plain product by",
         None if slowdown is None else 1 / slowdown - 1, 0.02, "{:.1%}", False),
        ("Adam with unscaling, of the bandwidth of a copy",
         lowest_speed(cases(report, "adam", lambda case: case["name"].startswith("unscale"))), 0.90, "{:.1%}", True),
        ("1,000 mixed epochs of the sin/cos study, times as fast as PyTorch's fastest eager AMP",
         ratio(seconds_of(report, *EAGER), mixed), 10, "{:.2f}x", True),
        ("the same, times as fast as PyTorch's fastest with CUDA graphs, compiled or not",
         ratio(seconds_of(report, *GRAPHS), mixed), 2, "{:.2f}x", True),
        ("mixed epochs, times as fast as our own fp32",
         ratio(seconds_of(report, "mezzo fp32"), mixed), 1.46, "{:.2f}x", True),
    )
    return [{"name": name, "value": value, "goal": goal, "shown": None if value is None else form.format(value),
             "goal_shown": ("at least " if up else "at most ") + form.format(goal),
             "verdict": "simulated" if report["simulated"] else verdict(value, goal, up)}
            for name, value, goal, form, up in measured]


def verdict(value, goal, up):
    if value is None:
        return "not measured"
    return "met" if (value >= goal if up else value <= goal) else "missed"


def counts(record):
    """What a part has counted, in a few words."""
    if "suites" in record:
        return "; ".join(f"{device}: {count.get('passed', 0)} passed, {count.get('failed', 0)} failed, "
                         f"{count.get('skipped', 0)} skipped" for device, count in record["suites"].items())
    if "tools" in record:
        return "; ".join(f"{tool}: {one['tests']} tests, slices {one['slices']}" for tool, one in record["tools"].items())
    if "compile_seconds" in record:
        return f"compiled in {record['compile_seconds']:.0f} s, library of {record['library_bytes'] / 1e6:.1f} MB" + (
            f"; machine code: {record['machine_code']}" if "machine_code" in record else "")
    if "kernels" in record:
        return f"{len(record['kernels']['cases'])} cases"
    if "training" in record:
        training = record["training"]
        return f"{training['rounds']} rounds" + (f", stopped {training['stopped']}" if "stopped" in training else "")
    return ""


def summary(part, record):
    text = f"{part}: {record['status']} in {record['seconds']:.0f} s"
    if counts(record):
        text += f", {counts(record)}"
    details = record.get("failures", [])[:20] or ([record["reason"]] if "reason" in record else [])
    return "\n".join([text, *(f"  {line}" for detail in details for line in detail.splitlines())])


def times(case, name, unit=1.0):
    key = f"{name}_us"
    return f"{case[key] / unit:.1f}" if key in case else ""


def kernel_tables(kernels):
    """One table for products, one for what moves bytes."""
    products, bytes_ = [], []
    for case in kernels["cases"]:
        if "error" in case:
            products.append([case["group"], case["name"], "", "", "", "", case["error"].replace("|", "/")])
            continue
        speed = f"{case['speed']:.1%}" if sound(case) else "**wrong**" if "speed" in case else ""
        if "bytes" in case:
            bytes_.append([case["group"], case["name"], times(case, "ours"), f"{case['gb_per_s']:.0f}",
                           f"{case['peer_gb_per_s']:.0f}", speed])
        else:
            difference = case.get("relative_difference", "")
            difference = "not finite" if difference is None else f"{difference:.1e}" if difference != "" else ""
            products.append([case["group"], case["name"], times(case, "ours"), f"{case['tflops']:.3g}",
                             times(case, "peer"), f"{case['peer_tflops']:.3g}" if "peer_tflops" in case else "", speed,
                             difference, case.get("peer_error", case.get("kernel", case.get("peer", ""))).replace("|", "/")])
    parts = []
    missing = kernels["cublaslt"].get("missing")
    if missing:
        parts.append(f"Without cuBLASLt, and so without a comparison: {missing}.")
    else:
        parts.append(f"cuBLASLt {kernels['cublaslt']['version']}: the fastest of what its heuristics propose, at most 16. "
                     f"Medians of {kernels['rounds']} rounds in turns, random inputs, buffers in rotation.")
    width = 9
    parts.append(bench.table(["group", "product, m x n x k", "us", "TFLOP/s", "peer, us", "peer, TFLOP/s", "speed of peer's",
                              "difference", "kernel or peer"], [row + [""] * (width - len(row)) for row in products]))
    parts.append(bench.table(["op", "case", "us", "GB/s", "copy, GB/s", "of the copy"], bytes_))
    return "\n\n".join(parts)


def training_table(training):
    epochs = training["settings"]["epochs"]
    base = training["contestants"].get("mezzo mixed", {}).get("seconds")
    rows = []
    for name, one in training["contestants"].items():
        if "seconds" not in one:
            rows.append([name, "", "", "", "", one.get("missing", "").replace("|", "/")])
            continue
        low, high = one["seconds_span"]
        rows.append([name, f"{1e3 * one['seconds'] / epochs:.4f}", f"{one['seconds']:.4f}", f"{low:.4f} to {high:.4f}",
                     f"{one['seconds'] / base:.2f}" if base and base > 0 else "",
                     ("captured, " if one["runs"][0].get("captured") else "") + f"smallest loss {one.get('smallest_loss', float('nan')):.1e}"
                     + (f"; {one['cold_seconds']:.3f} s from a cold start" if "cold_seconds" in one else "")
                     + (f"; then: {one['missing']}".replace("|", "/") if "missing" in one else "")])
    torch = training["torch"]
    intro = (f"{training['settings']['samples']} samples, width {training['settings']['hidden']}, full batch, {epochs} epochs; "
             f"rounds in turns: {training['rounds']}; PyTorch {torch.get('version') or 'missing: ' + torch.get('missing', 'not reached')}. "
             "Times are of epochs after the first ones: what happens once, such as compiling and capturing, is left out.")
    return intro + "\n\n" + bench.table(["contestant", "median ms per epoch", f"s for {epochs} epochs", "span", "times mezzo's", ""], rows)


def markdown(report):
    found, source = report["machine"], report["source"]
    gpu = found["gpu"]
    details = ", ".join(f"{name.replace('_', ' ').replace('.', ' ')} {value}" for name, value in gpu.items() if name != "name")
    title = f"# GPU: {gpu['name']}, {report['date']}"
    warning = []
    if report["simulated"]:
        title = f"# SIMULATED, {report['date']}: no GPU was at hand"
        warning = ["**Nothing here was measured on a GPU.** A simulated device stood in for it, with tiny sizes, to try the "
                   "program that measures. No figure on this page means anything."]
    state = f"commit {source['commit'] or 'unknown'}" + (", with changes that are not committed" if source["changed"] else "")
    lines = [
        title, *warning,
        f"{gpu['name']} ({details or 'no details'}); CUDA toolkit {found['toolkit'] or 'missing'}, {found['compiler'] or 'no C++ compiler'}; "
        f"{machine.describe(found['cpu'])}; {state}." + (f" {source['differs']}." if "differs" in source else ""),
        f"Repeat with `{report['command']}`, see [docs/gpu.md](../../docs/gpu.md). Goals are set for an H200.",
        "## Goals",
        bench.table(["figure", "measured", "goal", "verdict"],
                    [[goal["name"], goal["shown"] or "", goal["goal_shown"],
                      f"**{goal['verdict']}**" if goal["verdict"] == "missed" else goal["verdict"]] for goal in report["goals"]]),
        "## Parts",
        bench.table(["part", "status", "s", "what it counted", "ended"],
                    [[part, record["status"], f"{record['seconds']:.0f}", counts(record), record["finished"]]
                     for part, record in report["parts"].items()]),
    ]
    trouble = [f"- {part}: {line}" for part, record in report["parts"].items()
               for line in [*record.get("failures", [])[:20], *([record["reason"].splitlines()[0]] if "reason" in record else [])]]
    if trouble:
        lines += ["\n".join(trouble)]
    parts = report["parts"]
    if "kernels" in parts.get("bench-kernels", {}):
        lines += ["## Kernels", kernel_tables(parts["bench-kernels"]["kernels"])]
    if "training" in parts.get("bench-training", {}):
        lines += ["## Training", training_table(parts["bench-training"]["training"])]
    return "\n\n".join(lines) + "\n"
