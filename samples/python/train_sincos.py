#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains a small network to draw a sine and a cosine, in mixed precision, through Mezzo's C ABI alone.

    x [256, 1] -> linear 32 + relu -> linear 32 + relu -> linear 2 -> sin(x), cos(x)

Needs nothing but Python and libmezzo.so: MEZZO_LIBRARY names the file, else the system's search finds it.
Parameters stay f32, products run on their 16-bit copies, the loss scale is kept on the device; see
samples/c/train_sincos.c for the same in C. Ends with 0 when the loss has fallen far enough, else with 1.
"""

import ctypes
import math
import os
import sys
from ctypes import POINTER, byref, c_char_p, c_double, c_int32, c_int64, c_uint32, c_uint64, c_void_p, sizeof

WIDTHS = (1, 32, 32, 2)
SAMPLES = 256
STEPS = 500
LOSS_BOUND = 5e-3

ABI_VERSION = 5
F32, F16, BF16, I64, I32 = 1, 3, 4, 5, 6
RELU = 1


# ---- The ABI: its structs, and how its functions are called ------------------------------------------


class Device(ctypes.Structure):
    _fields_ = [("type", c_int32), ("index", c_int32)]


class Handle(ctypes.Structure):
    _fields_ = [("id", c_uint64)]


class MemoryStats(ctypes.Structure):
    _fields_ = [("current_bytes", c_int64), ("peak_bytes", c_int64), ("cached_bytes", c_int64),
                ("live_tensors", c_int64), ("graph_bytes", c_int64)]


class Descriptor(ctypes.Structure):
    """A descriptor starts with its own size; what is not given is zero."""

    def __init__(self, **fields):
        super().__init__(struct_size=sizeof(type(self)), **fields)


class RandomDesc(Descriptor):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("seed", c_uint64), ("stream", c_uint64)]


class LinearDesc(Descriptor):
    _fields_ = [("struct_size", c_uint32), ("activation", c_int32), ("accumulate", c_uint32), ("allow_tf32", c_uint32),
                ("input_activation", c_int32)]


class UnscaleDesc(Descriptor):
    _fields_ = [("struct_size", c_uint32), ("check_only", c_int32), ("only_if_found", c_int32), ("reserved", c_uint32),
                ("grad_norm", Handle), ("grad_norms", Handle), ("grad_stats", Handle), ("grad_summary", Handle)]


class ScaleUpdateDesc(Descriptor):
    _fields_ = [("struct_size", c_uint32), ("growth_interval", c_int32), ("growth_factor", c_double),
                ("backoff_factor", c_double), ("min_scale", c_double), ("max_scale", c_double), ("hysteresis", c_int32),
                ("growth", c_int32), ("refill", c_int32), ("reserved", c_uint32)]


class StepInputs(Descriptor):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("step", Handle), ("lr", Handle),
                ("lr_step", Handle), ("grad_scale", Handle), ("found_inf", Handle), ("grad_norm", Handle),
                ("max_grad_norm", c_double), ("max_grad_value", c_double)]


class AdamDesc(Descriptor):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("lr", c_double), ("beta1", c_double),
                ("beta2", c_double), ("eps", c_double), ("weight_decay", c_double), ("decay", c_int32),
                ("bias_correction", c_int32), ("eps_inside_sqrt", c_int32), ("reserved2", c_uint32)]


HANDLES = POINTER(Handle)

# Functions that answer a status, with their argument types.
CALLS = {
    "abi_check": [c_uint32],
    "device_fast_dtype": [POINTER(c_int32), Device],
    "threads_get": [POINTER(c_int32)],
    "memory_stats_get": [POINTER(MemoryStats), Device],
    "tensor_create": [HANDLES, Device, c_int32, POINTER(c_int64), c_int32],
    "tensor_destroy": [Handle],
    "tensor_write": [Handle, c_void_p, c_int64],
    "tensor_read": [c_void_p, Handle, c_int64],
    "fill": [Handle, c_double],
    "random_uniform": [Handle, c_double, c_double, POINTER(RandomDesc)],
    "cast_forward": [Handle, Handle],
    "linear_forward": [Handle, Handle, Handle, Handle, POINTER(LinearDesc)],
    "linear_backward": [Handle] * 9 + [POINTER(LinearDesc)],
    "mse_loss_forward": [Handle] * 5 + [c_void_p],
    "unscale": [Handle, HANDLES, c_int32, Handle, POINTER(UnscaleDesc)],
    "scale_update": [Handle] * 5 + [HANDLES, HANDLES, c_int32, POINTER(ScaleUpdateDesc)],
    "adam_step": [HANDLES] * 5 + [c_int32, POINTER(StepInputs), POINTER(AdamDesc)],
}


class Mezzo:
    """The library: mezzo.fill(...) calls mezzo_fill(...) and raises with its last error when it fails."""

    def __init__(self, path):
        self._library = ctypes.CDLL(path)
        for name in ("version", "last_error", "cpu_instruction_sets"):
            getattr(self._library, f"mezzo_{name}").restype = c_char_p
        for name, types in CALLS.items():
            setattr(self, name, self._checked(name, types))
        self.abi_check(ABI_VERSION)

    def _checked(self, name, types):
        function = getattr(self._library, f"mezzo_{name}")
        function.restype, function.argtypes = c_int32, types

        def call(*arguments):
            if function(*arguments) != 0:
                raise RuntimeError(self.text("last_error"))

        return call

    def text(self, name):
        return getattr(self._library, f"mezzo_{name}")().decode()


mezzo = Mezzo(os.environ.get("MEZZO_LIBRARY", f"libmezzo.so.{ABI_VERSION}"))
CPU = Device(0, 0)
NONE = Handle(0)
tensors = []


# ---- Tensors: made here, remembered, destroyed at the end --------------------------------------------


def make_tensor(dtype, *shape):
    tensor = Handle()
    mezzo.tensor_create(byref(tensor), CPU, dtype, (c_int64 * len(shape))(*shape), len(shape))
    tensors.append(tensor)
    return tensor


def make_filled(value, dtype, *shape):
    tensor = make_tensor(dtype, *shape)
    mezzo.fill(tensor, value)
    return tensor


def make_from(values, *shape):
    tensor = make_tensor(F32, *shape)
    data = (ctypes.c_float * len(values))(*values)
    mezzo.tensor_write(tensor, data, sizeof(data))
    return tensor


def read_scalar(tensor):
    value = ctypes.c_float()
    mezzo.tensor_read(byref(value), tensor, sizeof(value))
    return value.value


def array_of(handles):
    return (Handle * len(handles))(*handles)


# ---- The network -------------------------------------------------------------------------------------


class Parameter:
    """An f32 parameter with its gradient and Adam's moments, and a 16-bit copy where products use it."""

    streams = 0

    def __init__(self, bound, shape, copy_dtype=None):
        self.value = make_tensor(F32, *shape)
        mezzo.random_uniform(self.value, -bound, bound, RandomDesc(seed=1, stream=Parameter.streams))
        Parameter.streams += 1  # another draw for each parameter
        self.grad = make_tensor(F32, *shape)
        self.exp_avg = make_filled(0, F32, *shape)
        self.exp_avg_sq = make_filled(0, F32, *shape)
        self.copy = NONE
        if copy_dtype is not None:
            self.copy = make_tensor(copy_dtype, *shape)
            mezzo.cast_forward(self.copy, self.value)


class Layer:
    """A linear layer, followed by a ReLU unless it is the last one, with the memory for its results."""

    def __init__(self, inputs, outputs, half, is_last):
        bound = 1 / math.sqrt(inputs)
        self.weight = Parameter(bound, (outputs, inputs), copy_dtype=half)
        self.bias = Parameter(bound, (outputs,))
        self.desc = LinearDesc(activation=0 if is_last else RELU)
        self.is_last = is_last
        self.output = make_tensor(F32 if is_last else half, SAMPLES, outputs)
        self.grad_output = make_tensor(half, SAMPLES, outputs)  # times the loss scale

    def forward(self, x):
        self.input = x
        mezzo.linear_forward(self.output, x, self.weight.copy, self.bias.value, self.desc)
        return self.output

    def backward(self, grad_input):
        # Where the output is 0 the ReLU lets no gradient through; without one it is not needed.
        output = NONE if self.is_last else self.output
        mezzo.linear_backward(grad_input, self.weight.grad, self.bias.grad, NONE, NONE, self.grad_output, self.input,
                              self.weight.copy, output, self.desc)


# ---- Training ----------------------------------------------------------------------------------------


def train():
    threads, half = c_int32(), c_int32()
    mezzo.threads_get(byref(threads))
    mezzo.device_fast_dtype(byref(half), CPU)
    print(f"libmezzo {mezzo.text('version')}, {threads.value} threads, {mezzo.text('cpu_instruction_sets')}; "
          f"training in {'bf16' if half.value == BF16 else 'f16'}")

    angles = [math.pi * (2 * i / (SAMPLES - 1) - 1) for i in range(SAMPLES)]
    x = make_tensor(half.value, SAMPLES, 1)
    mezzo.cast_forward(x, make_from(angles, SAMPLES, 1))
    target = make_from([f(angle) for angle in angles for f in (math.sin, math.cos)], SAMPLES, 2)

    layers = [Layer(inputs, outputs, half.value, is_last=index == len(WIDTHS) - 2)
              for index, (inputs, outputs) in enumerate(zip(WIDTHS, WIDTHS[1:]))]
    parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    values = array_of([parameter.value for parameter in parameters])
    grads = array_of([parameter.grad for parameter in parameters])
    exp_avgs = array_of([parameter.exp_avg for parameter in parameters])
    exp_avg_sqs = array_of([parameter.exp_avg_sq for parameter in parameters])
    copies = array_of([parameter.copy for parameter in parameters])

    loss = make_filled(0, F32)
    scale = make_filled(65536, F32)
    growth_tracker = make_filled(0, I32)
    found_inf = make_filled(0, F32)
    inputs = StepInputs(step=make_filled(0, I64), grad_scale=scale, found_inf=found_inf)
    check_only = UnscaleDesc(check_only=1)
    scale_rules = ScaleUpdateDesc(growth_interval=100, growth_factor=2, backoff_factor=0.5)
    adam = AdamDesc(lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8)

    for step in range(STEPS):
        activation = x
        for layer in layers:
            activation = layer.forward(activation)
        mezzo.mse_loss_forward(loss, layers[-1].grad_output, activation, target, scale, None)
        for index in reversed(range(len(layers))):
            layers[index].backward(layers[index - 1].grad_output if index > 0 else NONE)

        mezzo.fill(found_inf, 0)
        mezzo.unscale(found_inf, grads, len(grads), scale, check_only)  # Adam divides by the scale
        mezzo.adam_step(values, exp_avgs, exp_avg_sqs, copies, grads, len(grads), inputs, adam)
        mezzo.scale_update(scale, growth_tracker, NONE, NONE, NONE, byref(found_inf), None, 1, scale_rules)

        if step % 100 == 0 or step == STEPS - 1:
            print(f"step {step:3}  loss {read_scalar(loss):.6f}  loss scale {read_scalar(scale):.0f}")
    return read_scalar(loss)


def main():
    last_loss = train()
    memory = MemoryStats()
    mezzo.memory_stats_get(byref(memory), CPU)
    for tensor in tensors:
        mezzo.tensor_destroy(tensor)
    trained = last_loss < LOSS_BOUND  # False for NaN
    print(f"{'trained' if trained else 'FAILED'}: the loss is {last_loss:.6f} and had to fall below {LOSS_BOUND:g}; "
          f"{memory.peak_bytes} bytes at the peak")
    return 0 if trained else 1


if __name__ == "__main__":
    sys.exit(main())
