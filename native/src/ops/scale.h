// SPDX-License-Identifier: MIT
// scale as the devices see it; the formula is said in scale.cpp.
#pragma once

#include "ops/scalar.h"

namespace mezzo {

struct ScaleForward {
    TensorData out;
    TensorData input;
    double factor;
    TensorData device_factor; // f32 or f64 scalar; may be missing
};

/// What elements of type T are multiplied by.
template <class T>
MEZZO_HOST_DEVICE Arithmetic<T> scale_multiplier(double factor, const TensorData &device_factor) {
    return static_cast<Arithmetic<T>>(factor * factor_or_one(device_factor));
}

template <class T>
MEZZO_HOST_DEVICE T scaled(T value, Arithmetic<T> multiplier) {
    return convert<T>(widen(value) * multiplier);
}

} // namespace mezzo
