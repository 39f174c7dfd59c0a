# SPDX-License-Identifier: MIT
"""Where the time of an epoch of the sin/cos study goes: each native call of a step, timed alone through the ABI."""
import ctypes
import statistics
import time

F32, F64, F16, BF16, I64, I32 = 1, 2, 3, 4, 5, 6
DTYPES = {"f32": F32, "f16": F16, "bf16": BF16}
NONE, RELU = 0, 1
ACCUMULATE_INPUT = 1


class Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("index", ctypes.c_int32)]


class Handle(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint64)]


class LinearDesc(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("activation", ctypes.c_int32), ("accumulate", ctypes.c_uint32),
                ("allow_tf32", ctypes.c_uint32), ("input_activation", ctypes.c_int32)]


class StepInputs(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("step", Handle), ("lr", Handle),
                ("lr_step", Handle), ("grad_scale", Handle), ("found_inf", Handle), ("grad_norm", Handle),
                ("max_grad_norm", ctypes.c_double), ("max_grad_value", ctypes.c_double)]


class RandomDesc(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("seed", ctypes.c_uint64),
                ("stream", ctypes.c_uint64)]


NULL = Handle(0)


class Library:
    """The native library: calls that raise, and tensors of random numbers."""

    def __init__(self, path, threads):
        self._abi = ctypes.CDLL(str(path))
        self._abi.mezzo_last_error.restype = ctypes.c_char_p
        self._stream = 0
        self.call("mezzo_threads_set", threads)

    def call(self, name, *arguments):
        if getattr(self._abi, name)(*arguments) != 0:
            raise RuntimeError(f"{name}: {self._abi.mezzo_last_error().decode()}")

    def tensor(self, dtype, *shape):
        """A tensor of uniform numbers in [-0.1, 0.1); of zeros for an integer dtype."""
        handle = Handle()
        self.call("mezzo_tensor_create", ctypes.byref(handle), Device(0, 0), dtype,
                  (ctypes.c_int64 * len(shape))(*shape), len(shape))
        if dtype in (I64, I32):
            self.call("mezzo_fill", handle, ctypes.c_double(0))
        else:
            self._stream += 1
            self.call("mezzo_random_uniform", handle, ctypes.c_double(-0.1), ctypes.c_double(0.1),
                      ctypes.byref(RandomDesc(ctypes.sizeof(RandomDesc), 0, 0, self._stream)))
        return handle

    def handles(self, tensors):
        return (Handle * len(tensors))(*tensors)


class Layer:
    """One linear layer with all that its forward and backward touch. Where a layer's output has one user, that one masks
    the gradient and sums it for the bias: `masks` says that the layer does so, `masked` that it is done for it."""

    def __init__(self, library, dtype, samples, inputs, outputs, activation, accumulate=0, first=False, masks=False,
                 masked=False):
        tensor = library.tensor
        size = ctypes.sizeof(LinearDesc)
        self._library, self._first, self._masks, self._masked = library, first, masks, masked
        self._desc = LinearDesc(size, activation, 0, 0, NONE)
        self._backward_desc = LinearDesc(size, NONE if masked else activation, accumulate, 0, RELU if masks else NONE)
        self._relu = activation == RELU
        self._grad_input_sum = tensor(F32, inputs)
        self._input, self._out = tensor(dtype, samples, inputs), tensor(dtype, samples, outputs)
        self._weight, self._bias = tensor(dtype, outputs, inputs), tensor(F32, outputs)
        self._grad_out, self._grad_input = tensor(dtype, samples, outputs), tensor(dtype, samples, inputs)
        self.grads = [tensor(F32, outputs, inputs), tensor(F32, outputs)]
        self.shapes = [(outputs, inputs), (outputs,)]

    def forward(self):
        self._library.call("mezzo_linear_forward", self._out, self._input, self._weight, self._bias,
                           ctypes.byref(self._desc))

    def backward(self):
        grad_weight, grad_bias = self.grads
        self._library.call("mezzo_linear_backward", NULL if self._first else self._grad_input, grad_weight,
                           NULL if self._masked else grad_bias, self._grad_input_sum if self._masks else NULL, NULL,
                           self._grad_out, self._input, self._weight,
                           self._out if self._relu and not self._masked else NULL, ctypes.byref(self._backward_desc))


class Loss:
    """One head's end: the cast to f64, the loss, its gradient, the cast back."""

    def __init__(self, library, dtype, samples):
        self._library = library
        self._half, self._wide, self._target, self._grad = (
            library.tensor(kind, samples, 1) for kind in (dtype, F64, F64, F64))
        self._loss = library.tensor(F64)

    def run(self):
        call = self._library.call
        call("mezzo_cast_forward", self._wide, self._half)
        call("mezzo_mse_loss_forward", self._loss, NULL, self._wide, self._target, NULL, None)
        call("mezzo_mse_loss_forward", NULL, self._grad, self._wide, self._target, NULL, None)
        call("mezzo_cast_forward", self._half, self._grad)


class Adam:
    """All parameters in one call, with 16-bit copies of the weights where the products are 16-bit."""

    def __init__(self, library, dtype, layers):
        shapes = [shape for layer in layers for shape in layer.shapes]
        lists = [[library.tensor(F32, *shape) for shape in shapes] for _ in range(3)]
        copies = [library.tensor(dtype, *shape) if dtype != F32 and len(shape) == 2 else NULL for shape in shapes]
        self._library, self._count = library, len(shapes)
        self._lists = [library.handles(tensors) for tensors in (*lists, copies)]
        self._grads = library.handles([grad for layer in layers for grad in layer.grads])
        self._inputs = StepInputs(struct_size=ctypes.sizeof(StepInputs), step=library.tensor(I64))
        for moment in lists[2]:
            library.call("mezzo_fill", moment, ctypes.c_double(0.01))

    def run(self):
        self._library.call("mezzo_adam_step", *self._lists, self._grads, self._count, ctypes.byref(self._inputs), None)


def milliseconds(part, repeats):
    """Median time of a part, after one run to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        part()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def epoch(library, dtype_name, samples, hidden, repeats, whole):
    """Milliseconds of each part of an epoch, and what is left of `whole`."""
    dtype = DTYPES[dtype_name]
    first = Layer(library, dtype, samples, 1, hidden, RELU, first=True, masked=True)
    # Both heads send gradients into the trunk: the second one adds to the first one's, and the trunk masks the sum.
    wide = [Layer(library, dtype, samples, hidden, hidden, RELU, masks=True, masked=True),
            Layer(library, dtype, samples, hidden, hidden, RELU, masks=True),
            Layer(library, dtype, samples, hidden, hidden, RELU, masked=True),
            Layer(library, dtype, samples, hidden, hidden, RELU, ACCUMULATE_INPUT, masked=True)]
    last = [Layer(library, dtype, samples, hidden, 1, NONE, masks=True) for _ in range(2)]
    losses = [Loss(library, dtype, samples) for _ in range(2)]
    adam = Adam(library, dtype, [first, *wide, *last])

    def all_of(items, name):
        return lambda: [getattr(item, name)() for item in items]

    parts = {
        f"4 layers {hidden} to {hidden}, forward": all_of(wide, "forward"),
        f"4 layers {hidden} to {hidden}, backward": all_of(wide, "backward"),
        f"layer 1 to {hidden}, forward": first.forward,
        f"layer 1 to {hidden}, backward": first.backward,
        f"2 layers {hidden} to 1, forward": all_of(last, "forward"),
        f"2 layers {hidden} to 1, backward": all_of(last, "backward"),
        "2 casts, losses and their gradients": all_of(losses, "run"),
        "Adam": adam.run,
    }
    result = {name: milliseconds(part, repeats) for name, part in parts.items()}
    result["rest of the step"] = whole - sum(result.values())
    result["whole epoch"] = whole
    return result
