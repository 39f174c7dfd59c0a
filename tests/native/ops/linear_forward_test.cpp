// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include "support/linear.h"
#include "support/status.h"

#include <cmath>
#include <limits>

namespace mezzo::testing {
namespace {

struct ForwardCase {
    LinearSizes sizes;
    mezzo_dtype dtype;
    mezzo_dtype out;
    mezzo_dtype bias;
    bool has_bias = true;
    mezzo_activation activation = MEZZO_ACTIVATION_RELU;
    bool misaligned = false;
    bool special = false;    // Inf and NaN among the input
    bool allow_tf32 = false; // what the field's documentation allows a product of f32 to err besides
};

/// A term that is off by 2^-10 of its magnitude, in roundings of f32.
constexpr int64_t kTf32Roundings = 1 << 14;

TestTensor make(const ForwardCase &c, mezzo_dtype dtype, const Shape &shape, const std::vector<double> &values) {
    return c.misaligned ? TestTensor::misaligned(dtype, shape, values) : TestTensor(dtype, shape, values);
}

void expect_forward(const ForwardCase &c) {
    const auto [rows, in, out] = c.sizes;
    std::vector<double> input_values = random_rounded(rows * in, 1, c.dtype);
    if (c.special) {
        input_values.front() = std::numeric_limits<double>::infinity();
        input_values[input_values.size() / 2] = std::nan("");
        input_values.back() = -std::numeric_limits<double>::infinity();
    }
    const std::vector<double> weight_values = random_rounded(out * in, 2, c.dtype);
    const std::vector<double> bias_values = random_rounded(out, 3, c.bias);

    Expected expected = matmul(input_values, transposed(weight_values, out, in), rows, in, out);
    if (c.has_bias) expected = plus(std::move(expected), bias_values);
    if (c.activation == MEZZO_ACTIVATION_RELU) {
        for (double &value : expected.values) value = relu(value);
    }

    const TestTensor result = make(c, c.out, {rows, out}, std::vector<double>(static_cast<size_t>(rows * out), 77));
    const TestTensor input = make(c, c.dtype, {rows, in}, input_values);
    const TestTensor weight = make(c, c.dtype, {out, in}, weight_values);
    const TestTensor bias = c.has_bias ? make(c, c.bias, {out}, bias_values) : TestTensor();
    mezzo_linear_desc desc = linear_desc(c.activation);
    desc.allow_tf32 = c.allow_tf32 ? 1 : 0;
    const int64_t operations = in + 1 + (c.allow_tf32 && c.dtype == MEZZO_DTYPE_F32 ? kTf32Roundings : 0);
    ASSERT_OK(mezzo_linear_forward(result, input, weight, bias, &desc));
    EXPECT_TRUE(is_near(result.values(), expected,
                        {.stored = c.out, .arithmetic = arithmetic_of(c.dtype), .operations = operations}));
}

std::string text(const ForwardCase &c) {
    return "linear/forward/" + std::to_string(c.dtype) + "/" + std::to_string(c.sizes.rows) + "x" +
           std::to_string(c.sizes.in) + "x" + std::to_string(c.sizes.out) + "/out " + std::to_string(c.out) + "/bias " +
           (c.has_bias ? std::to_string(c.bias) : "none") + "/activation " + std::to_string(c.activation);
}

TEST(Linear, Forward_AllShapes_MatchOracle) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const LinearSizes &sizes : kLinearSizes) {
            const ForwardCase c{.sizes = sizes, .dtype = dtype, .out = dtype, .bias = arithmetic_of(dtype)};
            SCOPED_TRACE(text(c));
            expect_forward(c);
        }
    }
}

TEST(Linear, Forward_AllDTypesBiasesAndActivations_MatchOracle) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const mezzo_dtype out : dtypes_beside(dtype)) {
            for (const mezzo_dtype bias : dtypes_beside(dtype)) {
                for (const bool has_bias : {true, false}) {
                    for (const auto activation : {MEZZO_ACTIVATION_NONE, MEZZO_ACTIVATION_RELU}) {
                        for (const LinearSizes &sizes :
                             {LinearSizes{19, 23, 35}, LinearSizes{19, 23, 1}, LinearSizes{19, 1, 23}}) {
                            const ForwardCase c{sizes, dtype, out, bias, has_bias, activation};
                            SCOPED_TRACE(text(c));
                            expect_forward(c);
                        }
                    }
                }
            }
        }
    }
}

TEST(Linear, Forward_AllowTf32_KeepsItsBound) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const LinearSizes &sizes : kLinearSizes) {
            const ForwardCase c{.sizes = sizes, .dtype = dtype, .out = dtype, .bias = dtype, .allow_tf32 = true};
            SCOPED_TRACE(text(c));
            expect_forward(c);
        }
    }
}

TEST(Linear, Forward_MisalignedViews_MatchOracle) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const LinearSizes &sizes : {LinearSizes{21, 33, 50}, LinearSizes{21, 1, 50}, LinearSizes{21, 50, 1}}) {
            const ForwardCase c{.sizes = sizes, .dtype = dtype, .out = dtype, .bias = dtype, .misaligned = true};
            SCOPED_TRACE(text(c));
            expect_forward(c);
        }
    }
}

// An odd number of features, so that what follows a row's last pair is the Inf that begins the next row.
TEST(Linear, Forward_InfAndNaN_StayInTheirRows) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const mezzo_dtype out : dtypes_beside(dtype)) {
            for (const auto activation : {MEZZO_ACTIVATION_NONE, MEZZO_ACTIVATION_RELU}) {
                for (const LinearSizes &sizes :
                     {LinearSizes{9, 7, 35}, LinearSizes{9, 7, 1}, LinearSizes{9, 1, 35}, LinearSizes{1, 9, 7}}) {
                    const ForwardCase c{.sizes = sizes,
                                        .dtype = dtype,
                                        .out = out,
                                        .bias = dtype,
                                        .activation = activation,
                                        .special = true};
                    SCOPED_TRACE(text(c));
                    expect_forward(c);
                }
            }
        }
    }
}

TEST(Linear, Forward_NoDescriptor_MeansNoActivation) {
    const TestTensor out(MEZZO_DTYPE_F32, {1, 1});
    const TestTensor input(MEZZO_DTYPE_F32, {1, 1}, {3});
    const TestTensor weight(MEZZO_DTYPE_F32, {1, 1}, {-2});
    ASSERT_OK(mezzo_linear_forward(out, input, weight, {}, nullptr));
    EXPECT_EQ(out.item(), -6);
}

TEST(Linear, Forward_LeadingDimensions_AreRows) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const TestTensor input(dtype, {2, 3, 7}, random_rounded(42, 4, dtype));
        const TestTensor weight(dtype, {5, 7}, random_rounded(35, 5, dtype));
        const TestTensor out(dtype, {2, 3, 5});
        const TestTensor flat_out(dtype, {6, 5});
        ASSERT_OK(mezzo_linear_forward(out, input, weight, {}, nullptr));
        ASSERT_OK(mezzo_linear_forward(flat_out, input.view(0, {6, 7}), weight, {}, nullptr));
        EXPECT_EQ(out.bytes(), flat_out.bytes());

        const TestTensor vector_out(dtype, {5});
        ASSERT_OK(mezzo_linear_forward(vector_out, input.view(0, {7}), weight, {}, nullptr));
        EXPECT_EQ(vector_out.info().rank, 1);
    }
}
} // namespace
} // namespace mezzo::testing
