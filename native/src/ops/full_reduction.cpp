// SPDX-License-Identifier: MIT
#include "ops/full_reduction.h"

#include "ops/elementwise.h"
#include "ops/reduction.h"

namespace mezzo {
namespace {

void forward_on_cpu(Device &device, const FullReductionForward &arguments) {
    visit_floating_dtype(arguments.input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const T *from = arguments.input.as<const T>();
        const auto block = [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            const auto element = [=](int64_t i) MEZZO_ALWAYS_INLINE { return convert<double>(from[i]); };
            return sum_block(begin, end, element);
        };
        const double sum = sum_blocks(device, arguments.input.elements, block);
        *arguments.out.as<Arithmetic<T>>() = static_cast<Arithmetic<T>>(sum / arguments.divisor);
    });
}

void backward_on_cpu(Device &, const FullReductionBackward &arguments) {
    visit_floating_dtype(arguments.grad_input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        fill_elements(arguments.grad_input.elements, arguments.grad_input.as<T>(),
                      full_reduction_gradient<T>(arguments.grad_output, arguments.divisor));
    });
}

const Implementation<FullReductionForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);
const Implementation<FullReductionBackward> cpu_backward(MEZZO_DEVICE_TYPE_CPU, backward_on_cpu);

/// The checks of both directions: `scalar` stands for the reduction of `tensor`.
void check(const TensorRef &scalar, const TensorRef &tensor) {
    expect_same_device(scalar, tensor);
    expect_floating(tensor);
    expect_scalar(scalar);
    expect_dtype(scalar, {reduced_dtype(tensor.dtype())});
    expect_no_overlap(scalar, tensor);
}

} // namespace

void reduce_all_forward(const TensorRef &out, const TensorRef &input, double divisor) {
    check(out, input);
    run_op(out.device(), FullReductionForward{out, input, divisor});
}

void reduce_all_backward(const TensorRef &grad_input, const TensorRef &grad_output, double divisor) {
    check(grad_output, grad_input);
    run_op(grad_input.device(), FullReductionBackward{grad_input, grad_output, divisor});
}

} // namespace mezzo
