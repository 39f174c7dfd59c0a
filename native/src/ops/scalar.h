// SPDX-License-Identifier: MIT
// Scalars that ops read: a loss scale, a gradient.
#pragma once

#include "core/convert.h"
#include "core/tensor.h"

namespace mezzo {

/// The value of a scalar of a floating dtype, 1 when it was not given. The CPU's tensors only.
inline double factor_or_one(const TensorRef &scalar) {
    if (!scalar) return 1.0;
    return visit_floating_dtype(scalar.dtype(), [&](auto tag) {
        using T = typename decltype(tag)::type;
        return convert<double>(*scalar.data<const T>());
    });
}

/// 1 / scale, computed in f64 and rounded to f32: what gradients are unscaled with.
inline float inverse_of_scale(const TensorRef &scale) {
    return static_cast<float>(1.0 / factor_or_one(scale));
}

/// The dtype of a sum over elements of a dtype, and of the gradient of one.
constexpr mezzo_dtype reduced_dtype(mezzo_dtype dtype) {
    return dtype_is_half(dtype) ? MEZZO_DTYPE_F32 : dtype;
}

} // namespace mezzo
