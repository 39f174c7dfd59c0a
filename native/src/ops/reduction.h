// SPDX-License-Identifier: MIT
// Sums that do not depend on the number of threads nor on the instruction set: elements are added in f64 to
// kSumLanes running sums, those of a block of kReductionBlock elements in a fixed tree, the blocks in order.
//
// Error of a sum of n terms: below (kReductionBlock / kSumLanes + n / kReductionBlock + 4) 2^-53 sum |term|.
#pragma once

#include <algorithm>
#include <numeric>

#include "core/device.h"
#include "core/parallel.h"

namespace mezzo {

inline constexpr int kSumLanes = 32;
static_assert(kReductionBlock % kSumLanes == 0 && (kSumLanes & (kSumLanes - 1)) == 0);

/// Sum of term(i), an MEZZO_ALWAYS_INLINE function, for i in [begin, end).
template <class Term>
MEZZO_ALWAYS_INLINE inline double sum_block(int64_t begin, int64_t end, const Term &term) {
    double lanes[kSumLanes] = {};
    int64_t i = begin;
    for (; i + kSumLanes <= end; i += kSumLanes) {
        for (int lane = 0; lane < kSumLanes; ++lane) lanes[lane] += term(i + lane);
    }
    for (int lane = 0; i < end; ++i, ++lane) lanes[lane] += term(i);
    for (int width = kSumLanes / 2; width > 0; width /= 2) {
        for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
    }
    return lanes[0];
}

/// Sum over [0, elements) of block(begin, end), an MEZZO_ALWAYS_INLINE function called once for each block.
template <class Block>
double sum_blocks(Device &device, int64_t elements, const Block &block) {
    const int64_t blocks = (elements + kReductionBlock - 1) / kReductionBlock;
    const Scratch<double> scratch(device.memory(), blocks);
    double *sums = scratch.data();
    constexpr int64_t kBlockGrain = kElementGrain / kReductionBlock;
    parallel_for(blocks, kBlockGrain, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        for (int64_t b = begin; b < end; ++b) {
            const int64_t first = b * kReductionBlock;
            const int64_t past = first + kReductionBlock;
            sums[b] = block(first, past < elements ? past : elements);
        }
    });
    return std::accumulate(sums, sums + blocks, 0.0);
}

} // namespace mezzo
