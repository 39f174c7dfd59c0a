// SPDX-License-Identifier: MIT
// relu: out[i] = max(input[i], 0), NaN stays NaN
//
//   out, input, grad_input, grad_output, output  one shape, one floating dtype
//
// The gradient is 0 where output <= 0, so that a NaN output lets it through. -0 becomes +0. No rounding.
// 2 sizeof(T) bytes an element forward, 3 backward.
// Source: PyTorch's relu and threshold_backward.
#include "ops/relu.h"

#include <mezzo/ops.h>

#include "ops/elementwise.h"

namespace mezzo {
namespace {

void forward_on_cpu(Device &, const ReluForward &a) {
    visit_floating_dtype(a.input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto element = [](T value) MEZZO_ALWAYS_INLINE { return rectify(value); };
        map_elements(a.input.elements, a.out.as<T>(), element, a.input.as<const T>());
    });
}

void backward_on_cpu(Device &, const ReluBackward &a) {
    visit_floating_dtype(a.grad_output.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto element = [](T gradient, T output)
                                 MEZZO_ALWAYS_INLINE { return rectify_gradient(gradient, output); };
        map_elements(a.grad_output.elements, a.grad_input.as<T>(), element, a.grad_output.as<const T>(),
                     a.output.as<const T>());
    });
}

const Implementation<ReluForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);
const Implementation<ReluBackward> cpu_backward(MEZZO_DEVICE_TYPE_CPU, backward_on_cpu);

void relu_forward(const TensorRef &out, const TensorRef &input) {
    expect_same_device(out, input);
    expect_floating(input);
    expect_same_shape_and_dtype(out, input);
    expect_in_place_or_no_overlap(out, input);
    run_op(out.device(), ReluForward{out, input});
}

void relu_backward(const TensorRef &grad_input, const TensorRef &grad_output, const TensorRef &output) {
    expect_same_device({&grad_input, &grad_output, &output});
    expect_floating(grad_output);
    expect_same_shape_and_dtype(output, grad_output);
    expect_same_shape_and_dtype(grad_input, grad_output);
    expect_in_place_or_no_overlap(grad_input, grad_output);
    expect_no_overlap(grad_input, output);
    run_op(grad_input.device(), ReluBackward{grad_input, grad_output, output});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_relu_forward(mezzo_tensor out, mezzo_tensor input) {
    return mezzo::guard("relu_forward", [&] {
        mezzo::relu_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensor(input, "input"));
    });
}

mezzo_status mezzo_relu_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor output) {
    return mezzo::guard("relu_backward", [&] {
        mezzo::relu_backward(mezzo::require_tensor(grad_input, "grad_input"),
                             mezzo::require_tensor(grad_output, "grad_output"),
                             mezzo::require_tensor(output, "output"));
    });
}
