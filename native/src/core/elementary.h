// SPDX-License-Identifier: MIT
// Elementary functions with the same bits on every device and instruction set, for f32 and f64:
//
//   exp, log, log1p, tanh, sigmoid           (erf: core/error_function.h)
//
// A library's functions differ from device to device, so they are written out here in exactly rounded operations alone
// (host_device.h) and without branches, so that the loop around them is vectorised. Arguments are first reduced by
// arithmetic on their bits; the series are Taylor's, or the inverse hyperbolic tangent's for logarithms. Where the
// result is a subnormal, too large, or not a number, it is what IEEE 754 asks for.
//
// Errors, in units in the last place, which tests/native/core/elementary_test.cpp holds: exp 1.25, log 2, log1p and
// sigmoid 2.5, tanh 2.75. std::fma is one instruction on every processor since x86-64-v3 and on every GPU; on an older
// processor it is a library call, slow but with the same result.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "core/host_device.h"

namespace mezzo::elementary {

/// Layout of a floating type and what the reductions need to know of it.
template <class Real>
struct Format;

template <>
struct Format<float> {
    using Bits = uint32_t;
    static constexpr int kFraction = 23;
    static constexpr int kBias = 127;
    static constexpr Bits kSqrtHalf = 0x3F3504F3;   // sqrt(1/2)
    static constexpr int kExpTerms = 6;             // next one 5e-9
    static constexpr int kLogTerms = 5;             // next one 2e-9, relative
    static constexpr float kExpLowest = -104;       // e^x is 0 from there down,
    static constexpr float kExpHighest = 89;        // Inf from there up,
    static constexpr float kTanhHighest = 10;       // tanh x is 1 from there up
    static constexpr float kLn2High = 0x1.62e4p-1F; // 15 bits: exact when multiplied by an exponent
    static constexpr float kLn2Low = 1.42860682030941723212e-6F;
};

template <>
struct Format<double> {
    using Bits = uint64_t;
    static constexpr int kFraction = 52;
    static constexpr int kBias = 1023;
    static constexpr Bits kSqrtHalf = 0x3FE6A09E667F3BCD;
    static constexpr int kExpTerms = 12; // next one 4e-18
    static constexpr int kLogTerms = 11; // next one 6e-19, relative
    static constexpr double kExpLowest = -746;
    static constexpr double kExpHighest = 710;
    static constexpr double kTanhHighest = 20;
    static constexpr double kLn2High = 0x1.62e42fefa38p-1; // 42 bits
    static constexpr double kLn2Low = 5.497923018708371174712e-14;
};

/// c0 + x (c1 + x (c2 + ...))
template <class Real>
MEZZO_HOST_DEVICE Real polynomial(Real, Real c0) {
    return c0;
}
template <class Real, class... Higher>
MEZZO_HOST_DEVICE Real polynomial(Real x, Real c0, Higher... higher) {
    return std::fma(polynomial(x, higher...), x, c0);
}

/// x, or the bound that it lies beyond; NaN stays NaN.
template <class Real>
MEZZO_HOST_DEVICE Real clamp(Real x, Real lowest, Real highest) {
    const Real raised = x < lowest ? lowest : x;
    return raised > highest ? highest : raised;
}

/// The magnitude of one number with the sign of another.
template <class Real>
MEZZO_HOST_DEVICE Real with_sign_of(Real magnitude, Real sign) {
    using Bits = typename Format<Real>::Bits;
    constexpr Bits kSign = Bits(1) << (8 * sizeof(Bits) - 1);
    return __builtin_bit_cast(Real, static_cast<Bits>((__builtin_bit_cast(Bits, magnitude) & ~kSign) |
                                                      (__builtin_bit_cast(Bits, sign) & kSign)));
}

/// The magnitude of a number.
template <class Real>
MEZZO_HOST_DEVICE Real magnitude(Real x) {
    return with_sign_of(x, Real(0));
}

namespace detail {

/// 2^(biased exponent - bias)
template <class Real>
MEZZO_HOST_DEVICE Real power_of_two(typename Format<Real>::Bits biased) {
    using Bits = typename Format<Real>::Bits;
    return __builtin_bit_cast(Real, static_cast<Bits>(biased << Format<Real>::kFraction));
}

/// e^x = 2^power (1 + rest), |rest| <= 0.42.
template <class Real>
struct Exponential {
    typename Format<Real>::Bits power; // a two's complement
    Real rest;

    /// 2^power factor, rounded once: in two products, as one power of two may be out of range.
    MEZZO_HOST_DEVICE Real times(Real factor) const {
        using Bits = typename Format<Real>::Bits;
        const auto biased_twice = static_cast<Bits>(power + 2 * Format<Real>::kBias);
        const auto half = static_cast<Bits>(biased_twice >> 1);
        return factor * power_of_two<Real>(half) * power_of_two<Real>(static_cast<Bits>(biased_twice - half));
    }
};

constexpr double factorial(int n) {
    return n <= 1 ? 1 : n * factorial(n - 1);
}

/// 1 / (k + 2)!, the coefficient of r^k in (e^r - 1 - r) / r^2.
template <class Real, int k>
inline constexpr Real kExpCoefficient = static_cast<Real>(1 / factorial(k + 2));

template <class Real, int... k>
MEZZO_HOST_DEVICE Real exponential_series(Real r, std::integer_sequence<int, k...>) {
    return polynomial(r, kExpCoefficient<Real, k>...);
}

/// x + low = power ln 2 + r, |r| <= ln 2 / 2, for |x| < 2^11 (f32: 2^8) and a low below its last place. Added to
/// 1.5 2^fraction, x / ln 2 is rounded to an integer, which then stands in the lowest bits.
template <class Real>
MEZZO_HOST_DEVICE Exponential<Real> exponential(Real x, Real low = Real(0)) {
    using F = Format<Real>;
    using Bits = typename F::Bits;
    constexpr Real kLog2E = static_cast<Real>(1.44269504088896340736);
    constexpr Real kRounder = Real(3) * static_cast<Real>(Bits(1) << (F::kFraction - 1));
    const Real shifted = std::fma(x, kLog2E, kRounder);
    const Real power = shifted - kRounder;
    const Real r = std::fma(power, -F::kLn2Low, std::fma(power, -F::kLn2High, x) + low);
    const Real series = exponential_series(r, std::make_integer_sequence<int, F::kExpTerms>());
    return {static_cast<Bits>(__builtin_bit_cast(Bits, shifted) - __builtin_bit_cast(Bits, kRounder)),
            std::fma(r * r, series, r)};
}

/// power ln 2 + ln(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)): with s = f / (2 + f), ln(1 + f) is
/// 2 (s + s^3/3 + s^5/5 + ...).
template <class Real>
MEZZO_HOST_DEVICE Real logarithm(Real power, Real f) {
    constexpr Real kLn2 = static_cast<Real>(0.693147180559945309417);
    const Real s = f / (Real(2) + f);
    const Real square = s * s;
    Real series = Real(0);
    MEZZO_UNROLL
    for (int term = Format<Real>::kLogTerms - 1; term >= 1; --term) {
        series = std::fma(series, square, Real(1) / Real(2 * term + 1));
    }
    const Real twice = Real(2) * s;
    return std::fma(power, kLn2, std::fma(twice * square, series, twice));
}

/// x = 2^power (1 + f), 1 + f in [sqrt(1/2), sqrt(2)), for a positive normal x.
template <class Real>
struct Scaled {
    typename Format<Real>::Bits biased; // power + bias
    Real power;
    Real f;
};

template <class Real>
MEZZO_HOST_DEVICE Scaled<Real> scaled(Real x) {
    using F = Format<Real>;
    using Bits = typename F::Bits;
    constexpr Bits kOne = Bits(F::kBias) << F::kFraction;
    constexpr Bits kFractionMask = (Bits(1) << F::kFraction) - 1;
    constexpr Real kUnit = static_cast<Real>(Bits(1) << F::kFraction); // its last bit is worth 1
    const Bits shifted = __builtin_bit_cast(Bits, x) + (kOne - F::kSqrtHalf);
    const Bits biased = shifted >> F::kFraction;
    const Real mantissa = __builtin_bit_cast(Real, static_cast<Bits>((shifted & kFractionMask) + F::kSqrtHalf));
    const Real power = __builtin_bit_cast(Real, static_cast<Bits>(__builtin_bit_cast(Bits, kUnit) | biased)) -
                       (kUnit + Real(F::kBias));
    return {biased, power, mantissa - Real(1)};
}

/// A logarithm's result where the argument, counted from its pole, is not a positive finite number.
template <class Real>
MEZZO_HOST_DEVICE Real at_the_edges(Real result, Real from_pole) {
    constexpr Real kInfinity = std::numeric_limits<Real>::infinity();
    const Real positive = from_pole < kInfinity ? result : from_pole; // Inf, NaN
    const Real nonnegative = from_pole == Real(0) ? -kInfinity : positive;
    return from_pole < Real(0) ? std::numeric_limits<Real>::quiet_NaN() : nonnegative;
}

} // namespace detail

/// e^x
template <class Real>
MEZZO_HOST_DEVICE Real exp(Real x) {
    using F = Format<Real>;
    const auto e = detail::exponential(clamp(x, F::kExpLowest, F::kExpHighest));
    return e.times(Real(1) + e.rest);
}

/// ln x for a positive normal x alone.
template <class Real>
MEZZO_HOST_DEVICE Real log_of_normal(Real x) {
    const auto parts = detail::scaled(x);
    return detail::logarithm(parts.power, parts.f);
}

/// ln x; -Inf for 0, NaN below.
template <class Real>
MEZZO_HOST_DEVICE Real log(Real x) {
    constexpr int kShift = Format<Real>::kFraction + 2;
    const bool subnormal = x < std::numeric_limits<Real>::min();
    const auto parts = detail::scaled(subnormal ? x * static_cast<Real>(uint64_t{1} << kShift) : x);
    const Real power = subnormal ? parts.power - Real(kShift) : parts.power;
    return detail::at_the_edges(detail::logarithm(power, parts.f), x);
}

/// ln(1 + x), exact to the last places near 0 too; -Inf for -1, NaN below.
template <class Real>
MEZZO_HOST_DEVICE Real log1p(Real x) {
    const Real sum = Real(1) + x;
    const auto parts = detail::scaled(sum);
    // What the sum has lost, where that shows; where the power is 0, f becomes x again.
    constexpr Real kLarge = static_cast<Real>(uint64_t{1} << Format<Real>::kFraction);
    const Real scale =
        detail::power_of_two<Real>(static_cast<typename Format<Real>::Bits>(2 * Format<Real>::kBias - parts.biased));
    const Real lost = x < kLarge ? (x - (sum - Real(1))) * scale : Real(0);
    const Real result = detail::logarithm(parts.power, parts.f + lost);
    return with_sign_of(detail::at_the_edges(result, sum), x);
}

/// (e^2x - 1) / (e^2x + 1)
template <class Real>
MEZZO_HOST_DEVICE Real tanh(Real x) {
    using F = Format<Real>;
    const Real size = magnitude(x);
    const auto e = detail::exponential(Real(2) * (size > F::kTanhHighest ? F::kTanhHighest : size));
    const Real scale = detail::power_of_two<Real>(static_cast<typename F::Bits>(e.power + F::kBias));
    const Real less_one = std::fma(scale, e.rest, scale - Real(1));
    return with_sign_of(less_one / (less_one + Real(2)), x);
}

/// A sigmoid s and 1 - s.
template <class Real>
struct SigmoidPair {
    Real value;
    Real complement;
};

/// s = 1 / (1 + e^-x), as e^x / (1 + e^x) for a negative x, which keeps small results exact to the last places.
template <class Real>
MEZZO_HOST_DEVICE SigmoidPair<Real> sigmoid_pair(Real x) {
    const Real small = exp(-magnitude(x));
    const Real sum = Real(1) + small;
    return {(x < Real(0) ? small : Real(1)) / sum, (x < Real(0) ? Real(1) : small) / sum};
}

template <class Real>
MEZZO_HOST_DEVICE Real sigmoid(Real x) {
    return sigmoid_pair(x).value;
}

} // namespace mezzo::elementary
