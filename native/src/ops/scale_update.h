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
    TensorData hysteresis_tracker; // may be missing
    TensorData at_minimum;         // likewise
    std::vector<TensorData> found_infs;
    mezzo_scale_update_desc desc;
};

/// What the update changes.
struct LossScale {
    float scale;
    int32_t growth_tracker;
    int32_t hysteresis_tracker;
    bool at_minimum; // the scale could not back off
};

namespace scale_detail {

MEZZO_HOST_DEVICE LossScale backed_off(LossScale now, const mezzo_scale_update_desc &desc) {
    now.growth_tracker = 0;
    if (now.hysteresis_tracker > 1) {
        now.hysteresis_tracker -= 1;
        return now;
    }
    const auto least = static_cast<float>(desc.min_scale);
    now.at_minimum = now.scale == least;
    const auto lower = static_cast<float>(now.scale * desc.backoff_factor);
    now.scale = lower < least ? least : lower;
    return now;
}

MEZZO_HOST_DEVICE bool grows(int32_t growth_tracker, const mezzo_scale_update_desc &desc) {
    const int64_t clean = int64_t{growth_tracker} + 1;
    if (desc.growth == MEZZO_GROWTH_RESTARTS) return clean == desc.growth_interval;
    if (growth_tracker == std::numeric_limits<int32_t>::max()) return false; // it counts no further
    const int64_t counted = desc.growth == MEZZO_GROWTH_REPEATS ? clean : clean - 1;
    return counted > 0 && counted % desc.growth_interval == 0;
}

MEZZO_HOST_DEVICE LossScale grown(LossScale now, const mezzo_scale_update_desc &desc) {
    if (desc.growth == MEZZO_GROWTH_RESTARTS) now.growth_tracker = 0;
    now.hysteresis_tracker = desc.hysteresis;
    const double higher = now.scale * desc.growth_factor;
    const auto scale = static_cast<float>(desc.max_scale > 0 && higher > desc.max_scale ? desc.max_scale : higher);
    if (is_finite(scale)) now.scale = scale;
    return now;
}

} // namespace scale_detail

/// The loss scale after a step in which Inf or NaN was found, or was not.
MEZZO_HOST_DEVICE LossScale next_scale(LossScale now, bool found, const mezzo_scale_update_desc &desc) {
    if (found) return scale_detail::backed_off(now, desc);
    const bool grows = scale_detail::grows(now.growth_tracker, desc);
    if (now.growth_tracker < std::numeric_limits<int32_t>::max()) now.growth_tracker += 1;
    if (desc.refill == MEZZO_HYSTERESIS_REFILL_ON_CLEAN_STEP) now.hysteresis_tracker = desc.hysteresis;
    return grows ? scale_detail::grown(now, desc) : now;
}

/// Where the numbers of the update lie; the last two may be null.
struct LossScalePlaces {
    float *scale;
    int32_t *growth_tracker;
    int32_t *hysteresis_tracker;
    float *at_minimum;

    MEZZO_HOST_DEVICE void update(bool found, const mezzo_scale_update_desc &desc) const {
        const int32_t hysteresis = hysteresis_tracker != nullptr ? *hysteresis_tracker : 1;
        const LossScale next = next_scale({*scale, *growth_tracker, hysteresis, false}, found, desc);
        *scale = next.scale;
        *growth_tracker = next.growth_tracker;
        if (hysteresis_tracker != nullptr) *hysteresis_tracker = next.hysteresis_tracker;
        if (at_minimum != nullptr) *at_minimum = next.at_minimum ? 1 : 0;
    }
};

inline LossScalePlaces places_of(const ScaleUpdate &a) {
    return {a.scale.as<float>(), a.growth_tracker.as<int32_t>(),
            a.hysteresis_tracker ? a.hysteresis_tracker.as<int32_t>() : nullptr,
            a.at_minimum ? a.at_minimum.as<float>() : nullptr};
}

} // namespace mezzo
