// SPDX-License-Identifier: MIT
// Pairs of normal numbers from pairs of random words, with the same bits on every device:
//
//   r = sqrt(-2 ln u), a = 2 pi v;  z0 = r cos a, z1 = r sin a
//
// A library's sincos differs from device to device, as its log does (core/elementary.h), so it is written out here,
// for f32 and f64, in exactly rounded operations alone. The series are Taylor's: an eighth of a turn is small enough
// that the few terms saved by other coefficients are not worth the tables.
//
// Accuracy, which the tests hold: sine and cosine within 1 epsilon absolute.
// Range: |z| <= 6.8 in f32 and 9.5 in f64, because u is never below 2^-33 and 2^-65.
// Source: Box and Muller, "A note on the generation of random normal deviates", 1958.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/elementary.h"

namespace mezzo::box_muller {

/// What differs between the two precisions: the layout of the bits and how many terms are needed.
template <typename Real>
struct Precision;

template <>
struct Precision<float> {
    using Bits = uint32_t;
    using SignedBits = int32_t;
    static constexpr int kMantissaBits = 23;
    static constexpr int kSineTerms = 5;   // next one 2e-9
    static constexpr int kCosineTerms = 6; // next one 1e-10
    static constexpr float kWordScale = 0x1p-32F;
};

template <>
struct Precision<double> {
    using Bits = uint64_t;
    using SignedBits = int64_t;
    static constexpr int kMantissaBits = 52;
    static constexpr int kSineTerms = 9;    // next one 1e-19
    static constexpr int kCosineTerms = 10; // next one 3e-21
    static constexpr double kWordScale = 0x1p-64;
};

template <typename Real>
struct SineCosine {
    Real sine, cosine;
};

/// Sine and cosine of an angle given as a binary fraction of a full turn, all bits of the word.
template <typename Real>
MEZZO_HOST_DEVICE SineCosine<Real> sine_cosine_of_turn(typename Precision<Real>::Bits turn) {
    using P = Precision<Real>;
    using Bits = typename P::Bits;
    using SignedBits = typename P::SignedBits;
    constexpr int kWordBits = 8 * sizeof(Bits);
    constexpr Real kTwoPi = static_cast<Real>(6.283185307179586476925);

    // The nearest quarter turn, and what is left of the angle: at most an eighth of a turn either way.
    const Bits quarter = (turn + (Bits(1) << (kWordBits - 3))) >> (kWordBits - 2);
    const SignedBits rest = static_cast<SignedBits>(turn - (quarter << (kWordBits - 2)));
    const Real angle = static_cast<Real>(rest) * (kTwoPi * P::kWordScale);

    const Real square = angle * angle;
    Real sine = Real(1); // sin a = a (1 - a^2/(2*3) (1 - a^2/(4*5) (1 - ...)))
    MEZZO_UNROLL
    for (int term = P::kSineTerms - 1; term >= 1; --term) {
        sine = std::fma(sine * square, Real(-1) / Real(2 * term * (2 * term + 1)), Real(1));
    }
    sine = sine * angle;
    Real cosine = Real(1); // cos a = 1 - a^2/(1*2) (1 - a^2/(3*4) (1 - ...))
    MEZZO_UNROLL
    for (int term = P::kCosineTerms - 1; term >= 1; --term) {
        cosine = std::fma(cosine * square, Real(-1) / Real(2 * term * (2 * term - 1)), Real(1));
    }

    const bool swap = (quarter & 1) != 0;
    const Real across = swap ? cosine : sine;
    const Real along = swap ? sine : cosine;
    // Quarter turns 2 and 3 negate the sine, 1 and 2 the cosine.
    return {(quarter & 2) != 0 ? -across : across, ((quarter + 1) & 2) != 0 ? -along : along};
}

template <typename Real>
struct Pair {
    Real first, second;
};

/// Two independent standard normal numbers from two random words as wide as Real.
template <typename Real>
MEZZO_HOST_DEVICE Pair<Real> normal_pair(typename Precision<Real>::Bits radius_word,
                                         typename Precision<Real>::Bits angle_word) {
    using P = Precision<Real>;
    // The centre of the word's interval: never 0, so the logarithm is finite.
    const Real u = std::fma(static_cast<Real>(radius_word), P::kWordScale, P::kWordScale / Real(2));
    const Real radius = std::sqrt(Real(-2) * elementary::log_of_normal(u));
    const SineCosine<Real> direction = sine_cosine_of_turn<Real>(angle_word);
    return {radius * direction.cosine, radius * direction.sine};
}

} // namespace mezzo::box_muller
