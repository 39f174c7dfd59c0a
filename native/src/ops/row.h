// SPDX-License-Identifier: MIT
// Sums over the rows of a matrix, in an order that follows from the width alone, so that they depend on neither the
// device, the number of threads nor the instruction set.
//
// A row is cut into segments of kRowSegment elements. Terms are added in f64: those of a segment to
// kRowPack x kSumLanes running sums, these by fours and then in the tree of ops/reduction.h. The segments' sums are
// added to kRowWarps running sums in turn. On a GPU a lane of a warp has four running sums, so that it reads four
// neighbours, 16 bytes of f32, at once (device/row.cuh).
//
// Error of a sum of n terms: below (kRowSegment / 128 + 9 + n / 4096) 2^-53 sum |term|.
#pragma once

#include "core/arithmetic.h"
#include "ops/reduction.h"

#include <algorithm>

namespace mezzo {

inline constexpr int kRowPack = 4;           // neighbours that a lane reads at once
inline constexpr int64_t kRowSegment = 1024; // elements that a warp takes at a time
inline constexpr int kRowWarps = 4;          // that share a row
static_assert(kRowSegment % (kRowPack * kSumLanes) == 0);

/// Rows that are worth handing to another thread.
constexpr int64_t row_grain(int64_t width) {
    return divide_up(kElementGrain, width);
}

/// Sum of term(i), an MEZZO_ALWAYS_INLINE function, for i in [begin, end), at most a segment.
template <class Term>
MEZZO_ALWAYS_INLINE inline double sum_segment(int64_t begin, int64_t end, const Term &term) {
    constexpr int kSums = kRowPack * kSumLanes;
    double sums[kSums] = {};
    int64_t i = begin;
    for (; i + kSums <= end; i += kSums) {
        for (int k = 0; k < kSums; ++k) sums[k] += term(i + k);
    }
    for (int k = 0; i < end; ++i, ++k) sums[k] += term(i);
    double lanes[kSumLanes];
    for (int lane = 0; lane < kSumLanes; ++lane) {
        const double *four = sums + kRowPack * lane;
        lanes[lane] = (four[0] + four[1]) + (four[2] + four[3]);
    }
    for (int width = kSumLanes / 2; width > 0; width /= 2) {
        for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
    }
    return lanes[0];
}

/// The sum of a row, from what its segments have added to kRowWarps running sums.
MEZZO_HOST_DEVICE double sum_of_warps(const double *sums) {
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// Sum of term(i), an MEZZO_ALWAYS_INLINE function, for i in [0, width).
template <class Term>
MEZZO_ALWAYS_INLINE inline double sum_row(int64_t width, const Term &term) {
    double sums[kRowWarps] = {};
    for (int64_t begin = 0, warp = 0; begin < width; begin += kRowSegment, warp = (warp + 1) % kRowWarps) {
        sums[warp] += sum_segment(begin, std::min(begin + kRowSegment, width), term);
    }
    return sum_of_warps(sums);
}

} // namespace mezzo
