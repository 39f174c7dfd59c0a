// SPDX-License-Identifier: MIT
// Loops over a team of threads, compiled for several instruction sets from one source.
#pragma once

#include "core/cpu.h"
#include "core/inline.h"

#include <cstdint>

namespace mezzo {

/// Smallest number of plain elements worth handing to another thread.
inline constexpr int64_t kElementGrain = 16384;

/// Block of a reduction: partial results belong to blocks, not to threads, and are added in order, so the
/// result does not depend on the number of threads.
inline constexpr int64_t kReductionBlock = 4096;

/// Number of threads of the calls that start now.
int thread_count();

namespace parallel_detail {

using Range = void (*)(const void *loop, int64_t begin, int64_t end);

/// Calls `range` for consecutive parts of [0, n). The parts depend on n, grain and thread_count() alone.
void run(int64_t n, int64_t grain, Range range, const void *loop);

template <class Loop>
void range_baseline(const void *loop, int64_t begin, int64_t end) {
    (*static_cast<const Loop *>(loop))(begin, end);
}

#if defined(__x86_64__)
template <class Loop>
__attribute__((target("arch=x86-64-v3"))) void range_v3(const void *loop, int64_t begin, int64_t end) {
    (*static_cast<const Loop *>(loop))(begin, end);
}

template <class Loop>
__attribute__((target("arch=x86-64-v4,prefer-vector-width=512"))) void range_v4(const void *loop, int64_t begin,
                                                                                int64_t end) {
    (*static_cast<const Loop *>(loop))(begin, end);
}
#endif

/// The instance of a loop for a level.
template <class Loop>
Range instance(CpuLevel level) {
#if defined(__x86_64__)
    if (level == CpuLevel::kV4) return range_v4<Loop>;
    if (level == CpuLevel::kV3) return range_v3<Loop>;
#endif
    static_cast<void>(level);
    return range_baseline<Loop>;
}

} // namespace parallel_detail

/// Runs `loop(begin, end)` over consecutive parts of [0, n), on as many threads as there is work for.
/// Parts begin at multiples of `grain`, the least amount of work worth a thread, and depend only on n,
/// grain and the number of threads. The loop must not throw. Write it as
///     [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE { for (int64_t i = begin; i < end; ++i) ... }
/// and call nothing in it that is not MEZZO_ALWAYS_INLINE: it is then vectorised for AVX-512, AVX2 and
/// the baseline, and the best instance is chosen at run time.
template <class Loop>
void parallel_for(int64_t n, int64_t grain, const Loop &loop) {
    parallel_detail::run(n, grain, parallel_detail::instance<Loop>(cpu_level()), &loop);
}

} // namespace mezzo
