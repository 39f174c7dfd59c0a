// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <mezzo/ops.h>

#include <cmath>

#include "support/activation.h"

namespace mezzo::testing {
namespace {

const Activation kSilu = {
    mezzo_silu_forward,
    mezzo_silu_backward,
    [](long double x) { return x / (1 + std::exp(-x)); },
    [](long double x) { return (1 + x / (1 + std::exp(x))) / (1 + std::exp(-x)); },
    [](long double x) { return (1 + std::abs(x) / (1 + std::exp(x))) / (1 + std::exp(-x)); },
    false,
    "silu",
};

TEST(Silu, MatchesItsFormulasForEveryDTypeAndShape) {
    expect_formulas(kSilu);
}

TEST(Silu, OfSpecialValues_IsWhatTheFormulasSay) {
    expect_formulas_of_special_values(kSilu);
}

TEST(Silu, Backward_MatchesFiniteDifference) {
    expect_gradient_of_finite_differences(kSilu);
}

TEST(Silu, OnEveryDevice_GivesTheSameBits) {
    expect_same_bits(kSilu);
}

TEST(Silu, RejectsBadArguments) {
    expect_refusals(kSilu);
}

} // namespace
} // namespace mezzo::testing
