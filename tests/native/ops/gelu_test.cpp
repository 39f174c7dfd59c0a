// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <mezzo/ops.h>

#include <cmath>
#include <cstring>

#include "support/activation.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

constexpr mezzo_gelu_desc kTanh = {sizeof(mezzo_gelu_desc), MEZZO_GELU_APPROXIMATION_TANH};

long double cdf(long double x) {
    return std::erfc(x * -std::sqrt(0.5L)) / 2;
}

long double density(long double x) {
    return std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0L));
}

/// The sigmoid of u, twice the argument of the approximation's tanh, times the part of its slope that du/dx has.
struct Approximation {
    explicit Approximation(long double x) {
        const long double factor = 2 * std::sqrt(2 / std::acos(-1.0L));
        const long double u = factor * (x + 0.044715L * x * x * x);
        value = 1 / (1 + std::exp(-u));
        condition = 1 + std::min(std::abs(u), 1000.0L);
        slope = value / (1 + std::exp(u)) * (factor * (1 + 3 * 0.044715L * x * x));
    }
    long double value;
    long double slope;
    long double condition; // e to the power of u shows the roundings of u
};

const std::vector<Activation> kGelus = {
    {
        [](mezzo_tensor out, mezzo_tensor input) { return mezzo_gelu_forward(out, input, nullptr); },
        [](mezzo_tensor to, mezzo_tensor from, mezzo_tensor input) {
            return mezzo_gelu_backward(to, from, input, nullptr);
        },
        [](long double x) { return x * cdf(x); },
        [](long double x) { return cdf(x) + x * density(x); },
        [](long double x) { return cdf(x) + std::abs(x) * density(x); },
        false,
        "gelu",
    },
    {
        [](mezzo_tensor out, mezzo_tensor input) { return mezzo_gelu_forward(out, input, &kTanh); },
        [](mezzo_tensor to, mezzo_tensor from, mezzo_tensor input) {
            return mezzo_gelu_backward(to, from, input, &kTanh);
        },
        [](long double x) { return x * Approximation(x).value; },
        [](long double x) { return Approximation(x).value + x * Approximation(x).slope; },
        [](long double x) { return Approximation(x).value + std::abs(x) * Approximation(x).slope; },
        false,
        "gelu",
        [](long double x) { return Approximation(x).condition; },
    },
};

TEST(Gelu, MatchesItsFormulasForEveryDTypeAndShape) {
    for (const Activation &gelu : kGelus) expect_formulas(gelu);
}

TEST(Gelu, OfSpecialValues_IsWhatTheFormulasSay) {
    for (const Activation &gelu : kGelus) expect_formulas_of_special_values(gelu);
}

TEST(Gelu, Backward_MatchesFiniteDifference) {
    for (const Activation &gelu : kGelus) expect_gradient_of_finite_differences(gelu);
}

TEST(Gelu, OnEveryDevice_GivesTheSameBits) {
    for (const Activation &gelu : kGelus) expect_same_bits(gelu);
}

TEST(Gelu, RejectsBadArguments) {
    for (const Activation &gelu : kGelus) expect_refusals(gelu);
    const TestTensor tensor(MEZZO_DTYPE_F32, {8});
    const mezzo_gelu_desc no_size = {};
    EXPECT_FAILS(mezzo_gelu_forward(tensor, tensor, &no_size), INVALID_ARGUMENT,
                 "gelu_forward: desc.struct_size is 0, expected 8");
    mezzo_gelu_desc unknown = kTanh;
    const int32_t no_approximation = 2; // what a caller in another language may pass
    std::memcpy(&unknown.approximation, &no_approximation, sizeof(no_approximation));
    EXPECT_FAILS(mezzo_gelu_backward(tensor, tensor, tensor, &unknown), INVALID_ARGUMENT,
                 "gelu_backward: desc.approximation is 2, expected a mezzo_gelu_approximation (0 to 1)");
}

} // namespace
} // namespace mezzo::testing
