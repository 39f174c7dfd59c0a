// SPDX-License-Identifier: MIT
// Tests of the tests: what must go red does.
#include "support/oracle.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace mezzo::testing {
namespace {

constexpr Roundings kOneInBf16{MEZZO_DTYPE_BF16, MEZZO_DTYPE_F32, 1};

TEST(Tolerance, OfExactRoundings_IsMet) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const std::vector<double> values = random_values(10000, 9, -100, 100);
        EXPECT_TRUE(is_near(rounded(values, dtype), values, {dtype, arithmetic_of(dtype), 1}));
    }
}

TEST(Tolerance, OneWrongElement_GoesRed) {
    std::vector<double> values = random_values(1000, 9);
    const std::vector<double> expected = values;
    values[517] *= 1.01;
    EXPECT_FALSE(is_near(values, expected, kOneInBf16));
}

TEST(Tolerance, NanInfAndZeros_GoRed) {
    const std::vector<double> expected = random_values(100, 9);
    for (const double wrong : {std::nan(""), std::numeric_limits<double>::infinity(), 0.0}) {
        std::vector<double> one_wrong = expected;
        one_wrong[3] = wrong;
        EXPECT_FALSE(is_near(one_wrong, expected, kOneInBf16)) << wrong;
        EXPECT_FALSE(is_near(std::vector<double>(100, wrong), expected, kOneInBf16)) << wrong;
    }
}

TEST(Tolerance, FiniteForNanOrInf_GoesRed) {
    const double infinity = std::numeric_limits<double>::infinity();
    EXPECT_FALSE(is_near({1.0}, std::vector<double>{std::nan("")}, kOneInBf16));
    EXPECT_FALSE(is_near({1.0}, std::vector<double>{infinity}, kOneInBf16));
    EXPECT_FALSE(is_near({-infinity}, std::vector<double>{infinity}, kOneInBf16));
    EXPECT_TRUE(is_near({infinity}, std::vector<double>{infinity}, kOneInBf16));
    EXPECT_TRUE(is_near({std::nan("")}, std::vector<double>{std::nan("")}, kOneInBf16));
}

TEST(Tolerance, AMissingElement_GoesRed) {
    EXPECT_FALSE(is_near({1.0}, std::vector<double>{1.0, 1.0}, kOneInBf16));
    EXPECT_FALSE(is_identical({1.0}, {1.0, 1.0}));
}

TEST(Tolerance, ABiasWithinEveryElementsBound_GoesRed) {
    const std::vector<double> expected = random_values(1000, 9, 1, 2);
    std::vector<double> biased = expected;
    for (double &value : biased) value *= 1 + 0.9 * unit_roundoff(MEZZO_DTYPE_BF16);
    EXPECT_FALSE(is_near(biased, expected, kOneInBf16));
}

TEST(Tolerance, Identical_TellsZerosOfBothSignsApart) {
    EXPECT_FALSE(is_identical({0.0}, {-0.0}));
    EXPECT_TRUE(is_identical({std::nan("")}, {-std::nan("")}));
}

TEST(Tolerance, FormatsHaveTheirConstants) {
    EXPECT_EQ(unit_roundoff(MEZZO_DTYPE_F16), 0x1p-11);
    EXPECT_EQ(unit_roundoff(MEZZO_DTYPE_BF16), 0x1p-8);
    EXPECT_EQ(smallest_subnormal(MEZZO_DTYPE_F16), 0x1p-24);
    EXPECT_EQ(smallest_subnormal(MEZZO_DTYPE_F32), static_cast<double>(std::numeric_limits<float>::denorm_min()));
    EXPECT_EQ(special_values(MEZZO_DTYPE_F16)[6], 65504);
    EXPECT_EQ(special_values(MEZZO_DTYPE_F64)[6], std::numeric_limits<double>::max());
}

TEST(Oracle, RootOfOverflow_IsWhatItSays) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const double root = root_of_overflow(dtype);
        const double largest = special_values(dtype)[6];
        for (const double held : {root, 0.75 * root, 0.75 * root * root}) {
            EXPECT_EQ(rounded({held}, dtype)[0], held) << dtype;
        }
        EXPECT_LT(0.75 * root * root, largest);
        EXPECT_GT(1.5 * root * root, largest);
    }
}

TEST(Oracle, FiniteDifference_OfACubic_MatchesItsDerivative) {
    const auto cube = [](const std::vector<double> &x) { return x[0] * x[0] * x[0] + 2 * x[1]; };
    const std::vector<double> gradient = finite_difference(cube, {1.5, -4});
    EXPECT_LE(std::abs(gradient[0] - 6.75), finite_difference_tolerance(6.75));
    EXPECT_LE(std::abs(gradient[1] - 2), finite_difference_tolerance(2));
}

TEST(Oracle, Matmul_OfSmallMatrices_IsTheOneByHand) {
    const Expected product = matmul({1, -2, 3, 4}, {5, 6, 7, 8}, 2, 2, 2);
    EXPECT_EQ(product.values, (std::vector<double>{-9, -10, 43, 50}));
    EXPECT_EQ(product.magnitudes, (std::vector<double>{19, 22, 43, 50}));
    EXPECT_EQ(transposed({1, 2, 3, 4, 5, 6}, 2, 3), (std::vector<double>{1, 4, 2, 5, 3, 6}));
}

} // namespace
} // namespace mezzo::testing
