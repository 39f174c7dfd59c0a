// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include "support/linear.h"
#include "support/status.h"

#include <cmath>

namespace mezzo::testing {
namespace {

TEST(Linear, Backward_AllShapes_MatchOracle) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const LinearSizes &sizes : kLinearSizes) {
            for (const auto activation : {MEZZO_ACTIVATION_NONE, MEZZO_ACTIVATION_RELU}) {
                LinearBackwardCase c = backward_case(sizes, dtype);
                c.activation = activation;
                SCOPED_TRACE(text(c));
                expect_backward(c);
            }
        }
    }
}

TEST(Linear, Backward_AllDTypes_MatchOracle) {
    for (const mezzo_dtype dtype : kHalves) {
        const auto pick = [&](uint32_t choice, uint32_t bit) {
            return (choice >> bit & 1) != 0 ? MEZZO_DTYPE_F32 : dtype;
        };
        for (uint32_t choice = 0; choice < 32; ++choice) {
            for (const LinearSizes &sizes :
                 {LinearSizes{19, 23, 35}, LinearSizes{19, 23, 1}, LinearSizes{300, 40, 20}}) {
                const LinearBackwardCase c{.sizes = sizes,
                                           .dtype = dtype,
                                           .grad_input = pick(choice, 0),
                                           .grad_weight = pick(choice, 1),
                                           .grad_bias = pick(choice, 2),
                                           .grad_output = pick(choice, 3),
                                           .output = pick(choice, 4),
                                           .grad_input_sum = pick(choice, 0)};
                SCOPED_TRACE(text(c));
                expect_backward(c);
            }
        }
    }
}

TEST(Linear, Backward_EachSubsetOfGradients_MatchesOracle) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (uint32_t wanted = 1; wanted < 8; ++wanted) {
            for (const auto activation : {MEZZO_ACTIVATION_NONE, MEZZO_ACTIVATION_RELU}) {
                for (const LinearSizes &sizes :
                     {LinearSizes{33, 21, 18}, LinearSizes{33, 1, 18}, LinearSizes{33, 18, 1}}) {
                    LinearBackwardCase c = backward_case(sizes, dtype);
                    c.wanted = wanted;
                    c.activation = activation;
                    SCOPED_TRACE(text(c));
                    expect_backward(c);
                }
            }
        }
    }
}

// A bias gradient alone, in f32, of a half layer whose output is the only half there is.
TEST(Linear, Backward_BiasGradientOfWideGradients_MatchesOracle) {
    for (const mezzo_dtype dtype : kHalves) {
        LinearBackwardCase c = backward_case({40, 3, 20}, dtype);
        c.wanted = MEZZO_LINEAR_ACCUMULATE_BIAS;
        c.grad_output = MEZZO_DTYPE_F32;
        SCOPED_TRACE(text(c));
        expect_backward(c);
    }
}

TEST(Linear, Backward_Accumulate_AddsToWhatIsThere) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const mezzo_dtype stored : dtypes_beside(dtype)) {
            for (uint32_t accumulate = 0; accumulate < 8; ++accumulate) {
                // One block, several blocks, several threads by rows and by columns, vectors.
                for (const LinearSizes &sizes :
                     {LinearSizes{33, 21, 18}, LinearSizes{600, 12, 7}, LinearSizes{900, 40, 31},
                      LinearSizes{20, 200, 160}, LinearSizes{33, 1, 18}, LinearSizes{33, 18, 1}}) {
                    LinearBackwardCase c = backward_case(sizes, dtype);
                    c.grad_input = c.grad_weight = c.grad_bias = stored;
                    c.accumulate = accumulate;
                    SCOPED_TRACE(text(c));
                    expect_backward(c);
                }
            }
        }
    }
}

TEST(Linear, Backward_MisalignedViews_MatchOracle) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const LinearSizes &sizes : {LinearSizes{21, 33, 51}, LinearSizes{21, 1, 51}, LinearSizes{21, 33, 1}}) {
            LinearBackwardCase c = backward_case(sizes, dtype);
            c.misaligned = true;
            SCOPED_TRACE(text(c));
            expect_backward(c);
        }
    }
}

// NaN of a masked element is gone; Inf, and NaN let through by a NaN output, reach all that they touch.
TEST(Linear, Backward_InfAndNaN_FollowTheMask) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const mezzo_dtype stored : dtypes_beside(dtype)) {
            for (const auto activation : {MEZZO_ACTIVATION_NONE, MEZZO_ACTIVATION_RELU}) {
                for (const LinearSizes &sizes : {LinearSizes{9, 20, 7}, LinearSizes{9, 1, 7}, LinearSizes{9, 20, 1}}) {
                    LinearBackwardCase c = backward_case(sizes, dtype);
                    c.grad_output = c.output = stored;
                    c.activation = activation;
                    c.special = true;
                    SCOPED_TRACE(text(c));
                    expect_backward(c);
                }
            }
        }
    }
}

// The mask of the ReLU before, and its bias gradient: with thin layers, several blocks, threads by columns.
TEST(Linear, Backward_OfTheReluBefore_MatchesOracle) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const LinearSizes &sizes : kLinearSizes) {
            LinearBackwardCase c = backward_case(sizes, dtype);
            c.input_activation = MEZZO_ACTIVATION_RELU;
            c.wanted = 15;
            SCOPED_TRACE(text(c));
            expect_backward(c);
        }
    }
}

TEST(Linear, Backward_OfTheReluBefore_InEachWay_MatchesOracle) {
    constexpr uint32_t kInput = MEZZO_LINEAR_ACCUMULATE_INPUT, kSum = MEZZO_LINEAR_ACCUMULATE_SUM;
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const mezzo_dtype stored : dtypes_beside(dtype)) {
            for (const uint32_t accumulate : {0u, kInput, kSum, kInput | kSum}) {
                for (const uint32_t wanted : {kInput, kInput | kSum, 15u}) {
                    for (const auto before : {MEZZO_ACTIVATION_NONE, MEZZO_ACTIVATION_RELU}) {
                        for (const LinearSizes &sizes :
                             {LinearSizes{33, 21, 18}, LinearSizes{300, 40, 1}, LinearSizes{20, 200, 160}}) {
                            LinearBackwardCase c = backward_case(sizes, dtype);
                            c.grad_input = c.grad_input_sum = stored;
                            c.input_activation = before;
                            c.accumulate = accumulate;
                            c.wanted = wanted;
                            SCOPED_TRACE(text(c));
                            expect_backward(c);
                        }
                    }
                }
            }
        }
    }
}

/// What found_inf holds after the backward of a layer of f16 gradients, of which one is what overflows.
double found_inf_after(const std::vector<double> &grad_output_row, const std::vector<double> &input_row,
                       const std::vector<double> &weight_row, double before) {
    constexpr int64_t kRows = 70;
    const auto repeated = [](const std::vector<double> &row) {
        std::vector<double> all;
        for (int64_t i = 0; i < kRows; ++i) all.insert(all.end(), row.begin(), row.end());
        return all;
    };
    const auto half = [](const Shape &shape, const std::vector<double> &values) {
        return TestTensor(MEZZO_DTYPE_F16, shape, values);
    };
    const auto in = static_cast<int64_t>(input_row.size());
    const TestTensor grad_output = half({kRows, 1}, repeated(grad_output_row));
    const TestTensor input = half({kRows, in}, repeated(input_row)), weight = half({1, in}, weight_row);
    const TestTensor grad_input(MEZZO_DTYPE_F16, {kRows, in}), grad_weight(MEZZO_DTYPE_F16, {1, in});
    const TestTensor grad_bias(MEZZO_DTYPE_F16, {1}), grad_input_sum(MEZZO_DTYPE_F16, {in});
    const TestTensor found_inf(MEZZO_DTYPE_F32, {}, {before});
    EXPECT_OK(mezzo_linear_backward(grad_input, grad_weight, grad_bias, grad_input_sum, found_inf, grad_output, input,
                                    weight, {}, nullptr));
    return found_inf.values()[0];
}

TEST(Linear, Backward_FoundInf_LooksAtEachGradientAsItIsStored) {
    EXPECT_EQ(found_inf_after({1}, {1, 2, 3}, {1, 1, 1}, 0), 0);
    EXPECT_EQ(found_inf_after({1}, {1, 2, 3}, {1, 1, 1}, 1), 1) << "is left as it is";
    EXPECT_EQ(found_inf_after({1}, {1, 2, 1000}, {1, 1, 1}, 0), 1) << "70 x 1000 does not fit f16: grad_weight";
    EXPECT_EQ(found_inf_after({1000}, {0, 0, 0}, {0, 0, 0}, 0), 1) << "grad_bias";
    EXPECT_EQ(found_inf_after({1}, {0, 0, 0}, {0, 1000, 0}, 0), 1) << "grad_input_sum";
    EXPECT_EQ(found_inf_after({std::nan("")}, {0, 0, 0}, {0, 0, 0}, 0), 1);
}

TEST(Linear, Backward_MatchesFiniteDifference) {
    constexpr int64_t kRows = 6, kIn = 5, kOut = 4;
    const auto loss = [](const std::vector<double> &x, const std::vector<double> &w, const std::vector<double> &b,
                         const std::vector<double> &grad_output) {
        const std::vector<double> product = matmul(x, transposed(w, kOut, kIn), kRows, kIn, kOut).values;
        double sum = 0;
        for (size_t i = 0; i < product.size(); ++i) sum += relu(product[i] + b[i % kOut]) * grad_output[i];
        return sum;
    };
    const std::vector<double> x = random_values(kRows * kIn, 21), w = random_values(kOut * kIn, 22);
    const std::vector<double> b = random_values(kOut, 23), grad = random_values(kRows * kOut, 24);
    const TestTensor input(MEZZO_DTYPE_F64, {kRows, kIn}, x), weight(MEZZO_DTYPE_F64, {kOut, kIn}, w);
    const TestTensor bias(MEZZO_DTYPE_F64, {kOut}, b), grad_output(MEZZO_DTYPE_F64, {kRows, kOut}, grad);
    const TestTensor output(MEZZO_DTYPE_F64, {kRows, kOut}), grad_input(MEZZO_DTYPE_F64, {kRows, kIn});
    const TestTensor grad_weight(MEZZO_DTYPE_F64, {kOut, kIn}), grad_bias(MEZZO_DTYPE_F64, {kOut});
    const mezzo_linear_desc desc = linear_desc(MEZZO_ACTIVATION_RELU);
    ASSERT_OK(mezzo_linear_forward(output, input, weight, bias, &desc));
    ASSERT_OK(
        mezzo_linear_backward(grad_input, grad_weight, grad_bias, {}, {}, grad_output, input, weight, output, &desc));

    const auto expect = [](const std::vector<double> &got, const std::vector<double> &expected) {
        ASSERT_EQ(got.size(), expected.size());
        for (size_t i = 0; i < got.size(); ++i) {
            EXPECT_LE(std::abs(got[i] - expected[i]), finite_difference_tolerance(std::abs(expected[i]))) << i;
        }
    };
    using Values = std::vector<double>;
    expect(grad_input.values(), finite_difference([&](const Values &at) { return loss(at, w, b, grad); }, x));
    expect(grad_weight.values(), finite_difference([&](const Values &at) { return loss(x, at, b, grad); }, w));
    expect(grad_bias.values(), finite_difference([&](const Values &at) { return loss(x, w, at, grad); }, b));
}
} // namespace
} // namespace mezzo::testing
