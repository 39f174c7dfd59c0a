// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <mezzo/ops.h>

#include <cmath>

#include "support/activation.h"

namespace mezzo::testing {
namespace {

const Activation kTanh = {
    mezzo_tanh_forward,
    mezzo_tanh_backward,
    [](long double x) { return std::tanh(x); },
    [](long double y) { return 1 - y * y; },
    [](long double y) { return 1 + y * y; },
    true,
    "tanh",
};

TEST(Tanh, MatchesItsFormulasForEveryDTypeAndShape) {
    expect_formulas(kTanh);
}

TEST(Tanh, OfSpecialValues_IsWhatTheFormulasSay) {
    expect_formulas_of_special_values(kTanh);
}

TEST(Tanh, Backward_MatchesFiniteDifference) {
    expect_gradient_of_finite_differences(kTanh);
}

TEST(Tanh, OnEveryDevice_GivesTheSameBits) {
    expect_same_bits(kTanh);
}

TEST(Tanh, RejectsBadArguments) {
    expect_refusals(kTanh);
}

} // namespace
} // namespace mezzo::testing
