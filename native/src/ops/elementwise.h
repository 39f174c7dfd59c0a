// SPDX-License-Identifier: MIT
// The loop of elementwise ops on the CPU.
#pragma once

#include "core/convert.h"
#include "core/parallel.h"

namespace mezzo {

/// out[i] = function(in[i]...), where `function` is MEZZO_ALWAYS_INLINE and takes and returns stored elements.
/// An input may be `out` itself: no element depends on another, which is what ivdep tells the compiler. The
/// local copies tell it that writing elements changes neither pointers nor function, whatever their types.
template <class Out, class Function, class... In>
void map_elements(int64_t elements, Out *out, const Function &function, const In *...in) {
    parallel_for(elements, kElementGrain, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        const auto map = [function, to = out, ... from = in](int64_t first, int64_t past) MEZZO_ALWAYS_INLINE {
#pragma GCC ivdep
            for (int64_t i = first; i < past; ++i) to[i] = function(from[i]...);
        };
        map(begin, end);
    });
}

/// out[i] = value
template <class T>
void fill_elements(int64_t elements, T *out, T value) {
    parallel_for(elements, kElementGrain, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        for (int64_t i = begin; i < end; ++i) {
            if constexpr (is_half<T>) {
                out[i].bits = value.bits; // a copy of the struct is not vectorised
            } else {
                out[i] = value;
            }
        }
    });
}

} // namespace mezzo
