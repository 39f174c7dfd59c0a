// SPDX-License-Identifier: MIT
// Scalars that ops read where they run: a loss scale, a gradient.
#pragma once

#include "core/convert.h"
#include "core/op.h"

namespace mezzo {

/// The value of an f32 or f64 scalar, 1 when it was not given. For implementations: it reads the device's memory.
MEZZO_HOST_DEVICE double factor_or_one(const TensorData &scalar) {
    if (scalar.data == nullptr) return 1.0;
    if (scalar.dtype == MEZZO_DTYPE_F64) return *reinterpret_cast<const double *>(scalar.data);
    return static_cast<double>(*reinterpret_cast<const float *>(scalar.data));
}

/// The dtype of a sum over elements of a dtype, and of the gradient of one.
constexpr mezzo_dtype reduced_dtype(mezzo_dtype dtype) {
    return arithmetic_dtype(dtype);
}

} // namespace mezzo
