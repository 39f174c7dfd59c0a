# SPDX-License-Identifier: MIT
"""Single ops in PyTorch, in f64 and f32, written to ops_torch.json.

Inputs are multiples of 1/64 between -2 and 2 from Philox streams, so they are exact in every dtype; they are
stored beside the results, each tensor as {"shape": [...], "values": [...]} in row-major order.

Run with Debian's PyTorch: /usr/bin/python3 tests/goldens/ops_torch.py
"""
import json
import pathlib

import torch
from torch.nn import functional as F

import philox

SEED = 3
ROWS, IN_FEATURES, OUT_FEATURES = 7, 5, 3
ADAM_STEPS = 5


def tensor(stream, *shape, dtype):
    count = int(torch.tensor(shape).prod())
    values = torch.from_numpy(philox.uniform(count, SEED, stream))
    return (torch.round(values * 256) / 64 - 2).reshape(shape).to(dtype)


def stored(value):
    return {"shape": list(value.shape), "values": value.detach().double().reshape(-1).tolist()}


def linear(dtype, relu):
    x, weight = tensor(0, ROWS, IN_FEATURES, dtype=dtype), tensor(1, OUT_FEATURES, IN_FEATURES, dtype=dtype)
    bias, grad = tensor(2, OUT_FEATURES, dtype=dtype), tensor(3, ROWS, OUT_FEATURES, dtype=dtype)
    for leaf in (x, weight, bias):
        leaf.requires_grad_()
    out = F.linear(x, weight, bias)
    out = F.relu(out) if relu else out
    out.backward(grad)
    return {"input": x, "weight": weight, "bias": bias, "grad_output": grad, "out": out,
            "grad_input": x.grad, "grad_weight": weight.grad, "grad_bias": bias.grad}


def relu(dtype):
    x, grad = tensor(4, ROWS, IN_FEATURES, dtype=dtype), tensor(5, ROWS, IN_FEATURES, dtype=dtype)
    x.requires_grad_()
    out = F.relu(x)
    out.backward(grad)
    return {"input": x, "grad_output": grad, "out": out, "grad_input": x.grad}


def activation(dtype, function):
    x, grad = tensor(8, ROWS, IN_FEATURES, dtype=dtype) * 2, tensor(9, ROWS, IN_FEATURES, dtype=dtype)
    x.requires_grad_()
    out = function(x)
    out.backward(grad)
    return {"input": x, "grad_output": grad, "out": out, "grad_input": x.grad}


def binary_cross_entropy(dtype, reduction, weighted):
    """From probabilities."""
    x, target = (tensor(stream, ROWS, OUT_FEATURES, dtype=dtype) / 4 + 0.5 for stream in (11, 12))
    weight = tensor(13, ROWS, OUT_FEATURES, dtype=dtype) + 2 if weighted else None
    x.requires_grad_()
    loss = F.binary_cross_entropy(x, target, weight=weight, reduction=reduction)
    loss.backward()
    return {"input": x, "target": target, "loss": loss, "grad_input": x.grad} | ({"weight": weight} if weighted else {})


def binary_cross_entropy_with_logits(dtype, reduction, weighted):
    x, target = tensor(14, ROWS, OUT_FEATURES, dtype=dtype) * 4, tensor(15, ROWS, OUT_FEATURES, dtype=dtype) / 4 + 0.5
    weight, pos_weight = (tensor(16, ROWS, OUT_FEATURES, dtype=dtype) + 2, tensor(17, OUT_FEATURES, dtype=dtype) + 2) \
        if weighted else (None, None)
    x.requires_grad_()
    loss = F.binary_cross_entropy_with_logits(x, target, weight=weight, pos_weight=pos_weight, reduction=reduction)
    loss.backward()
    return {"input": x, "target": target, "loss": loss, "grad_input": x.grad} | \
        ({"weight": weight, "pos_weight": pos_weight} if weighted else {})


def mse_loss(dtype, reduction):
    prediction, target = tensor(6, ROWS, OUT_FEATURES, dtype=dtype), tensor(7, ROWS, OUT_FEATURES, dtype=dtype)
    prediction.requires_grad_()
    loss = F.mse_loss(prediction, target, reduction=reduction)
    loss.backward()
    return {"prediction": prediction, "target": target, "loss": loss, "grad_prediction": prediction.grad}


def adam(dtype, weight_decay):
    """Five steps; the gradient of step t is stream 20 + t."""
    param = tensor(10, IN_FEATURES, OUT_FEATURES, dtype=dtype).requires_grad_()
    result = {"param": param.detach().clone()}
    optimizer = torch.optim.Adam([param], lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
    for step in range(ADAM_STEPS):
        param.grad = tensor(20 + step, IN_FEATURES, OUT_FEATURES, dtype=dtype)
        optimizer.step()
        result[f"grad_{step}"] = param.grad.clone()
        result[f"param_{step + 1}"] = param.detach().clone()
    result["exp_avg"] = optimizer.state[param]["exp_avg"]
    result["exp_avg_sq"] = optimizer.state[param]["exp_avg_sq"]
    return result


CASES = {
    "linear": lambda dtype: linear(dtype, relu=False),
    "linear_relu": lambda dtype: linear(dtype, relu=True),
    "relu": relu,
    "gelu": lambda dtype: activation(dtype, F.gelu),
    "gelu_tanh": lambda dtype: activation(dtype, lambda x: F.gelu(x, approximate="tanh")),
    "silu": lambda dtype: activation(dtype, F.silu),
    "tanh": lambda dtype: activation(dtype, torch.tanh),
    "sigmoid": lambda dtype: activation(dtype, torch.sigmoid),
    "binary_cross_entropy_mean": lambda dtype: binary_cross_entropy(dtype, "mean", weighted=False),
    "binary_cross_entropy_weighted_sum": lambda dtype: binary_cross_entropy(dtype, "sum", weighted=True),
    "binary_cross_entropy_with_logits_mean": lambda dtype: binary_cross_entropy_with_logits(dtype, "mean", weighted=False),
    "binary_cross_entropy_with_logits_weighted_sum":
        lambda dtype: binary_cross_entropy_with_logits(dtype, "sum", weighted=True),
    "mse_loss_mean": lambda dtype: mse_loss(dtype, "mean"),
    "mse_loss_sum": lambda dtype: mse_loss(dtype, "sum"),
    "adam": lambda dtype: adam(dtype, weight_decay=0),
    "adam_weight_decay": lambda dtype: adam(dtype, weight_decay=0.1),
}


def write(script, cases):
    """Writes the cases of a script to the JSON file beside it."""
    philox.check()
    torch.set_num_threads(1)
    path = pathlib.Path(script)
    golden = {"source": f"tests/goldens/{path.name}, PyTorch {torch.__version__}"}
    for name, case in cases.items():
        golden[name] = {key: {part: stored(value) for part, value in case(dtype).items()}
                        for key, dtype in (("f64", torch.float64), ("f32", torch.float32))}
    path.with_suffix(".json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    write(__file__, CASES)
