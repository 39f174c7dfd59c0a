// SPDX-License-Identifier: MIT
// scale_update as the devices see it; the rules are said in scale_update.cpp.
#pragma once

#include <mezzo/ops.h>

#include <limits>
#include <vector>

#include "ops/unscale.h"

namespace mezzo {

struct ScaleUpdate {
    TensorData scale;
    TensorData growth_tracker;
    std::vector<TensorData> found_infs;
    mezzo_scale_update_desc desc;
};

/// What the update changes.
struct LossScale {
    float scale;
    int32_t growth_tracker;
};

/// The loss scale after a step in which Inf or NaN was found, or was not.
MEZZO_HOST_DEVICE LossScale next_scale(LossScale now, bool found, const mezzo_scale_update_desc &desc) {
    if (found) return {static_cast<float>(now.scale * desc.backoff_factor), 0};
    if (int64_t{now.growth_tracker} + 1 == desc.growth_interval) {
        const auto grown = static_cast<float>(now.scale * desc.growth_factor);
        return {is_finite(grown) ? grown : now.scale, 0};
    }
    const bool counts = now.growth_tracker < std::numeric_limits<int32_t>::max();
    return {now.scale, now.growth_tracker + (counts ? 1 : 0)};
}

} // namespace mezzo
