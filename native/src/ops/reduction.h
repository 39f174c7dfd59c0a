// SPDX-License-Identifier: MIT
// Sums that depend on neither the device, the number of threads nor the instruction set: elements are added in f64,
// those of a block of kReductionBlock elements to kSumLanes running sums and these in a fixed tree. The sums of the
// blocks are then added in the same way, until one is left.
//
// Error of a sum of n terms: below k (kReductionBlock / kSumLanes + 5) 2^-53 sum |term|, where k is 1 up to 4096
// terms, 2 up to 2^24, 3 up to 2^36.
#pragma once

#include "core/device.h"
#include "core/parallel.h"

namespace mezzo {

inline constexpr int kSumLanes = 32;
static_assert(kReductionBlock % kSumLanes == 0 && (kSumLanes & (kSumLanes - 1)) == 0);

/// Blocks that a sum of so many elements consists of.
constexpr int64_t reduction_blocks(int64_t elements) {
    return (elements + kReductionBlock - 1) / kReductionBlock;
}

/// How many numbers there must be room for where so many are added, level by level.
constexpr int64_t sum_room(int64_t count) {
    int64_t room = count;
    for (; count > 1; room += count) count = reduction_blocks(count);
    return room;
}

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

/// Sets sums[b] to block(begin, end), an MEZZO_ALWAYS_INLINE function called once for each block of the elements.
template <class Block>
void run_blocks(int64_t elements, double *sums, const Block &block) {
    constexpr int64_t kBlockGrain = kElementGrain / kReductionBlock;
    parallel_for(reduction_blocks(elements), kBlockGrain, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        for (int64_t b = begin; b < end; ++b) {
            const int64_t first = b * kReductionBlock;
            const int64_t past = first + kReductionBlock;
            sums[b] = block(first, past < elements ? past : elements);
        }
    });
}

/// Sum of `count` numbers, at least one, with sum_room(count) places.
inline double sum_levels(double *sums, int64_t count) {
    while (count > 1) {
        const auto sum = [from = sums](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            return sum_block(begin, end, [=](int64_t i) MEZZO_ALWAYS_INLINE { return from[i]; });
        };
        run_blocks(count, sums + count, sum);
        sums += count;
        count = reduction_blocks(count);
    }
    return sums[0];
}

/// Sum over [0, elements) of block(begin, end), as above.
template <class Block>
double sum_blocks(Device &device, int64_t elements, const Block &block) {
    const int64_t blocks = reduction_blocks(elements);
    const Scratch<double> sums(device.memory(), sum_room(blocks));
    run_blocks(elements, sums.data(), block);
    return sum_levels(sums.data(), blocks);
}

} // namespace mezzo
