// SPDX-License-Identifier: MIT
// unscale as the devices see it; what it does is said in unscale.cpp.
#pragma once

#include <span>
#include <vector>

#include "core/convert.h"
#include "core/op.h"
#include "ops/tensor_list.h"

namespace mezzo {

/// The gradients of one dtype.
struct UnscaleGroup {
    mezzo_dtype dtype;
    ElementList<std::byte *> grads;
};

struct Unscale {
    std::vector<UnscaleGroup> groups; // none of a dtype twice
    TensorData found_inf;
    TensorData scale;
    bool check_only;
};

/// Sorts gradients by dtype. Those that are not given are left out.
std::vector<UnscaleGroup> group_by_dtype(std::span<const TensorData> grads);

void unscale_on_cpu(Device &device, const Unscale &a);

/// What gradients are multiplied by: 1 / scale. The quotient of two floats, rounded to f64 and then to f32, is the one
/// rounded to f32 at once, since f64 has more than twice as many bits.
MEZZO_HOST_DEVICE float inverse_of_scale(const float *scale) {
    return scale == nullptr ? 1.0F : 1.0F / *scale;
}

} // namespace mezzo
