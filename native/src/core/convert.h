// SPDX-License-Identifier: MIT
// convert<To>(from): one element from any dtype to any other, rounded once, branch-free so that it vectorises.
//
// A GPU has instructions for f32 to and from the halves, and uses them. They give the same bits as the integer
// arithmetic here but for NaN: a GPU makes every NaN the same one, a CPU keeps its sign and the upper bits.
#pragma once

#include "core/dtype.h"
#include "core/host_device.h"

#if defined(__CUDACC__)
#include "device/ptx.cuh"
#endif

#include <limits>

namespace mezzo {

/// An unsigned integer as large as T.
template <class T>
using BitsOf = std::conditional_t<
    sizeof(T) == 8, uint64_t,
    std::conditional_t<sizeof(T) == 4, uint32_t, std::conditional_t<sizeof(T) == 2, uint16_t, uint8_t>>>;

namespace convert_detail {

MEZZO_HOST_DEVICE float widen(BFloat16 value) {
    return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

// Subnormal halves go through the integer conversion, so the result does not depend on how the
// processor treats subnormals.
MEZZO_HOST_DEVICE float widen(Half value) {
#if defined(__CUDA_ARCH__)
    return ptx::to_float(value);
#else
    const uint32_t bits = value.bits;
    const uint32_t magnitude = bits & 0x7fffu;
    const uint32_t normal = (magnitude << 13) + (112u << 23);
    const uint32_t special = (magnitude << 13) | (255u << 23);
    const uint32_t subnormal = std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
    uint32_t result = magnitude < 0x0400u ? subnormal : normal;
    result = magnitude >= 0x7c00u ? special : result;
    return std::bit_cast<float>(result | ((bits & 0x8000u) << 16));
#endif
}

/// How a floating format is laid out below its sign.
template <class T>
struct Format;
template <>
struct Format<double> {
    static constexpr int kFraction = 52;
    static constexpr int kBias = 1023;
};
template <>
struct Format<float> {
    static constexpr int kFraction = 23;
    static constexpr int kBias = 127;
};
template <>
struct Format<Half> {
    static constexpr int kFraction = 10;
    static constexpr int kBias = 15;
};
template <>
struct Format<BFloat16> {
    static constexpr int kFraction = 7;
    static constexpr int kBias = 127;
};

/// Rounds a float or a double to a half, in integers as wide as the value, so that there is one rounding.
template <class To, class From>
MEZZO_HOST_DEVICE To narrow(From value) {
#if defined(__CUDA_ARCH__)
    if constexpr (std::is_same_v<From, float>) return ptx::from_float<To>(value);
#endif
    using Source = Format<From>;
    using Target = Format<To>;
    using Bits = BitsOf<From>;
    constexpr int kShift = Source::kFraction - Target::kFraction;
    constexpr Bits kBiasChange = Source::kBias - Target::kBias;
    constexpr Bits kSign = Bits{1} << (8 * sizeof(Bits) - 1);
    constexpr Bits kHalfPlace = Bits{1} << (kShift - 1);
    constexpr Bits kInfinity = Bits{2 * Target::kBias + 1} << Target::kFraction;

    const Bits bits = std::bit_cast<Bits>(value);
    const Bits magnitude = bits & ~kSign;
    const Bits fraction = magnitude >> kShift;
    Bits result = (magnitude - (kBiasChange << Source::kFraction) + (kHalfPlace - 1) + (fraction & 1)) >> kShift;
    if constexpr (kBiasChange != 0) {
        // Added to a number whose last place is that of a subnormal half, the value is rounded there.
        constexpr Bits kUnit = kBiasChange + 1 + kShift;
        constexpr From kRounder = std::bit_cast<From>(kUnit << Source::kFraction);
        const From sum = std::bit_cast<From>(magnitude) + kRounder;
        const Bits subnormal = std::bit_cast<Bits>(sum) - std::bit_cast<Bits>(kRounder);
        constexpr Bits kSmallestNormal = (kBiasChange + 1) << Source::kFraction;
        constexpr Bits kTooLarge = (Bits{Source::kBias + Target::kBias + 1} << Source::kFraction) - kHalfPlace;
        result = magnitude < kSmallestNormal ? subnormal : result;
        result = magnitude >= kTooLarge ? kInfinity : result;
    }
    constexpr Bits kQuiet = kInfinity | Bits{1} << (Target::kFraction - 1);
    constexpr Bits kFractionMask = (Bits{1} << Target::kFraction) - 1;
    constexpr Bits kSourceInfinity = Bits{2 * Source::kBias + 1} << Source::kFraction;
    result = magnitude > kSourceInfinity ? kQuiet | (fraction & kFractionMask) : result;
    return {static_cast<uint16_t>(result | (bits & kSign) >> (8 * sizeof(Bits) - 16))};
}

// Past 2^53 the low bits are folded into one that a half cannot reach, so the double is exact.
MEZZO_HOST_DEVICE double fold_to_double(int64_t value) {
    constexpr int64_t kExact = int64_t{1} << 53;
    const int64_t folded = (value & ~int64_t{0xfff}) | ((value & 0xfff) != 0 ? 0x1000 : 0);
    return static_cast<double>(value > kExact || value < -kExact ? folded : value);
}

// Truncates, saturates, turns NaN into 0. Every conversion that is made is in range, as C++ demands.
template <class To, class From>
MEZZO_HOST_DEVICE To to_integer(From value) {
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
MEZZO_HOST_DEVICE To clamp_integer(From value) {
    constexpr From kLowest = static_cast<From>(std::numeric_limits<To>::min());
    constexpr From kLargest = static_cast<From>(std::numeric_limits<To>::max());
    return static_cast<To>(value < kLowest ? kLowest : value > kLargest ? kLargest : value);
}

} // namespace convert_detail

/// The bits of a floating element that are all ones in Inf and NaN alone: all but the sign's and the fraction's.
template <class T>
inline constexpr BitsOf<T> kExponentMask = [] {
    constexpr auto kAllButSign = static_cast<BitsOf<T>>(~BitsOf<T>{0}) >> 1;
    return static_cast<BitsOf<T>>(kAllButSign >> convert_detail::Format<T>::kFraction
                                                     << convert_detail::Format<T>::kFraction);
}();

template <class T>
MEZZO_HOST_DEVICE BitsOf<T> exponent_of(T element) {
    return static_cast<BitsOf<T>>(std::bit_cast<BitsOf<T>>(element) & kExponentMask<T>);
}

template <class T>
MEZZO_HOST_DEVICE bool is_finite(T element) {
    return exponent_of(element) != kExponentMask<T>;
}

template <class To, class From>
MEZZO_HOST_DEVICE To convert(From value) {
    namespace detail = convert_detail;
    if constexpr (std::is_same_v<To, From>) {
        return value;
    } else if constexpr (is_half<From>) {
        return convert<To>(detail::widen(value));
    } else if constexpr (is_half<To>) {
        if constexpr (std::is_same_v<From, float>) {
            return detail::narrow<To>(value);
        } else if constexpr (std::is_same_v<From, int64_t>) {
            return convert<To>(detail::fold_to_double(value));
        } else {
            return detail::narrow<To>(static_cast<double>(value));
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
MEZZO_HOST_DEVICE Arithmetic<T> widen(T value) {
    return convert<Arithmetic<T>>(value);
}

} // namespace mezzo
