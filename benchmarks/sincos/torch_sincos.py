# SPDX-License-Identifier: MIT
"""The sin/cos study's network in PyTorch on the CPU, timed: the peer of `mezzo train sincos`.

Prints one JSON line: precision, threads, epochs, seconds of the training loop, smallest loss, versions.
Refuses to run on a BLAS that would make PyTorch look slow: Debian's reference BLAS takes 20 times longer.
"""
import argparse
import json
import math
import pathlib
import sys
import time

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
                                   nn.Linear(hidden, hidden), nn.ReLU())
        self.sin = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.cos = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x):
        features = self.trunk(x)
        return self.sin(features).double(), self.cos(features).double()


def data(samples):
    def noise():
        return torch.empty(samples, 1).uniform_(-0.01, 0.01)

    x = torch.linspace(-2 * math.pi, 2 * math.pi, samples).unsqueeze(1)[torch.randperm(samples)]
    return x, (torch.sin(x) + noise()).double(), (torch.cos(x) + noise()).double()


def train(hidden, samples, epochs, lr, mixed):
    """Seconds and losses of a full-batch training."""
    x, sin_y, cos_y = data(samples)
    net, loss_fn, losses = Net(hidden), nn.MSELoss(), []
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    start = time.perf_counter()
    for _ in range(epochs):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            sin_p, cos_p = net(x)
            loss = loss_fn(sin_p, sin_y) + loss_fn(cos_p, cos_y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return time.perf_counter() - start, losses


def loaded_blas():
    """Name of the file behind the BLAS that PyTorch has loaded, "" where it has another or its own."""
    torch.mm(torch.ones(64, 64), torch.ones(64, 64))
    mapped = pathlib.Path("/proc/self/maps").read_text().splitlines()
    names = sorted({pathlib.Path(line.split()[-1]).name for line in mapped if "blas" in line})
    return next((name for name in names if "openblas" in name), names[0] if names else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", choices=["fp32", "bf16"], required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--samples", type=int, default=20000)
    parser.add_argument("--hidden", type=int, default=150)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    blas = loaded_blas()
    if blas.startswith("libblas"):
        sys.exit(f"PyTorch runs on the reference BLAS ({blas}), expected OpenBLAS: install libopenblas0-pthread, "
                 "or choose it with update-alternatives --config libblas.so.3-x86_64-linux-gnu")
    seconds, losses = train(arguments.hidden, arguments.samples, arguments.epochs, arguments.lr,
                            mixed=arguments.precision == "bf16")
    print(json.dumps({"version": torch.__version__, "blas": blas, "precision": arguments.precision,
                      "threads": arguments.threads, "epochs": arguments.epochs, "seconds": seconds,
                      "smallest_loss": min(losses)}))


if __name__ == "__main__":
    main()
