# SPDX-License-Identifier: MIT
"""The sin/cos study in PyTorch on a GPU, in each of the ways that make it fast: the peers of `mezzo train sincos`.

Stays up, so that its runs can take turns with others'. It reads requests from its input, one JSON object a line, and
answers each with one JSON line:
    {"prepare": NAME}               {"seconds": of the preparation} or {"missing": reason}
    {"run": NAME, "epochs": N}      {"seconds": ..., "smallest_loss": ..., "last_loss": ...}
A run trains from the same initial parameters again; whatever happens only once, such as compiling and capturing,
belongs to the preparation. Without a GPU the eager ways run on the CPU, which proves this program and measures nothing.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import sys
import time

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "sincos"))
import torch_sincos  # noqa: E402  the network and its data

LR = 0.01
MOST_EPOCHS = 1 << 20


class Study:
    """Network, data, optimizer and scaler of one way to train."""

    def __init__(self, settings, mixed, fused):
        self.device = torch.device(settings.device)
        on_gpu = self.device.type == "cuda"
        self.mixed = mixed
        self.half = torch.float16 if on_gpu else torch.bfloat16
        torch.manual_seed(0)
        self.x, self.sin_y, self.cos_y = (part.to(self.device) for part in torch_sincos.data(settings.samples))
        self.net = torch_sincos.Net(settings.hidden).to(self.device)
        options = {"fused": True, "capturable": True} if fused and on_gpu else {}
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=LR, **options)
        scaler = torch.amp.GradScaler if hasattr(torch.amp, "GradScaler") else torch.cuda.amp.GradScaler
        self.scaler = scaler(enabled=mixed and on_gpu)
        self.loss_fn = nn.MSELoss()
        self.initial = [parameter.detach().clone() for parameter in self.net.parameters()]
        self.history = torch.zeros(MOST_EPOCHS, dtype=torch.float64, device=self.device)
        self.epoch = torch.zeros(1, dtype=torch.int64, device=self.device)

    def loss(self):
        with torch.autocast(self.device.type, dtype=self.half) if self.mixed else contextlib.nullcontext():
            sin_p, cos_p = self.net(self.x)
            return self.loss_fn(sin_p, self.sin_y) + self.loss_fn(cos_p, self.cos_y)

    def step(self, loss_of=None):
        self.optimizer.zero_grad(set_to_none=True)
        loss = (loss_of or self.loss)()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def remember(self, loss):
        """Keeps a loss without making the host wait, and without the host counting."""
        self.history.index_copy_(0, self.epoch, loss.reshape(1).double())
        self.epoch.add_(1)

    def reset(self):
        """Back to the initial state, in the same memory, since graphs know it by its address."""
        with torch.no_grad():
            for parameter, value in zip(self.net.parameters(), self.initial):
                parameter.copy_(value)
            for state in self.optimizer.state.values():
                for value in state.values():
                    value.zero_()
            if self.scaler.is_enabled() and self.scaler._scale is not None:
                self.scaler._scale.fill_(self.scaler._init_scale)
                self.scaler._growth_tracker.zero_()
            self.epoch.zero_()
        self.wait()

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def kept_losses(self, epochs):
        return self.history[:epochs].tolist()


class Eager:
    """As the study is written: the loss is read every epoch, unless the losses stay on the device until the end."""

    def __init__(self, settings, mixed, fused=False, kept=False):
        self.study, self.kept = Study(settings, mixed, fused), kept
        for _ in range(settings.warm_up):
            self.study.remember(self.study.step())
        self.study.wait()

    def train(self, epochs):
        if self.kept:
            for _ in range(epochs):
                self.study.remember(self.study.step())
            return self.study.kept_losses(epochs)
        return [self.study.step().item() for _ in range(epochs)]


class Compiled:
    """torch.compile of network and loss with CUDA graphs, as the mode reduce-overhead has them."""

    def __init__(self, settings, mixed):
        self.study = Study(settings, mixed, fused=True)
        self.compiled = torch.compile(self.study.loss, mode="reduce-overhead")
        for _ in range(settings.warm_up):
            self.one()
        self.study.wait()

    def one(self):
        torch.compiler.cudagraph_mark_step_begin()
        self.study.remember(self.study.step(self.compiled))

    def train(self, epochs):
        for _ in range(epochs):
            self.one()
        return self.study.kept_losses(epochs)


class WholeStepGraph:
    """The whole step, optimizer and scaler included, captured in one CUDA graph by hand."""

    def __init__(self, settings, mixed, compiled):
        self.study = Study(settings, mixed, fused=True)
        loss = torch.compile(self.study.loss) if compiled else self.study.loss
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(settings.warm_up):
                self.study.remember(self.study.step(loss))
        torch.cuda.current_stream().wait_stream(side)
        self.study.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.study.remember(self.study.step(loss))
        self.study.wait()

    def train(self, epochs):
        for _ in range(epochs):
            self.graph.replay()
        return self.study.kept_losses(epochs)


# name -> (how it is made, whether it needs a GPU). What may take long to prepare comes last.
WAYS = {
    "eager AMP": (lambda s: Eager(s, mixed=True), False),
    "eager AMP, fused Adam": (lambda s: Eager(s, mixed=True, fused=True), False),
    "eager AMP, fused Adam, losses read at the end": (lambda s: Eager(s, mixed=True, fused=True, kept=True), False),
    "eager fp32, fused Adam, losses read at the end": (lambda s: Eager(s, mixed=False, fused=True, kept=True), False),
    "whole step in a CUDA graph, AMP": (lambda s: WholeStepGraph(s, mixed=True, compiled=False), True),
    "compiled, reduce-overhead, AMP": (lambda s: Compiled(s, mixed=True), True),
    "compiled, whole step in a CUDA graph, AMP": (lambda s: WholeStepGraph(s, mixed=True, compiled=True), True),
}


class Peers:
    def __init__(self, settings):
        self.settings, self.ready = settings, {}

    def prepare(self, name):
        make, needs_gpu = WAYS[name]
        if needs_gpu and self.settings.device != "cuda":
            return {"missing": "needs a GPU"}
        start = time.perf_counter()
        self.ready[name] = make(self.settings)
        return {"seconds": time.perf_counter() - start}

    def run(self, name, epochs):
        way = self.ready[name]
        way.study.reset()
        start = time.perf_counter()
        losses = way.train(epochs)
        seconds = time.perf_counter() - start
        finite = [loss for loss in losses if math.isfinite(loss)]
        return {"seconds": seconds, "smallest_loss": min(finite, default=None),
                "last_loss": losses[-1] if math.isfinite(losses[-1]) else None}

    def answer(self, request):
        try:
            return self.prepare(request["prepare"]) if "prepare" in request else self.run(request["run"], request["epochs"])
        except Exception as error:  # told to whoever asked, who goes on without this peer
            return {"missing": f"{type(error).__name__}: {error}".splitlines()[0][:300]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], required=True)
    parser.add_argument("--samples", type=int, default=20000)
    parser.add_argument("--hidden", type=int, default=150)
    parser.add_argument("--warm-up", type=int, default=11)
    settings = parser.parse_args()

    # What PyTorch, or a compiler that it starts, prints meanwhile goes to the error output: answers alone to the output.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    peers = Peers(settings)
    print(json.dumps({"version": torch.__version__, "ways": list(WAYS)}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(peers.answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
