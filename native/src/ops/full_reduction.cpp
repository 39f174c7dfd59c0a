// SPDX-License-Identifier: MIT
#include "ops/full_reduction.h"

#include "ops/elementwise.h"
#include "ops/reduction.h"
#include "ops/scalar.h"

namespace mezzo {
namespace {

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
    visit_floating_dtype(input.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        const T *from = input.data<const T>();
        const double sum =
            sum_blocks(input.device(), input.elements(), [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
                const auto element = [=](int64_t i) MEZZO_ALWAYS_INLINE { return convert<double>(from[i]); };
                return sum_block(begin, end, element);
            });
        *out.data<Arithmetic<T>>() = static_cast<Arithmetic<T>>(sum / divisor);
    });
}

void reduce_all_backward(const TensorRef &grad_input, const TensorRef &grad_output, double divisor) {
    check(grad_output, grad_input);
    visit_floating_dtype(grad_input.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        fill_elements(grad_input.elements(), grad_input.data<T>(), convert<T>(factor_or_one(grad_output) / divisor));
    });
}

} // namespace mezzo
