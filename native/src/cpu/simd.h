// SPDX-License-Identifier: MIT
// Plain loops of one thread, compiled for several instruction sets like those of parallel_for().
#pragma once

#include "core/convert.h"
#include "core/parallel.h"
#include "cpu/product.h"

#include <algorithm>

namespace mezzo::cpu {

/// Runs `loop(0, n)` on this thread in the best instance for this processor; for `loop` see parallel_for().
template <class Loop>
void simd_for(int64_t n, const Loop &loop) {
    parallel_detail::instance<Loop>(cpu_level())(&loop, 0, n);
}

/// Converts elements, from `From` by way of `Via`, to `To`.
template <class Via, class To, class From>
void convert_elements(To *to, const From *from, int64_t n) {
    simd_for(n, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        for (int64_t i = begin; i < end; ++i) to[i] = convert<To>(convert<Via>(from[i]));
    });
}

/// Columns of a product that a plain backend computes at a time, in a buffer of the first-level cache.
inline constexpr int64_t kChunk = 256;

/// Fills a chunk of sums with what they start from: columns [begin, begin + count) of the bias, or 0.
template <class Sum>
MEZZO_ALWAYS_INLINE inline void start_chunk(Sum *chunk, const ProductTarget &c, int64_t begin, int64_t count) {
    const auto *bias = reinterpret_cast<const Sum *>(c.bias);
    for (int64_t i = 0; i < count; ++i) chunk[i] = bias == nullptr ? Sum{0} : bias[begin + i];
}

/// Stores a chunk of finished sums at element `offset` of a target with elements of type T.
template <class T, class Sum>
MEZZO_ALWAYS_INLINE inline void finish_chunk(const ProductTarget &c, int64_t offset, const Sum *chunk, int64_t count) {
    const auto activate = [relu = c.relu](Sum sum) MEZZO_ALWAYS_INLINE { return relu && sum < 0 ? Sum{0} : sum; };
    if (c.dtype != dtype_of<Sum>) {
        T *to = reinterpret_cast<T *>(c.data) + offset;
        for (int64_t i = 0; i < count; ++i) to[i] = convert<T>(activate(chunk[i]));
        return;
    }
    Sum *to = reinterpret_cast<Sum *>(c.data) + offset;
    if (c.accumulate) {
        for (int64_t i = 0; i < count; ++i) to[i] += chunk[i];
    } else {
        for (int64_t i = 0; i < count; ++i) to[i] = activate(chunk[i]);
    }
}

} // namespace mezzo::cpu
