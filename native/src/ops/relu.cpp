// SPDX-License-Identifier: MIT
// relu: out[i] = max(input[i], 0), NaN stays NaN
//
//   out, input, grad_input, grad_output, output  one shape, one floating dtype
//
// The gradient is 0 where output <= 0, so that a NaN output lets it through. -0 becomes +0. No rounding.
// 2 sizeof(T) bytes an element forward, 3 backward.
// Source: PyTorch's relu and threshold_backward.
#include <mezzo/ops.h>

#include "core/tensor.h"
#include "ops/elementwise.h"

namespace mezzo {
namespace {

void relu_forward(const TensorRef &out, const TensorRef &input) {
    expect_same_device(out, input);
    expect_floating(input);
    expect_same_shape_and_dtype(out, input);
    expect_in_place_or_no_overlap(out, input);
    visit_floating_dtype(input.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        // Written so that NaN, which compares false, is kept.
        const auto rectify = [](T value) MEZZO_ALWAYS_INLINE { return widen(value) <= 0 ? T{} : value; };
        map_elements(input.elements(), out.data<T>(), rectify, input.data<const T>());
    });
}

void relu_backward(const TensorRef &grad_input, const TensorRef &grad_output, const TensorRef &output) {
    expect_same_device({&grad_input, &grad_output, &output});
    expect_floating(grad_output);
    expect_same_shape_and_dtype(output, grad_output);
    expect_same_shape_and_dtype(grad_input, grad_output);
    expect_in_place_or_no_overlap(grad_input, grad_output);
    expect_no_overlap(grad_input, output);
    visit_floating_dtype(grad_output.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto mask = [](T gradient, T value) MEZZO_ALWAYS_INLINE { return widen(value) <= 0 ? T{} : gradient; };
        map_elements(grad_output.elements(), grad_input.data<T>(), mask, grad_output.data<const T>(),
                     output.data<const T>());
    });
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
