// SPDX-License-Identifier: MIT
// unscale with norms and statistics, as the devices see it; what it computes is said in grad_measure.cpp.
#pragma once

#include <mezzo/ops.h>

#include <bit>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "core/convert.h"
#include "core/op.h"
#include "ops/unscale.h"

namespace mezzo {

inline constexpr int64_t kGradStats = 4; // of a gradient, see mezzo_grad_stat

/// One gradient, and where what is measured of its blocks of kReductionBlock elements goes.
struct MeasuredGrad {
    std::byte *data;
    int64_t elements;
    int64_t first_sum;   // of the sums of its blocks and of what adding them needs
    int64_t first_count; // of the counts of its blocks
    int32_t index;
    mezzo_dtype dtype;
};

/// Where results go; null for what is not wanted.
struct MeasuredResults {
    double *norm;
    double *norms;
    int64_t *stats;
    int64_t *summary;
};

struct GradMeasure {
    std::vector<MeasuredGrad> grads; // in order of dtypes
    int64_t sums;                    // of all blocks, and room to add them
    int64_t counts;                  // of all blocks
    TensorData found_inf;
    TensorData scale;
    MeasuredResults results;
    bool check_only;
    bool only_if_found;
};

/// Lays out a call's scratch memory.
GradMeasure measured_grads(std::span<const TensorData> grads, const TensorData &found_inf, const TensorData &scale,
                           const MeasuredResults &results, bool check_only, bool only_if_found);

/// What is counted of a block, and of a gradient.
struct GradCounts {
    int64_t infs = 0;
    int64_t nans = 0;
    int64_t zeros = 0;
    int32_t exponent = std::numeric_limits<int32_t>::min();

    MEZZO_HOST_DEVICE void add(const GradCounts &other) {
        infs += other.infs;
        nans += other.nans;
        zeros += other.zeros;
        exponent = other.exponent > exponent ? other.exponent : exponent;
    }

    MEZZO_HOST_DEVICE bool is_finite() const { return infs + nans == 0; }

    /// Writes a row of grad_stats, or what grad_summary begins with.
    MEZZO_HOST_DEVICE void store(int64_t *stats) const {
        stats[MEZZO_GRAD_STAT_INF] = infs;
        stats[MEZZO_GRAD_STAT_NAN] = nans;
        stats[MEZZO_GRAD_STAT_ZERO] = zeros;
        stats[MEZZO_GRAD_STAT_EXPONENT] = exponent;
    }
};

/// Writes grad_summary.
MEZZO_HOST_DEVICE void store_summary(int64_t *summary, const GradCounts &all, int64_t first_nonfinite) {
    all.store(summary);
    summary[MEZZO_GRAD_SUMMARY_FIRST] = first_nonfinite;
}

/// The bits of an element without its sign: in the order of magnitudes.
template <class T>
MEZZO_HOST_DEVICE BitsOf<T> magnitude_of(T element) {
    constexpr auto kAllButSign = static_cast<BitsOf<T>>(static_cast<BitsOf<T>>(~BitsOf<T>{0}) >> 1);
    return static_cast<BitsOf<T>>(std::bit_cast<BitsOf<T>>(element) & kAllButSign);
}

/// e where 2^e <= x < 2^(e + 1), of the bits of a finite x that is not negative; INT32_MIN for 0.
template <class T>
MEZZO_HOST_DEVICE int32_t exponent_of_magnitude(BitsOf<T> magnitude) {
    using Format = convert_detail::Format<T>;
    if (magnitude == 0) return std::numeric_limits<int32_t>::min();
    const auto field = static_cast<int32_t>(magnitude >> Format::kFraction);
    if (field > 0) return field - Format::kBias;
    int32_t place = 0; // of the leading bit of a subnormal number
    while (magnitude >> (place + 1) != 0) ++place;
    return place + 1 - Format::kBias - Format::kFraction;
}

/// The norm of unscaled gradients from the sum of squares of scaled ones. The factor is not negative.
MEZZO_HOST_DEVICE double unscaled_norm(double sum_of_squares, float factor) {
    return std::sqrt(sum_of_squares) * static_cast<double>(factor);
}

} // namespace mezzo
