// SPDX-License-Identifier: MIT
// How far a result may lie from the exact one. The only place where tests get their tolerances from: they
// follow from dtype, number of roundings and magnitude, never from looking at results.
//
// A sum of n terms, computed in a dtype of unit roundoff u in any order, differs from the exact sum by at
// most n u / (1 - n u) times the sum of the terms' magnitudes; storing the result rounds once more.
// Source: Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, section 3.1.
#pragma once

#include <mezzo/mezzo.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace mezzo::testing {

/// Largest relative error of one rounding to a floating dtype: 2^-24 for f32. 0 for integers.
double unit_roundoff(mezzo_dtype dtype);

/// Smallest positive number of a floating dtype, a subnormal: half of it bounds the error of underflow.
double smallest_subnormal(mezzo_dtype dtype);

/// The dtype that ops compute in: f32 for the halves.
mezzo_dtype arithmetic_of(mezzo_dtype dtype);

/// Computed elements and what they must be near to.
struct Expected {
    std::vector<double> values;     // exact results
    std::vector<double> magnitudes; // for each, the sum of the magnitudes of the terms it is made of
};

/// What the elements went through.
struct Roundings {
    mezzo_dtype stored;     // dtype of the result
    mezzo_dtype arithmetic; // dtype of the operations
    int64_t operations;     // roundings on the way to an element, of values up to its magnitude
};

/// The bound of one element.
double element_tolerance(double value, double magnitude, const Roundings &roundings);

/// Success when each element keeps its bound and ||got - expected|| / ||expected|| keeps the bound of the
/// whole. Inf must be met exactly and NaN by NaN; only an error that is `<=` its bound is accepted.
::testing::AssertionResult is_near(const std::vector<double> &got, const Expected &expected,
                                   const Roundings &roundings);

/// is_near() for results of a few operations on one or two inputs, where the magnitude is the value's own.
::testing::AssertionResult is_near(const std::vector<double> &got, const std::vector<double> &expected,
                                   const Roundings &roundings);

/// Success when all elements are equal, bit by bit but for the payload of a NaN.
::testing::AssertionResult is_identical(const std::vector<double> &got, const std::vector<double> &expected);

/// Largest error of central differences in f64, relative to the magnitudes of value and gradient: their
/// best step is the cube root of the unit roundoff, and the error its square.
double finite_difference_step();
double finite_difference_tolerance(double magnitude);

} // namespace mezzo::testing
