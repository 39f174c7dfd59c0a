# SPDX-License-Identifier: MIT
"""Measures what mixed precision adds to a step: checking, measuring, clipping and stepping the gradients of a large
model, against this machine's copy bandwidth and PyTorch, and a scaler's share of a step of the sin/cos study.

All contestants take turns in one process, so that a change in the machine's mood meets all of them; the medians over
the rounds are compared. Called by `./build.sh bench amp`, which builds what is measured. Writes
benchmarks/results/amp-DATE.json and .md, and prints the latter.
"""
import argparse
import ctypes
import datetime
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "sincos"))
import bench as sincos  # noqa: E402  its tables and runs
import breakdown as native  # noqa: E402  the native library
import machine  # noqa: E402

THREADS = os.cpu_count() or 1
TENSORS, ELEMENTS = 50, 1_000_000
MAX_NORM = 1.0
GRAD, ADAM = 4, 28  # bytes an f32 element: one read of the gradient; one step with moments
COPY_GOAL, SCALER_GOAL = 0.70, 0.02
SINCOS_SHAPES = [(150, 1), (150,), *[(150, 150), (150,)] * 4, (1, 150), (1,), (1, 150), (1,)]


class UnscaleDesc(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("check_only", ctypes.c_int32), ("only_if_found", ctypes.c_int32),
                ("reserved", ctypes.c_uint32), ("grad_norm", native.Handle), ("grad_norms", native.Handle),
                ("grad_stats", native.Handle), ("grad_summary", native.Handle)]


class AdamDesc(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("lr", ctypes.c_double),
                ("beta1", ctypes.c_double), ("beta2", ctypes.c_double), ("eps", ctypes.c_double),
                ("weight_decay", ctypes.c_double), ("decay", ctypes.c_int32), ("bias_correction", ctypes.c_int32),
                ("eps_inside_sqrt", ctypes.c_int32), ("reserved2", ctypes.c_uint32)]


DECAY_OF_PARAMETER = 1
ADAMW = AdamDesc(struct_size=ctypes.sizeof(AdamDesc), lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01,
                 decay=DECAY_OF_PARAMETER)


class Step:
    """A scaled step of AdamW on f32 parameters: its parts, and all of it."""

    def __init__(self, library, shapes):
        self._library, self._count = library, len(shapes)
        lists = [[library.tensor(native.F32, *shape) for shape in shapes] for _ in range(4)]
        self._params, self._exp_avgs, self._exp_avg_sqs, self._grads = map(library.handles, lists)
        self._found, self._scale, self._loss = (library.tensor(native.F32) for _ in range(3))
        self._tracker = library.tensor(native.I32)
        self._norm, self._summary = library.tensor(native.F64), library.tensor(native.I64, 5)
        self._loss_found = library.tensor(native.F32)
        for scalar, value in ((self._scale, 1024), (self._tracker, 0), (self._loss, 0.5), (self._loss_found, 0)):
            self._fill(scalar, value)
        for moment in self._exp_avg_sqs:
            self._fill(moment, 0.01)
        self._inputs = native.StepInputs(struct_size=ctypes.sizeof(native.StepInputs), step=library.tensor(native.I64),
                                         grad_scale=self._scale, found_inf=self._found)

    def _fill(self, tensor, value):
        self._library.call("mezzo_fill", tensor, ctypes.c_double(value))

    def _unscale(self, found, grads, count, **variant):
        desc = UnscaleDesc(struct_size=ctypes.sizeof(UnscaleDesc), check_only=1, **variant)
        self._library.call("mezzo_unscale", found, grads, count, self._scale, ctypes.byref(desc))

    def check(self):
        self._fill(self._found, 0)
        self._unscale(self._found, self._grads, self._count)

    def measure(self):
        self._fill(self._found, 0)
        self._unscale(self._found, self._grads, self._count, grad_norm=self._norm, grad_summary=self._summary)

    def step(self, max_norm=0.0):
        self._inputs.max_grad_norm = max_norm
        self._inputs.grad_norm = self._norm if max_norm > 0 else native.NULL
        self._library.call("mezzo_adam_step", self._params, self._exp_avgs, self._exp_avg_sqs, None, self._grads,
                           self._count, ctypes.byref(self._inputs), ctypes.byref(ADAMW))

    def update(self):
        self._library.call("mezzo_scale_update", self._scale, self._tracker, native.NULL, native.NULL, self._loss_found,
                           ctypes.byref(self._found), ctypes.byref(self._summary), 1, None)

    def clipped_step(self):
        self.measure()
        self.step(MAX_NORM)
        self.update()

    def scaler(self):
        """What a scaler adds to a step: the loss looked at, the gradients checked and, had they Inf, looked into, the update."""
        self._unscale(self._loss_found, ctypes.byref(self._loss), 1)
        self.check()
        self._unscale(self._found, self._grads, self._count, only_if_found=1, grad_summary=self._summary)
        self.update()


class TorchStep:
    """The same in PyTorch, as a program has to write it on a CPU, where it has no GradScaler."""

    def __init__(self, torch):
        self._torch = torch
        self._params = [torch.nn.Parameter(torch.rand(ELEMENTS) - 0.5) for _ in range(TENSORS)]
        self._adam = torch.optim.AdamW(self._params, foreach=True)
        for param in self._params:
            param.grad = torch.rand(ELEMENTS) - 0.5

    def clipped_step(self):
        torch = self._torch
        grads = [param.grad for param in self._params]
        if all(bool(torch.isfinite(grad).all()) for grad in grads):
            torch._foreach_mul_(grads, 1.0)  # 1 / scale: the same work for any
            torch.nn.utils.clip_grad_norm_(self._params, MAX_NORM)
            self._adam.step()


def milliseconds(part):
    start = time.perf_counter()
    part()
    return 1e3 * (time.perf_counter() - start)


def measure_large(library, repeats):
    import torch
    torch.set_num_threads(THREADS)
    source, target = torch.rand(TENSORS * ELEMENTS), torch.empty(TENSORS * ELEMENTS)
    step, peer = Step(library, [(ELEMENTS,)] * TENSORS), TorchStep(torch)
    parts = {"copy": lambda: target.copy_(source), "Mezzo check": step.check, "Mezzo check and norm": step.measure,
             "Mezzo step": step.step, "Mezzo check, norm, clip, step, update": step.clipped_step,
             "PyTorch check, unscale, clip, step": peer.clipped_step}
    times = {name: [] for name in parts}
    for repeat in range(repeats + 1):
        for name, part in parts.items():
            elapsed = milliseconds(part)
            if repeat > 0:  # the first warms up
                times[name].append(elapsed)
    return torch.__version__, {name: statistics.median(values) for name, values in times.items()}


def measure_scaler(library, settings):
    """Milliseconds of a scaler's part of a step of the study, and of an epoch of it in bf16."""
    step = Step(library, SINCOS_SHAPES)
    alone = []
    for _ in range(2000):
        alone.append(milliseconds(step.scaler))
    run = sincos.mezzo("bf16", argparse.Namespace(epochs=settings.epochs, threads=THREADS))
    return statistics.median(alone), run


def report_of(settings):
    library = native.Library(ROOT / "build" / "release" / "libmezzo.so", THREADS)
    scaler, epoch = measure_scaler(library, settings)
    version, medians = measure_large(library, settings.repeats)
    total = TENSORS * ELEMENTS
    moved = {"copy": 2 * GRAD, "Mezzo check": GRAD, "Mezzo check and norm": GRAD, "Mezzo step": ADAM,
             "Mezzo check, norm, clip, step, update": GRAD + ADAM}
    rates = {name: 1e-6 * total * size / medians[name] for name, size in moved.items()}
    return {"benchmark": "amp", "date": datetime.date.today().isoformat(), "machine": machine.facts(),
            "command": "./build.sh bench amp", "torch": version, "threads": THREADS, "repeats": settings.repeats,
            "median_ms": medians, "gb_per_second": rates,
            "share_of_copy": rates["Mezzo check, norm, clip, step, update"] / rates["copy"],
            "times_as_fast_as_pytorch": medians["PyTorch check, unscale, clip, step"]
            / medians["Mezzo check, norm, clip, step, update"],
            "scaler_ms": scaler, "epoch_ms": epoch, "scaler_share": scaler / epoch}


def verdict(is_met):
    return "met" if is_met else "**not met**"


def markdown(report):
    rates = report["gb_per_second"]
    rows = [[name, f"{median:.1f}", f"{rates[name]:.1f}" if name in rates else "",
             f"{100 * rates[name] / rates['copy']:.0f}%" if name in rates else ""]
            for name, median in report["median_ms"].items()]
    return f"""# Mixed precision, {report['date']}

{machine.describe(report['machine'])}. {report['threads']} threads, PyTorch {report['torch']}, rounds interleaved: \
{report['repeats']}.

Repeat with `{report['command']}`.

{TENSORS} parameters of {ELEMENTS:,} elements in f32, with gradients and two moments. Bytes are those that the work has to
move: 4 an element to check and measure a gradient, 28 to step.

{sincos.table(['work', 'median ms', 'GB/s', 'of copy'], rows)}

| measured | | goal | verdict |
| --- | ---: | ---: | ---: |
| check, norm, clip, step and update, of copy bandwidth | {100 * report['share_of_copy']:.0f}% | {100 * COPY_GOAL:.0f}% | \
{verdict(report['share_of_copy'] >= COPY_GOAL)} |
| the same, times as fast as PyTorch | {report['times_as_fast_as_pytorch']:.2f}x | | |
| a scaler's native calls, of an epoch of the sin/cos study in bf16 ({report['scaler_ms'] * 1e3:.0f} us of \
{report['epoch_ms']:.2f} ms) | {100 * report['scaler_share']:.2f}% | {100 * SCALER_GOAL:.0f}% | \
{verdict(report['scaler_share'] <= SCALER_GOAL)} |
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="rounds")
    parser.add_argument("--epochs", type=int, default=200, help="epochs of the sin/cos study")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "benchmarks" / "results")
    settings = parser.parse_args()
    report = report_of(settings)
    sincos.write(settings.results, "amp", report, markdown(report))


if __name__ == "__main__":
    main()
