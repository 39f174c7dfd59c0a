// SPDX-License-Identifier: MIT
// relu_mask as the devices see it.
#pragma once

#include "core/convert.h"
#include "core/op.h"

namespace mezzo {

inline constexpr int64_t kMaskBits = 8; // elements of a byte of a mask

struct ReluMaskPack {
    TensorData mask;
    TensorData output;
};

struct ReluMaskUnpack {
    TensorData output;
    TensorData mask;
};

} // namespace mezzo
