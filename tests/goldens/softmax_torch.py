# SPDX-License-Identifier: MIT
"""Softmax and cross entropy in PyTorch, in f64 and f32, written to softmax_torch.json; see ops_torch.py for the form.

Run with Debian's PyTorch: /usr/bin/python3 tests/goldens/softmax_torch.py
"""
import torch
from torch.nn import functional as F

from ops_torch import tensor, write

ROWS, CLASSES = 6, 5
TARGET = torch.tensor([4, 0, -100, 2, 1, 1])


def softmax(dtype, op):
    x, grad = 3 * tensor(0, 2, ROWS, CLASSES, dtype=dtype), tensor(1, 2, ROWS, CLASSES, dtype=dtype)
    x.requires_grad_()
    out = op(x, dim=-1)
    out.backward(grad)
    return {"input": x, "grad_output": grad, "out": out, "grad_input": x.grad}


def cross_entropy(dtype, **options):
    logits, weight = 3 * tensor(2, ROWS, CLASSES, dtype=dtype), tensor(3, CLASSES, dtype=dtype).abs() + 0.5
    logits.requires_grad_()
    loss = F.cross_entropy(logits, TARGET, weight=weight, **options)
    loss.backward()
    return {"logits": logits, "weight": weight, "loss": loss, "grad_logits": logits.grad}


CASES = {
    "softmax": lambda dtype: softmax(dtype, F.softmax),
    "log_softmax": lambda dtype: softmax(dtype, F.log_softmax),
    "cross_entropy_mean": cross_entropy,
    "cross_entropy_sum": lambda dtype: cross_entropy(dtype, reduction="sum"),
    "cross_entropy_smooth_mean": lambda dtype: cross_entropy(dtype, label_smoothing=0.25),
    "cross_entropy_smooth_sum": lambda dtype: cross_entropy(dtype, label_smoothing=0.25, reduction="sum"),
}

if __name__ == "__main__":
    write(__file__, CASES)
