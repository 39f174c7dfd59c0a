// SPDX-License-Identifier: MIT
// What sum and mean have in common: all elements to one scalar and back.
#pragma once

#include "core/tensor.h"

namespace mezzo {

/// out = (sum of input's elements) / divisor; out is a scalar of the reduced dtype.
void reduce_all_forward(const TensorRef &out, const TensorRef &input, double divisor);

/// grad_input[i] = grad_output / divisor.
void reduce_all_backward(const TensorRef &grad_input, const TensorRef &grad_output, double divisor);

} // namespace mezzo
