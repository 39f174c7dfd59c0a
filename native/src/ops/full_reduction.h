// SPDX-License-Identifier: MIT
// What sum and mean have in common: all elements to one scalar and back.
#pragma once

#include "ops/scalar.h"

namespace mezzo {

struct FullReductionForward {
    TensorData out;
    TensorData input;
    double divisor;
};

struct FullReductionBackward {
    TensorData grad_input;
    TensorData grad_output;
    double divisor;
};

/// The gradient of every element, in its dtype.
template <class T>
MEZZO_HOST_DEVICE T full_reduction_gradient(const TensorData &grad_output, double divisor) {
    return convert<T>(factor_or_one(grad_output) / divisor);
}

/// out = (sum of input's elements) / divisor; out is a scalar of the reduced dtype.
void reduce_all_forward(const TensorRef &out, const TensorRef &input, double divisor);

/// grad_input[i] = grad_output / divisor.
void reduce_all_backward(const TensorRef &grad_input, const TensorRef &grad_output, double divisor);

} // namespace mezzo
