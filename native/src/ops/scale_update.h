// SPDX-License-Identifier: MIT
// scale_update as the devices see it; the rules are said in scale_update.cpp.
#pragma once

#include <mezzo/ops.h>

#include <limits>
#include <vector>

#include "ops/unscale.h"

namespace mezzo {

/// What one optimizer's gradients had; summary may be null.
struct FoundInf {
    const float *found_inf;
    const int64_t *summary;
};

/// What all optimizers' gradients had.
struct Finding {
    bool found;   // Inf or NaN
    bool curable; // not NaN alone: a lower scale may cure it

    MEZZO_HOST_DEVICE static Finding of(const FoundInf &optimizer) {
        const bool found = *optimizer.found_inf != 0;
        const int64_t *summary = optimizer.summary;
        const bool is_nan_alone =
            summary != nullptr && summary[MEZZO_GRAD_STAT_NAN] > 0 && summary[MEZZO_GRAD_STAT_INF] == 0;
        return {found, found && !is_nan_alone};
    }
};

/// Where the numbers of the update lie; the last three may be null.
struct LossScalePlaces {
    float *scale;
    int32_t *growth_tracker;
    int32_t *hysteresis_tracker;
    int32_t *cause;
    float *loss_nonfinite;

    MEZZO_HOST_DEVICE void update(const Finding &finding, const mezzo_scale_update_desc &desc) const;
};

struct ScaleUpdate {
    LossScalePlaces places;
    std::vector<FoundInf> found_infs;
    mezzo_scale_update_desc desc;
};

/// What the update changes.
struct LossScale {
    float scale;
    int32_t growth_tracker;
    int32_t hysteresis_tracker;
    mezzo_scale_cause cause;
};

namespace scale_detail {

MEZZO_HOST_DEVICE LossScale backed_off(LossScale now, const mezzo_scale_update_desc &desc) {
    now.cause = MEZZO_SCALE_CAUSE_OVERFLOW;
    if (now.hysteresis_tracker > 1) {
        now.hysteresis_tracker -= 1;
        return now;
    }
    const auto least = static_cast<float>(desc.min_scale);
    if (now.scale == least) now.cause = MEZZO_SCALE_CAUSE_AT_MINIMUM;
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

/// The loss scale after a step; `is_hopeless` says that no scale cures what was found.
MEZZO_HOST_DEVICE LossScale next_scale(LossScale now, bool found, bool is_hopeless,
                                       const mezzo_scale_update_desc &desc) {
    now.cause = MEZZO_SCALE_CAUSE_NONE;
    if (found) {
        now.growth_tracker = 0;
        if (!is_hopeless) return scale_detail::backed_off(now, desc);
        now.cause = MEZZO_SCALE_CAUSE_NOT_A_NUMBER;
        return now;
    }
    const bool grows = scale_detail::grows(now.growth_tracker, desc);
    if (now.growth_tracker < std::numeric_limits<int32_t>::max()) now.growth_tracker += 1;
    if (desc.refill == MEZZO_HYSTERESIS_REFILL_ON_CLEAN_STEP) now.hysteresis_tracker = desc.hysteresis;
    return grows ? scale_detail::grown(now, desc) : now;
}

MEZZO_HOST_DEVICE void LossScalePlaces::update(const Finding &finding, const mezzo_scale_update_desc &desc) const {
    const int32_t hysteresis = hysteresis_tracker != nullptr ? *hysteresis_tracker : 1;
    const bool lost = loss_nonfinite != nullptr && *loss_nonfinite != 0;
    const bool is_hopeless = !finding.curable && (lost || *scale <= 1);
    const LossScale next =
        next_scale({*scale, *growth_tracker, hysteresis, MEZZO_SCALE_CAUSE_NONE}, finding.found, is_hopeless, desc);
    *scale = next.scale;
    *growth_tracker = next.growth_tracker;
    if (hysteresis_tracker != nullptr) *hysteresis_tracker = next.hysteresis_tracker;
    if (cause != nullptr) *cause = static_cast<int32_t>(next.cause);
    if (loss_nonfinite != nullptr) *loss_nonfinite = 0;
}

} // namespace mezzo
