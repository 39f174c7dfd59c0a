# SPDX-License-Identifier: MIT
"""PyTorch's side of `bench checkpoint`: a chain of linear layers with ReLU, checkpointed in segments.

Prints a JSON line that says what there is to measure, then answers each line of its input with another: `step I` runs
a step at point I and says its seconds, `resident I` one and says by how many bytes the process grew in it.

PyTorch counts no bytes on the CPU. Its profiler, though, is told of every block that its allocator gives and takes back,
with the sum of those that are out: the largest of these sums is the peak, exactly, and without what ops and
libraries hold besides tensors. Steps that are timed run without the profiler.
"""
import argparse
import json
import pathlib
import sys
import time

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "sincos"))
import resident  # noqa: E402
import torch_sincos  # noqa: E402  which BLAS there is


class Step:
    """One forward and backward pass, from cleared gradients; there is no optimizer."""

    def __init__(self, arguments):
        self._layers = [self._layer(arguments.width) for _ in range(arguments.layers)]
        self._parameters = [parameter for layer in self._layers for parameter in layer.parameters()]
        self._input, self._target = (torch.rand(arguments.rows, arguments.width) for _ in range(2))
        self._is_mixed = arguments.precision == "bf16"

    @staticmethod
    def _layer(width):
        # In place, which saves PyTorch a tensor of each layer.
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True))

    @property
    def live_bytes(self):
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self._parameters, self._input, self._target))

    @property
    def gradient_bytes(self):
        return sum(parameter.numel() * parameter.element_size() for parameter in self._parameters)

    def run(self, segments):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._is_mixed):
            prediction = in_segments(self._layers, segments, self._input)
            # Reduced by itself: mse_loss's own mean leaves a scalar that holds memory of the prediction's size, 1.13.
            loss = nn.functional.mse_loss(prediction.float(), self._target, reduction="none").mean()
        del prediction
        loss.backward()

    def clear(self):
        for parameter in self._parameters:
            parameter.grad = None


def run_of(layers):
    def run(flowing):
        for layer in layers:
            flowing = layer(flowing)
        return flowing
    return run


def in_segments(layers, count, flowing):
    """`checkpoint_sequential(layers, count, flowing, use_reentrant=False)`: PyTorch 1.13 has it without that argument, and
    then the first segment is not trained. Dropout there is none, so that no random state needs to be kept."""
    size = len(layers) // count
    start = size * (count - 1)
    for first in range(0, start, size):
        flowing = checkpoint(run_of(layers[first:first + size]), flowing, use_reentrant=False, preserve_rng_state=False)
    return run_of(layers[start:])(flowing)


def allocations(profile):
    """What the profiler was told of the allocator, in order."""
    def walk(events):
        for event in events:
            if "Allocation" in str(event.tag):
                yield event
            yield from walk(event.children)
    found = sorted(walk(profile.profiler.kineto_results.experimental_event_tree()), key=lambda event: event.start_time_ns)
    return [event.extra_fields for event in found]


def peak_growth(step, segments):
    """Most bytes of blocks that were out at any time of a step, without those from before it."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        step.run(segments)
    blocks = allocations(profile)
    if not blocks:
        sys.exit("PyTorch's profiler says nothing of the allocator")
    before = blocks[0].total_allocated - blocks[0].alloc_size
    replayed = sum(block.alloc_size for block in blocks)
    if before + replayed != blocks[-1].total_allocated:
        sys.exit(f"PyTorch's profiler has lost allocations: they sum up to {before + replayed}, "
                 f"its allocator says {blocks[-1].total_allocated}")
    step.clear()
    return max(block.total_allocated for block in blocks) - before


def serve(step, points):
    for line in sys.stdin:
        what, index = line.split()
        segments = points[int(index)]
        if what == "step":
            start = time.perf_counter()
            step.run(segments)
            answer = {"seconds": time.perf_counter() - start}
        else:
            answer = {"bytes": resident.growth(lambda: step.run(segments))}
        step.clear()
        print(json.dumps(answer), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layers", type=int)
    parser.add_argument("width", type=int)
    parser.add_argument("rows", type=int)
    parser.add_argument("precision", choices=["fp32", "bf16"])
    parser.add_argument("threads", type=int)
    parser.add_argument("segments", type=int, nargs="*", help="numbers of segments, besides 1, which is without checkpointing")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    blas = torch_sincos.loaded_blas()
    if blas.startswith("libblas"):
        sys.exit(f"PyTorch runs on the reference BLAS ({blas}), expected OpenBLAS: install libopenblas0-pthread")
    step = Step(arguments)
    points = [1, *arguments.segments]
    step.run(1)  # warms up
    step.clear()
    print(json.dumps({
        "version": f"{torch.__version__} with {blas or 'its own BLAS'}",
        "live_bytes": step.live_bytes,
        "gradient_bytes": step.gradient_bytes,
        "points": [{"name": "none" if segments == 1 else f"{segments} segments",
                    "peak_bytes": step.live_bytes + peak_growth(step, segments)} for segments in points]}), flush=True)
    serve(step, points)


if __name__ == "__main__":
    main()
