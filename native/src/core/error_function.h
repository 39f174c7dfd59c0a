// SPDX-License-Identifier: MIT
// The error function and the normal distribution function, as core/elementary.h: the same bits everywhere.
//
//   normal_cdf(x)  integral of the normal density from -Inf to x
//   erf(x)         2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x = 2 normal_cdf(sqrt(2) x) - 1
//
// Up to 1 they are Taylor's series. Beyond, with a = |x| and q = (4 - a) / (2.75 + a), the tail is
// e^(-a^2 / 2) P(q) / (2.75 + a). The rounding error of a^2 is made good, since e to its power would show it.
// eng/fit_normal_tail.py prints P's coefficients.
//
// Errors, in units in the last place, which tests/native/core/elementary_test.cpp holds: erf 3.25, normal_cdf 4.5.
#pragma once

#include "core/elementary.h"

namespace mezzo::elementary {

namespace detail {

template <class Real>
struct ErrorFunction;

template <>
struct ErrorFunction<float> {
    static constexpr int kTerms = 8;     // next one 7e-9, relative
    static constexpr float kEnd = 14.5F; // the tail is 0 from there on

    MEZZO_HOST_DEVICE static float smooth(float q) {
        return polynomial(q, 0.6372718266F, 0.3331964573F, 0.1128626116F, 0.01479350278F, -0.005417427822F,
                          -0.002012711954F, 0.00048893781F, 0.0002249487623F, -8.097597098e-5F);
    }
};

template <>
struct ErrorFunction<double> {
    static constexpr int kTerms = 15; // next one 8e-19
    static constexpr double kEnd = 39;

    MEZZO_HOST_DEVICE static double smooth(double q) {
        return polynomial(q, 0.637271828788290315, 0.33319644471814747, 0.112862439021747755, 0.0147940086540682517,
                          -0.00541542436769041918, -0.00201813038292132832, 0.000482616369249702196,
                          0.000246205746894409875, -0.0000811326348996926703, -0.0000279952243391238095,
                          0.0000173522264425513188, 1.45244667696907243e-6, -3.48796663173400231e-6,
                          6.47521347520811739e-7, 5.08085607842081686e-7, -3.02952977361818536e-7,
                          -9.12377067434970498e-9, 7.38342109505390174e-8, -1.98982207332004018e-8,
                          -1.05291856487990103e-8, 4.41484522548971478e-9, 6.7791457423584454e-10);
    }
};

/// (-1)^k / (2^k k! (2 k + 1) sqrt(2 pi)), the coefficient of x^(2 k + 1) in normal_cdf(x) - 1/2.
template <class Real, int k>
inline constexpr Real kCdfCoefficient = static_cast<Real>((k % 2 == 0 ? 1 : -1) * 0.398942280401432677940 /
                                                          (factorial(k) * (2 * k + 1) * static_cast<double>(1 << k)));

template <class Real, int... k>
MEZZO_HOST_DEVICE Real cdf_series(Real square, std::integer_sequence<int, k...>) {
    return polynomial(square, kCdfCoefficient<Real, k>...);
}

/// The ways to the integral of the normal density.
template <class Real>
struct NormalIntegral {
    Real centre; // from 0 to x, for |x| < 1
    Real tail;   // from |x| to Inf, for |x| >= 1
    Real bell;   // e^(-x^2 / 2), the density times sqrt(2 pi)
};

template <class Real>
MEZZO_HOST_DEVICE NormalIntegral<Real> normal_integral(Real x) {
    using E = ErrorFunction<Real>;
    const Real size = magnitude(x);
    const Real a = size > E::kEnd ? E::kEnd : size;
    const Real square = a * a;
    const auto bell = exponential(Real(-0.5) * square, Real(-0.5) * std::fma(a, a, -square));
    const Real weight = Real(1) / (Real(2.75) + a);
    const Real smooth = weight * E::smooth((Real(4) - a) * weight);
    const Real tail = bell.times(std::fma(bell.rest, smooth, smooth));
    const Real centre = x * cdf_series(square, std::make_integer_sequence<int, E::kTerms>());
    return {centre, tail, bell.times(Real(1) + bell.rest)};
}

} // namespace detail

/// The normal distribution function and what its density shares with it.
template <class Real>
struct Normal {
    Real cdf;
    Real density;
};

template <class Real>
MEZZO_HOST_DEVICE Normal<Real> normal(Real x) {
    constexpr Real kInverseSqrtTwoPi = static_cast<Real>(0.398942280401432677940);
    const auto integral = detail::normal_integral(x);
    const Real far = x < Real(0) ? integral.tail : Real(1) - integral.tail;
    return {magnitude(x) < Real(1) ? Real(0.5) + integral.centre : far, integral.bell * kInverseSqrtTwoPi};
}

/// The normal distribution function.
template <class Real>
MEZZO_HOST_DEVICE Real normal_cdf(Real x) {
    return normal(x).cdf;
}

/// The error function.
template <class Real>
MEZZO_HOST_DEVICE Real erf(Real x) {
    const Real scaled = x * static_cast<Real>(1.41421356237309504880);
    const auto integral = detail::normal_integral(scaled);
    const Real far = with_sign_of(std::fma(integral.tail, Real(-2), Real(1)), x);
    return magnitude(scaled) < Real(1) ? Real(2) * integral.centre : far;
}

} // namespace mezzo::elementary
