# SPDX-License-Identifier: MIT
"""Long runs of PyTorch's optimizers and schedules, in f64, written to optimizers_torch.json.

All runs begin with the same parameter and take the same gradients, multiples of 1/64 between -2 and 2 from Philox
streams, so exact in every dtype. Stored are the parameter after some of the steps, and each schedule's learning rates.

Run with Debian's PyTorch: /usr/bin/python3 tests/goldens/optimizers_torch.py
"""
import json
import pathlib

import torch
from torch.optim import lr_scheduler

import philox

SEED = 5
ELEMENTS, STEPS = 6, 100
SHOWN = (1, 2, 10, 100)
LR = 0.01

OPTIMIZERS = {
    "adam": (torch.optim.Adam, {}),
    "adam_l2": (torch.optim.Adam, {"weight_decay": 0.1, "betas": (0.8, 0.99), "eps": 1e-4}),
    "adamw": (torch.optim.AdamW, {}),
    "adamw_decay": (torch.optim.AdamW, {"weight_decay": 0.3, "betas": (0.7, 0.9)}),
    "sgd": (torch.optim.SGD, {}),
    "sgd_momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "sgd_dampening": (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    "sgd_nesterov": (torch.optim.SGD, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
}

SCHEDULES = {
    "one_cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS),
    "one_cycle_linear": lambda optimizer: lr_scheduler.OneCycleLR(
        optimizer, LR, total_steps=STEPS, pct_start=0.25, anneal_strategy="linear", div_factor=10, final_div_factor=100),
    "step": lambda optimizer: lr_scheduler.StepLR(optimizer, 7, gamma=0.5),
    "exponential": lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.97),
}


def values(stream, count):
    uniform = torch.from_numpy(philox.uniform(count, SEED, stream))
    return torch.round(uniform * 256) / 64 - 2


def run(optimizer_class, options, start, grads, clip=None):
    param = start.clone().double().requires_grad_()
    optimizer = optimizer_class([param], lr=LR, **options)
    shown = []
    for step, grad in enumerate(grads, start=1):
        param.grad = grad.clone().double()
        if clip is not None:
            clip(param)
        optimizer.step()
        if step in SHOWN:
            shown.append(param.detach().tolist())
    return shown


def rates(schedule):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR, momentum=0.9)
    scheduler = schedule(optimizer)
    result = []
    for _ in range(STEPS):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return result


def main():
    start = values(0, ELEMENTS)
    grads = [values(1 + step, ELEMENTS) for step in range(STEPS)]
    runs = {name: run(*case, start, grads) for name, case in OPTIMIZERS.items()}
    runs["adamw_clip_norm"] = run(torch.optim.AdamW, {}, start, grads,
                                  lambda param: torch.nn.utils.clip_grad_norm_([param], 2.0))
    runs["sgd_clip_value"] = run(torch.optim.SGD, {"momentum": 0.9}, start, grads,
                                 lambda param: torch.nn.utils.clip_grad_value_([param], 0.75))
    golden = {"torch": torch.__version__, "lr": LR, "shown": SHOWN, "start": start.tolist(),
              "grads": [grad.tolist() for grad in grads], "runs": runs,
              "rates": {name: rates(schedule) for name, schedule in SCHEDULES.items()}}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
