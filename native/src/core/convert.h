// SPDX-License-Identifier: MIT
// convert<To>(from): one element from any dtype to any other, rounded once, branch-free so that it vectorises.
#pragma once

#include "core/dtype.h"

#include <limits>

namespace mezzo {
namespace convert_detail {

MEZZO_ALWAYS_INLINE inline float widen(BFloat16 value) {
    return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

// Subnormal halves go through the integer conversion, so the result does not depend on how the
// processor treats subnormals.
MEZZO_ALWAYS_INLINE inline float widen(Half value) {
    const uint32_t bits = value.bits;
    const uint32_t magnitude = bits & 0x7fffu;
    const uint32_t normal = (magnitude << 13) + (112u << 23);
    const uint32_t special = (magnitude << 13) | (255u << 23);
    const uint32_t subnormal = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
    uint32_t result = magnitude < 0x0400u ? subnormal : normal;
    result = magnitude >= 0x7c00u ? special : result;
    return std::bit_cast<float>(result | ((bits & 0x8000u) << 16));
}

MEZZO_ALWAYS_INLINE inline BFloat16 narrow(float value, TypeTag<BFloat16>) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t quiet = (bits >> 16) | 0x0040u;
    const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return {static_cast<uint16_t>(is_nan ? quiet : rounded)};
}

// Below the smallest normal half, adding 0.5 lets the processor round at 2^-24, a subnormal half's last place.
MEZZO_ALWAYS_INLINE inline Half narrow(float value, TypeTag<Half>) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t magnitude = bits & 0x7fffffffu;
    const uint32_t normal = (magnitude - (112u << 23) + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
    const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    const uint32_t quiet_nan = 0x7e00u | ((magnitude >> 13) & 0x03ffu);
    uint32_t result = magnitude < 0x38800000u ? subnormal : normal;
    result = magnitude >= 0x477ff000u ? 0x7c00u : result; // 65520 and more round to Inf
    result = magnitude > 0x7f800000u ? quiet_nan : result;
    return {static_cast<uint16_t>(result | ((bits >> 16) & 0x8000u))};
}

// Rounds to odd: an inexact result keeps a set last bit, so that the rounding to a half that follows sees
// on which side of a tie the double lay, and the two roundings equal one.
MEZZO_ALWAYS_INLINE inline float round_to_odd(double value) {
    const float nearest = static_cast<float>(value);
    const double widened = static_cast<double>(nearest);
    const bool too_large = value < 0 ? widened < value : widened > value;
    const uint32_t truncated = std::bit_cast<uint32_t>(nearest) - (too_large ? 1u : 0u);
    return std::bit_cast<float>(truncated | (widened != value ? 1u : 0u));
}

// Past 2^53 the low bits are folded into one that a half cannot reach, so the double is exact.
MEZZO_ALWAYS_INLINE inline double fold_to_double(int64_t value) {
    constexpr int64_t kExact = int64_t{1} << 53;
    const int64_t folded = (value & ~int64_t{0xfff}) | ((value & 0xfff) != 0 ? 0x1000 : 0);
    return static_cast<double>(value > kExact || value < -kExact ? folded : value);
}

// Truncates, saturates, turns NaN into 0. Every conversion that is made is in range, as C++ demands.
template <class To, class From>
MEZZO_ALWAYS_INLINE inline To to_integer(From value) {
    constexpr To kLowest = std::numeric_limits<To>::min();
    constexpr To kLargest = std::numeric_limits<To>::max();
    constexpr From kLow = static_cast<From>(kLowest);
    // The first floating value above the range: the largest integer itself may not be one.
    constexpr From kAbove = static_cast<From>(kLargest / 2 + 1) * 2;
    const bool fits = value > kLow && value < kAbove;
    const To inside = static_cast<To>(fits ? value : From{0});
    const To outside = value >= kAbove ? kLargest : value <= kLow ? kLowest : To{0};
    return fits ? inside : outside;
}

template <class To, class From>
MEZZO_ALWAYS_INLINE inline To clamp_integer(From value) {
    constexpr From kLowest = static_cast<From>(std::numeric_limits<To>::min());
    constexpr From kLargest = static_cast<From>(std::numeric_limits<To>::max());
    return static_cast<To>(value < kLowest ? kLowest : value > kLargest ? kLargest : value);
}

} // namespace convert_detail

template <class To, class From>
MEZZO_ALWAYS_INLINE inline To convert(From value) {
    namespace detail = convert_detail;
    if constexpr (std::is_same_v<To, From>) {
        return value;
    } else if constexpr (is_half<From>) {
        return convert<To>(detail::widen(value));
    } else if constexpr (is_half<To>) {
        if constexpr (std::is_same_v<From, float>) {
            return detail::narrow(value, TypeTag<To>{});
        } else if constexpr (std::is_same_v<From, int64_t>) {
            return convert<To>(detail::fold_to_double(value));
        } else {
            return detail::narrow(detail::round_to_odd(static_cast<double>(value)), TypeTag<To>{});
        }
    } else if constexpr (std::is_floating_point_v<To>) {
        return static_cast<To>(value);
    } else if constexpr (std::is_floating_point_v<From>) {
        return detail::to_integer<To>(value);
    } else if constexpr (sizeof(To) < sizeof(From)) {
        return detail::clamp_integer<To>(value);
    } else {
        return static_cast<To>(value);
    }
}

/// Reads an element in the type that ops compute in.
template <class T>
MEZZO_ALWAYS_INLINE inline Arithmetic<T> widen(T value) {
    return convert<Arithmetic<T>>(value);
}

} // namespace mezzo
