// SPDX-License-Identifier: MIT
#pragma once

// Marks what a loop of parallel_for() calls, and the loop itself. Only an inlined function is compiled for
// the instruction set of the instance that it ends up in; see parallel.h.
//
//     MEZZO_ALWAYS_INLINE inline float square(float x) { return x * x; }
//     parallel_for(n, kElementGrain, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE { ... });
#define MEZZO_ALWAYS_INLINE __attribute__((always_inline))
