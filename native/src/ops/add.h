// SPDX-License-Identifier: MIT
// add as the devices see it; the formula is said in add.cpp.
#pragma once

#include "core/convert.h"
#include "core/op.h"

namespace mezzo {

struct AddForward {
    TensorData out;
    TensorData a;
    TensorData b;
};

/// a + b, rounded once more where a half is stored.
template <class T>
MEZZO_HOST_DEVICE T rounded_sum(T a, T b) {
    return convert<T>(widen(a) + widen(b));
}

} // namespace mezzo
