# SPDX-License-Identifier: MIT
"""Norms in PyTorch, in f64 and f32, written to norms_torch.json; see ops_torch.py for inputs and form.

Run with Debian's PyTorch: /usr/bin/python3 tests/goldens/norms_torch.py
"""
import torch
from torch.nn import functional as F

from ops_torch import tensor, write

ROWS, WIDTH = 6, 5


def leaves(dtype, *shape, features):
    x, weight = tensor(0, *shape, dtype=dtype), tensor(1, *features, dtype=dtype)
    bias, grad = tensor(2, *features, dtype=dtype), tensor(3, *shape, dtype=dtype)
    for leaf in (x, weight, bias):
        leaf.requires_grad_()
    return x, weight, bias, grad


def result(x, weight, bias, grad, out, **more):
    out.backward(grad)
    tensors = {"input": x, "weight": weight, "grad_output": grad, "out": out, "grad_input": x.grad,
               "grad_weight": weight.grad, **more}
    return tensors if bias is None else {**tensors, "bias": bias, "grad_bias": bias.grad}


def layer_norm(dtype):
    x, weight, bias, grad = leaves(dtype, 2, ROWS, WIDTH, features=(ROWS, WIDTH))
    return result(x, weight, bias, grad, F.layer_norm(x, (ROWS, WIDTH), weight, bias, eps=1e-5))


def rms_norm(dtype):
    """By its formula: this PyTorch has none."""
    x, weight, _, grad = leaves(dtype, ROWS, WIDTH, features=(WIDTH,))
    out = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + torch.finfo(dtype).eps) * weight
    return result(x, weight, None, grad, out)


def batch_norm(dtype, training, *places):
    x, weight, bias, grad = leaves(dtype, ROWS, WIDTH, *places, features=(WIDTH,))
    mean, var = tensor(4, WIDTH, dtype=dtype), tensor(5, WIDTH, dtype=dtype).square() + 0.5
    before = {"running_mean": mean.clone(), "running_var": var.clone()}
    out = F.batch_norm(x, mean, var, weight, bias, training=training)
    return result(x, weight, bias, grad, out, **before, running_mean_after=mean, running_var_after=var)


CASES = {
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "batch_norm": lambda dtype: batch_norm(dtype, True),
    "batch_norm_3d": lambda dtype: batch_norm(dtype, True, 3),
    "batch_norm_eval": lambda dtype: batch_norm(dtype, False),
}

if __name__ == "__main__":
    write(__file__, CASES)
