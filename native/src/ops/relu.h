// SPDX-License-Identifier: MIT
// relu as the devices see it; the formulas are said in relu.cpp.
#pragma once

#include "core/convert.h"
#include "core/op.h"

namespace mezzo {

struct ReluForward {
    TensorData out;
    TensorData input;
};

struct ReluBackward {
    TensorData grad_input;
    TensorData grad_output;
    TensorData output;
};

/// max(value, 0), written so that NaN, which compares false, is kept.
template <class T>
MEZZO_HOST_DEVICE T rectify(T value) {
    return widen(value) <= 0 ? T{} : value;
}

/// The gradient of one element: nothing passes where the output is 0.
template <class T>
MEZZO_HOST_DEVICE T rectify_gradient(T gradient, T output) {
    return widen(output) <= 0 ? T{} : gradient;
}

} // namespace mezzo
