// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <mezzo/ops.h>

#include <cmath>

#include "support/activation.h"

namespace mezzo::testing {
namespace {

const Activation kSigmoid = {
    mezzo_sigmoid_forward,
    mezzo_sigmoid_backward,
    [](long double x) { return 1 / (1 + std::exp(-x)); },
    [](long double y) { return y * (1 - y); },
    [](long double y) { return std::abs(y); },
    true,
    "sigmoid",
};

TEST(Sigmoid, MatchesItsFormulasForEveryDTypeAndShape) {
    expect_formulas(kSigmoid);
}

TEST(Sigmoid, OfSpecialValues_IsWhatTheFormulasSay) {
    expect_formulas_of_special_values(kSigmoid);
}

TEST(Sigmoid, Backward_MatchesFiniteDifference) {
    expect_gradient_of_finite_differences(kSigmoid);
}

TEST(Sigmoid, OnEveryDevice_GivesTheSameBits) {
    expect_same_bits(kSigmoid);
}

TEST(Sigmoid, RejectsBadArguments) {
    expect_refusals(kSigmoid);
}

} // namespace
} // namespace mezzo::testing
