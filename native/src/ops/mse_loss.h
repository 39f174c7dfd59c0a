// SPDX-License-Identifier: MIT
// mse_loss as the devices see it; the formula is said in mse_loss.cpp.
#pragma once

#include "ops/scalar.h"

namespace mezzo {

struct MseLossForward {
    TensorData loss;            // may be missing
    TensorData grad_prediction; // may be missing
    TensorData prediction;
    TensorData target;
    TensorData scale; // f32 or f64 scalar; may be missing
    double divisor;
};

/// The factor of an error in its gradient: scale (2 / divisor).
template <class T>
MEZZO_HOST_DEVICE T mse_multiplier(const TensorData &scale, double two_over_divisor) {
    return static_cast<T>(factor_or_one(scale) * two_over_divisor);
}

/// The term of an element in the loss.
template <class T>
MEZZO_HOST_DEVICE double squared_error(T prediction, T target) {
    const auto difference = static_cast<double>(prediction - target);
    return difference * difference;
}

/// The gradient of an element, of type Gradient.
template <class Gradient, class T>
MEZZO_HOST_DEVICE Gradient mse_gradient(T prediction, T target, T multiplier) {
    return convert<Gradient>(multiplier * (prediction - target));
}

} // namespace mezzo
