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

/// Why the last element of one of a layer's gradients is not finite.
enum class Unfit {
    kNothing,
    kWeight,      // grad_weight: one term is too large
    kAccumulated, // grad_weight: it is added to a NaN
    kBias,        // grad_bias: of its terms the first and the last are too large together
    kInputSum     // grad_input_sum: likewise
};

/// What found_inf holds after the backward of a layer, whose sums are stored in `stored`. All gradients are asked for
/// when nothing is unfit, else no more than it takes.
double found_inf_after(const LinearSizes &sizes, mezzo_dtype dtype, mezzo_dtype stored, Unfit unfit) {
    const auto [rows, in, out] = sizes;
    const double root = root_of_overflow(dtype);
    std::vector<double> grad_outputs = random_rounded(rows * out, 31, dtype);
    std::vector<double> inputs = random_rounded(rows * in, 32, dtype);
    std::vector<double> weights = random_rounded(out * in, 33, dtype);
    std::vector<double> before(static_cast<size_t>(out * in));
    double &first = grad_outputs[static_cast<size_t>(out - 1)]; // of the last feature
    double &last = grad_outputs.back();
    if (unfit == Unfit::kWeight) {
        last = root;
        inputs.back() = 3 * root;
    } else if (unfit == Unfit::kAccumulated) {
        before.back() = std::nan("");
    } else if (unfit == Unfit::kBias) {
        first = last = 0.75 * root * root;
    } else if (unfit == Unfit::kInputSum) {
        first = last = root;
        weights.back() = 0.75 * root;
    }

    const auto when = [](bool wanted, mezzo_dtype of, const Shape &shape) {
        return wanted ? TestTensor(of, shape) : TestTensor();
    };
    const bool all = unfit == Unfit::kNothing;
    const TestTensor grad_weight =
        when(all || unfit == Unfit::kWeight || unfit == Unfit::kAccumulated, stored, {out, in});
    const TestTensor grad_bias = when(all || unfit == Unfit::kBias, stored, {out});
    const TestTensor grad_input = when(all || unfit == Unfit::kInputSum, dtype, {rows, in});
    const TestTensor grad_input_sum = when(all || unfit == Unfit::kInputSum, stored, {in});
    const TestTensor found_inf = TestTensor::scalar(MEZZO_DTYPE_F32, 0);
    const TestTensor grad_output(dtype, {rows, out}, grad_outputs), input(dtype, {rows, in}, inputs);
    const TestTensor weight(dtype, {out, in}, weights);
    if (unfit == Unfit::kAccumulated) grad_weight.write(before);
    const mezzo_linear_desc desc =
        linear_desc(MEZZO_ACTIVATION_NONE, unfit == Unfit::kAccumulated ? MEZZO_LINEAR_ACCUMULATE_WEIGHT : 0);
    EXPECT_OK(mezzo_linear_backward(grad_input, grad_weight, grad_bias, grad_input_sum, found_inf, grad_output, input,
                                    weight, {}, &desc));
    return found_inf.item();
}

// With gradients of several tiles and of long sums, of which a GPU makes parts.
TEST(Linear, Backward_FoundInf_LooksAtTheLastElementToo) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const mezzo_dtype stored : dtypes_beside(dtype)) {
            for (const LinearSizes &sizes : {LinearSizes{20, 200, 160}, LinearSizes{1000, 70, 66}}) {
                SCOPED_TRACE(::testing::Message() << dtype << " stored as " << stored << " " << sizes.rows << "x"
                                                  << sizes.in << "x" << sizes.out);
                const double expected = dtype == MEZZO_DTYPE_F16 && stored == MEZZO_DTYPE_F32 ? 0 : 1; // which holds it
                EXPECT_EQ(found_inf_after(sizes, dtype, stored, Unfit::kNothing), 0);
                EXPECT_EQ(found_inf_after(sizes, dtype, stored, Unfit::kWeight), expected);
                EXPECT_EQ(found_inf_after(sizes, dtype, stored, Unfit::kAccumulated), 1);
                EXPECT_EQ(found_inf_after(sizes, dtype, stored, Unfit::kBias), expected);
                EXPECT_EQ(found_inf_after(sizes, dtype, stored, Unfit::kInputSum), expected);
            }
        }
    }
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
