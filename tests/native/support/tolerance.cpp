// SPDX-License-Identifier: MIT
#include "support/tolerance.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace mezzo::testing {
namespace {

struct Format {
    int fraction_bits;
    int smallest_exponent; // of a normal number
};

Format format_of(mezzo_dtype dtype) {
    switch (dtype) {
        case MEZZO_DTYPE_F32:
            return {23, -126};
        case MEZZO_DTYPE_F64:
            return {52, -1022};
        case MEZZO_DTYPE_F16:
            return {10, -14};
        case MEZZO_DTYPE_BF16:
            return {7, -126};
        default:
            ADD_FAILURE() << "tolerances are for floating dtypes, got " << dtype;
            return {0, 0};
    }
}

// gamma_n of Higham's book.
double accumulated(int64_t operations, mezzo_dtype arithmetic) {
    const double product = static_cast<double>(operations) * unit_roundoff(arithmetic);
    return product / (1 - product);
}

bool matches_special(double got, double expected) {
    return std::isnan(expected) ? std::isnan(got) : got == expected;
}

::testing::AssertionResult wrong_count(size_t got, size_t expected) {
    return ::testing::AssertionFailure() << got << " elements, expected " << expected;
}

} // namespace

double unit_roundoff(mezzo_dtype dtype) {
    return std::ldexp(1.0, -format_of(dtype).fraction_bits - 1);
}

double smallest_subnormal(mezzo_dtype dtype) {
    const Format format = format_of(dtype);
    return std::ldexp(1.0, format.smallest_exponent - format.fraction_bits);
}

mezzo_dtype arithmetic_of(mezzo_dtype dtype) {
    return dtype == MEZZO_DTYPE_F16 || dtype == MEZZO_DTYPE_BF16 ? MEZZO_DTYPE_F32 : dtype;
}

double element_tolerance(double value, double magnitude, const Roundings &roundings) {
    const double computed = accumulated(roundings.operations, roundings.arithmetic) * magnitude +
                            static_cast<double>(roundings.operations) * smallest_subnormal(roundings.arithmetic) / 2;
    // The rounding of the store acts on the computed value, not on the exact one.
    const double stored = unit_roundoff(roundings.stored) * (std::abs(value) + computed);
    return computed + std::max(stored, smallest_subnormal(roundings.stored) / 2);
}

::testing::AssertionResult is_near(const std::vector<double> &got, const Expected &expected,
                                   const Roundings &roundings) {
    if (got.size() != expected.values.size()) return wrong_count(got.size(), expected.values.size());
    double error_squares = 0;
    double tolerance_squares = 0;
    for (size_t i = 0; i < got.size(); ++i) {
        const double value = expected.values[i];
        if (!std::isfinite(value)) {
            if (matches_special(got[i], value)) continue;
            return ::testing::AssertionFailure() << "element " << i << " is " << got[i] << ", expected " << value;
        }
        const double tolerance = element_tolerance(value, expected.magnitudes[i], roundings);
        const double error = std::abs(got[i] - value);
        if (!(error <= tolerance)) {
            return ::testing::AssertionFailure() << "element " << i << " is " << got[i] << ", expected " << value
                                                 << ": off by " << error << ", tolerance " << tolerance;
        }
        error_squares += error * error;
        tolerance_squares += tolerance * tolerance;
    }
    // Over many different values the errors are nowhere near all at their bound, so a part of it shows a
    // bias that no single element gives away.
    constexpr int64_t kMany = 64;
    const auto different = std::count_if(expected.values.begin(), expected.values.end(),
                                         [&](double value) { return value != expected.values.front(); });
    const double share = different >= kMany && different > static_cast<int64_t>(got.size()) / 2 ? 0.75 : 1;
    if (!(std::sqrt(error_squares) <= share * std::sqrt(tolerance_squares))) {
        return ::testing::AssertionFailure() << "the norm of the error is " << std::sqrt(error_squares)
                                             << ", tolerance " << share * std::sqrt(tolerance_squares);
    }
    return ::testing::AssertionSuccess();
}

::testing::AssertionResult is_near(const std::vector<double> &got, const std::vector<double> &expected,
                                   const Roundings &roundings) {
    Expected with_magnitudes{expected, expected};
    for (double &magnitude : with_magnitudes.magnitudes) magnitude = std::abs(magnitude);
    return is_near(got, with_magnitudes, roundings);
}

::testing::AssertionResult is_identical(const std::vector<double> &got, const std::vector<double> &expected) {
    if (got.size() != expected.size()) return wrong_count(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
        const bool same = std::isnan(expected[i])
                              ? std::isnan(got[i])
                              : std::bit_cast<uint64_t>(got[i]) == std::bit_cast<uint64_t>(expected[i]);
        if (!same) {
            return ::testing::AssertionFailure() << "element " << i << " is " << got[i] << ", expected " << expected[i];
        }
    }
    return ::testing::AssertionSuccess();
}

double finite_difference_step() {
    return std::cbrt(unit_roundoff(MEZZO_DTYPE_F64));
}

double finite_difference_tolerance(double magnitude) {
    const double step = finite_difference_step();
    constexpr double kRoundingsOfValues = 16;
    return kRoundingsOfValues * step * step * (1 + magnitude);
}

} // namespace mezzo::testing
