// SPDX-License-Identifier: MIT
// The ReLU of one element and its mask, so that loops over halves vectorise.
#pragma once

#include "core/dtype.h"
#include "core/inline.h"

namespace mezzo::cpu {

/// value <= 0, false for NaN.
template <class T>
MEZZO_ALWAYS_INLINE inline bool is_off(T value) {
    if constexpr (is_half<T>) {
        // In 16-bit integers, so that the loop need not widen what it only selects: as such the negative
        // numbers lie between -0 and -Inf, below the negative NaNs.
        constexpr int16_t kMinusInfinity = std::is_same_v<T, Half> ? -0x0400 : -0x0080;
        const auto bits = static_cast<int16_t>(value.bits);
        return bits <= kMinusInfinity || bits == 0;
    } else {
        return value <= 0;
    }
}

/// 0 when `off`, else the value. On the bits of a half: the compiler does not vectorise a choice of structs.
template <class T>
MEZZO_ALWAYS_INLINE inline T zero_if(bool off, T value) {
    if constexpr (is_half<T>) {
        return {static_cast<uint16_t>(off ? 0 : value.bits)};
    } else {
        return off ? T{0} : value;
    }
}

} // namespace mezzo::cpu
