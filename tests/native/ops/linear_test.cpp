// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include "support/oracle.h"
#include "support/status.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

namespace mezzo::testing {
namespace {

struct Sizes {
    int64_t rows;
    int64_t in;
    int64_t out;
};

// One element, ragged around vectors, tiles and pairs, the vectors of a study's first layer and heads,
// several blocks and threads, few rows of a wide layer.
const std::vector<Sizes> kSizes = {{1, 1, 1},      {7, 3, 5},      {1, 40, 33},   {129, 31, 17},  {33, 150, 150},
                                   {1000, 1, 150}, {1000, 150, 1}, {5, 300, 200}, {1003, 37, 81}, {64, 257, 270}};

/// Sets the number of threads, and sets it back.
class Threads {
  public:
    explicit Threads(int32_t threads) {
        EXPECT_OK(mezzo_threads_get(&previous_));
        EXPECT_OK(mezzo_threads_set(threads));
    }
    ~Threads() { EXPECT_OK(mezzo_threads_set(previous_)); }
    Threads(const Threads &) = delete;
    Threads &operator=(const Threads &) = delete;

  private:
    int32_t previous_ = 0;
};

mezzo_linear_desc linear_desc(mezzo_activation activation, uint32_t accumulate = MEZZO_LINEAR_ACCUMULATE_NONE) {
    return {sizeof(mezzo_linear_desc), activation, accumulate, 0};
}

/// The dtypes that outputs, gradients and biases of a layer may have.
std::vector<mezzo_dtype> dtypes_beside(mezzo_dtype dtype) {
    if (arithmetic_of(dtype) == dtype) return {dtype};
    return {dtype, MEZZO_DTYPE_F32};
}

std::vector<double> data(int64_t count, uint64_t seed, mezzo_dtype dtype) {
    return rounded(random_values(count, seed), dtype);
}

double relu(double value) {
    return value < 0 ? 0 : value; // NaN stays
}

Expected plus(Expected sum, const std::vector<double> &term) {
    for (size_t i = 0; i < sum.values.size(); ++i) {
        const double added = term[i % term.size()];
        sum.values[i] += added;
        sum.magnitudes[i] += std::abs(added);
    }
    return sum;
}

// -------------------------------------------------------------------------------------------------------
// Forward
// -------------------------------------------------------------------------------------------------------

struct ForwardCase {
    Sizes sizes;
    mezzo_dtype dtype;
    mezzo_dtype out;
    mezzo_dtype bias;
    bool has_bias = true;
    mezzo_activation activation = MEZZO_ACTIVATION_RELU;
    bool misaligned = false;
    bool special = false; // Inf and NaN among the input
};

TestTensor make(const ForwardCase &c, mezzo_dtype dtype, const Shape &shape, const std::vector<double> &values) {
    return c.misaligned ? TestTensor::misaligned(dtype, shape, values) : TestTensor(dtype, shape, values);
}

void expect_forward(const ForwardCase &c) {
    const auto [rows, in, out] = c.sizes;
    std::vector<double> input_values = data(rows * in, 1, c.dtype);
    if (c.special) {
        input_values.front() = std::numeric_limits<double>::infinity();
        input_values[input_values.size() / 2] = std::nan("");
        input_values.back() = -std::numeric_limits<double>::infinity();
    }
    const std::vector<double> weight_values = data(out * in, 2, c.dtype);
    const std::vector<double> bias_values = data(out, 3, c.bias);

    Expected expected = matmul(input_values, transposed(weight_values, out, in), rows, in, out);
    if (c.has_bias) expected = plus(std::move(expected), bias_values);
    if (c.activation == MEZZO_ACTIVATION_RELU) {
        for (double &value : expected.values) value = relu(value);
    }

    const TestTensor result = make(c, c.out, {rows, out}, std::vector<double>(static_cast<size_t>(rows * out), 77));
    const TestTensor input = make(c, c.dtype, {rows, in}, input_values);
    const TestTensor weight = make(c, c.dtype, {out, in}, weight_values);
    const TestTensor bias = c.has_bias ? make(c, c.bias, {out}, bias_values) : TestTensor();
    const mezzo_linear_desc desc = linear_desc(c.activation);
    ASSERT_OK(mezzo_linear_forward(result, input, weight, bias, &desc));
    EXPECT_TRUE(is_near(result.values(), expected,
                        {.stored = c.out, .arithmetic = arithmetic_of(c.dtype), .operations = in + 1}));
}

std::string text(const ForwardCase &c) {
    return "linear/forward/" + std::to_string(c.dtype) + "/" + std::to_string(c.sizes.rows) + "x" +
           std::to_string(c.sizes.in) + "x" + std::to_string(c.sizes.out) + "/out " + std::to_string(c.out) + "/bias " +
           (c.has_bias ? std::to_string(c.bias) : "none") + "/activation " + std::to_string(c.activation);
}

TEST(Linear, Forward_AllShapes_MatchOracle) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Sizes &sizes : kSizes) {
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
                        for (const Sizes &sizes : {Sizes{19, 23, 35}, Sizes{19, 23, 1}, Sizes{19, 1, 23}}) {
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

TEST(Linear, Forward_MisalignedViews_MatchOracle) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Sizes &sizes : {Sizes{21, 33, 50}, Sizes{21, 1, 50}, Sizes{21, 50, 1}}) {
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
                for (const Sizes &sizes : {Sizes{9, 7, 35}, Sizes{9, 7, 1}, Sizes{9, 1, 35}, Sizes{1, 9, 7}}) {
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
        const TestTensor input(dtype, {2, 3, 7}, data(42, 4, dtype));
        const TestTensor weight(dtype, {5, 7}, data(35, 5, dtype));
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

// -------------------------------------------------------------------------------------------------------
// Backward
// -------------------------------------------------------------------------------------------------------

struct BackwardCase {
    Sizes sizes;
    mezzo_dtype dtype;
    mezzo_dtype grad_input;
    mezzo_dtype grad_weight;
    mezzo_dtype grad_bias;
    mezzo_dtype grad_output;
    mezzo_dtype output;
    mezzo_activation activation = MEZZO_ACTIVATION_RELU;
    uint32_t accumulate = MEZZO_LINEAR_ACCUMULATE_NONE;
    uint32_t wanted = 7; // bits of mezzo_linear_accumulate: which gradients are asked for
    bool misaligned = false;
    bool special = false; // Inf and NaN in the gradient and the output
};

BackwardCase backward_case(const Sizes &sizes, mezzo_dtype dtype) {
    const mezzo_dtype wide = arithmetic_of(dtype);
    return {.sizes = sizes,
            .dtype = dtype,
            .grad_input = dtype,
            .grad_weight = wide,
            .grad_bias = wide,
            .grad_output = dtype,
            .output = dtype};
}

std::string text(const BackwardCase &c) {
    std::string name = "linear/backward/" + std::to_string(c.dtype) + "/" + std::to_string(c.sizes.rows) + "x" +
                       std::to_string(c.sizes.in) + "x" + std::to_string(c.sizes.out) + "/dtypes";
    for (const mezzo_dtype dtype : {c.grad_input, c.grad_weight, c.grad_bias, c.grad_output, c.output}) {
        name += " " + std::to_string(dtype);
    }
    return name + "/activation " + std::to_string(c.activation) + "/accumulate " + std::to_string(c.accumulate) +
           "/wanted " + std::to_string(c.wanted);
}

/// A gradient that is asked for: what it holds before, and what it must be afterwards.
class Gradient {
  public:
    Gradient(const BackwardCase &c, uint32_t bit, mezzo_dtype dtype, const Shape &shape, uint64_t seed)
        : wanted_((c.wanted & bit) != 0),
          accumulated_((c.accumulate & bit) != 0),
          dtype_(dtype),
          arithmetic_(arithmetic_of(c.dtype)),
          before_(data(elements_of(shape), seed, dtype)) {
        if (!wanted_) return;
        tensor_ = c.misaligned ? TestTensor::misaligned(dtype, shape, before_) : TestTensor(dtype, shape, before_);
    }

    mezzo_tensor handle() const { return tensor_; }
    bool wanted() const { return wanted_; }

    void expect(const Expected &product, int64_t terms) const {
        if (!wanted_) return;
        EXPECT_TRUE(is_near(tensor_.values(), accumulated_ ? plus(product, before_) : product,
                            {.stored = dtype_, .arithmetic = arithmetic_, .operations = terms + 1}));
    }

  private:
    bool wanted_;
    bool accumulated_;
    mezzo_dtype dtype_;
    mezzo_dtype arithmetic_;
    std::vector<double> before_;
    TestTensor tensor_;
};

/// The forward's output as the backward sees it: positive, negative, zeros of both signs, NaN.
std::vector<double> output_values(const BackwardCase &c, int64_t count) {
    std::vector<double> values = data(count, 13, c.output);
    for (size_t i = 0; i < values.size(); i += 5) values[i] = i % 2 == 0 ? 0.0 : -0.0;
    if (c.special) {
        values.back() = std::nan("");
        values[1] = -std::nan("");
        values[values.size() / 2] = -std::numeric_limits<double>::infinity();
    }
    return values;
}

void expect_backward(const BackwardCase &c) {
    const auto [rows, in, out] = c.sizes;
    const std::vector<double> input_values = data(rows * in, 11, c.dtype);
    const std::vector<double> weight_values = data(out * in, 12, c.dtype);
    const std::vector<double> outputs = output_values(c, rows * out);
    std::vector<double> grad_output_values = data(rows * out, 14, c.grad_output);
    if (c.special) {
        grad_output_values.front() = std::nan(""); // where the output is 0
        grad_output_values.back() = std::numeric_limits<double>::infinity();
    }
    std::vector<double> g = grad_output_values;
    if (c.activation == MEZZO_ACTIVATION_RELU) {
        for (size_t i = 0; i < g.size(); ++i) g[i] = outputs[i] <= 0 ? 0 : g[i];
    }
    g = rounded(g, c.dtype);

    const auto make = [&](mezzo_dtype dtype, const Shape &shape, const std::vector<double> &values) {
        return c.misaligned ? TestTensor::misaligned(dtype, shape, values) : TestTensor(dtype, shape, values);
    };
    const Gradient grad_input(c, MEZZO_LINEAR_ACCUMULATE_INPUT, c.grad_input, {rows, in}, 15);
    const Gradient grad_weight(c, MEZZO_LINEAR_ACCUMULATE_WEIGHT, c.grad_weight, {out, in}, 16);
    const Gradient grad_bias(c, MEZZO_LINEAR_ACCUMULATE_BIAS, c.grad_bias, {out}, 17);
    const TestTensor grad_output = make(c.grad_output, {rows, out}, grad_output_values);
    const TestTensor input = grad_weight.wanted() ? make(c.dtype, {rows, in}, input_values) : TestTensor();
    const TestTensor weight = grad_input.wanted() ? make(c.dtype, {out, in}, weight_values) : TestTensor();
    const TestTensor output =
        c.activation == MEZZO_ACTIVATION_RELU ? make(c.output, {rows, out}, outputs) : TestTensor();

    const mezzo_linear_desc desc = linear_desc(c.activation, c.accumulate);
    ASSERT_OK(mezzo_linear_backward(grad_input.handle(), grad_weight.handle(), grad_bias.handle(), grad_output, input,
                                    weight, output, &desc));
    grad_input.expect(matmul(g, weight_values, rows, out, in), out);
    grad_weight.expect(matmul(transposed(g, rows, out), input_values, out, rows, in), rows);
    grad_bias.expect(matmul(std::vector<double>(static_cast<size_t>(rows), 1), g, 1, rows, out), rows);
}

TEST(Linear, Backward_AllShapes_MatchOracle) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Sizes &sizes : kSizes) {
            for (const auto activation : {MEZZO_ACTIVATION_NONE, MEZZO_ACTIVATION_RELU}) {
                BackwardCase c = backward_case(sizes, dtype);
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
            for (const Sizes &sizes : {Sizes{19, 23, 35}, Sizes{19, 23, 1}, Sizes{300, 40, 20}}) {
                const BackwardCase c{.sizes = sizes,
                                     .dtype = dtype,
                                     .grad_input = pick(choice, 0),
                                     .grad_weight = pick(choice, 1),
                                     .grad_bias = pick(choice, 2),
                                     .grad_output = pick(choice, 3),
                                     .output = pick(choice, 4)};
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
                for (const Sizes &sizes : {Sizes{33, 21, 18}, Sizes{33, 1, 18}, Sizes{33, 18, 1}}) {
                    BackwardCase c = backward_case(sizes, dtype);
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
        BackwardCase c = backward_case({40, 3, 20}, dtype);
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
                for (const Sizes &sizes : {Sizes{33, 21, 18}, Sizes{600, 12, 7}, Sizes{900, 40, 31},
                                           Sizes{20, 200, 160}, Sizes{33, 1, 18}, Sizes{33, 18, 1}}) {
                    BackwardCase c = backward_case(sizes, dtype);
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
        for (const Sizes &sizes : {Sizes{21, 33, 51}, Sizes{21, 1, 51}, Sizes{21, 33, 1}}) {
            BackwardCase c = backward_case(sizes, dtype);
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
                for (const Sizes &sizes : {Sizes{9, 20, 7}, Sizes{9, 1, 7}, Sizes{9, 20, 1}}) {
                    BackwardCase c = backward_case(sizes, dtype);
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
    ASSERT_OK(mezzo_linear_backward(grad_input, grad_weight, grad_bias, grad_output, input, weight, output, &desc));

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

// -------------------------------------------------------------------------------------------------------
// Threads and memory
// -------------------------------------------------------------------------------------------------------

/// Everything a layer computes, bit by bit.
std::vector<std::vector<uint8_t>> run_layer(const Sizes &sizes, mezzo_dtype dtype) {
    const auto [rows, in, out] = sizes;
    const TestTensor input(dtype, {rows, in}, data(rows * in, 31, dtype));
    const TestTensor weight(dtype, {out, in}, data(out * in, 32, dtype));
    const TestTensor bias(dtype, {out}, data(out, 33, dtype));
    const TestTensor grad_output(dtype, {rows, out}, data(rows * out, 34, dtype));
    const TestTensor output(dtype, {rows, out}), grad_input(dtype, {rows, in});
    const TestTensor grad_weight(dtype, {out, in}), grad_bias(dtype, {out});
    const mezzo_linear_desc desc = linear_desc(MEZZO_ACTIVATION_RELU);
    EXPECT_OK(mezzo_linear_forward(output, input, weight, bias, &desc));
    EXPECT_OK(mezzo_linear_backward(grad_input, grad_weight, grad_bias, grad_output, input, weight, output, &desc));
    return {output.bytes(), grad_input.bytes(), grad_weight.bytes(), grad_bias.bytes()};
}

TEST(Linear, Threads_EachCount_MatchesOracleAndRepeatsBitByBit) {
    for (const int32_t count : {1, 2, 3}) {
        const Threads threads(count);
        for (const mezzo_dtype dtype : kFloatingDTypes) {
            // Divided by rows, by columns, and vectors.
            for (const Sizes &sizes :
                 {Sizes{1003, 37, 81}, Sizes{40, 130, 200}, Sizes{9000, 1, 70}, Sizes{9000, 70, 1}}) {
                SCOPED_TRACE(std::to_string(count) + " threads, " + text(backward_case(sizes, dtype)));
                expect_backward(backward_case(sizes, dtype));
                EXPECT_EQ(run_layer(sizes, dtype), run_layer(sizes, dtype));
            }
        }
    }
}

TEST(Linear, Threads_ConcurrentCalls_AnswerTheSame) {
    const Sizes sizes{700, 50, 60};
    const auto alone = run_layer(sizes, MEZZO_DTYPE_BF16);
    std::vector<std::vector<std::vector<uint8_t>>> results(4);
    std::vector<std::thread> callers;
    for (auto &result : results) {
        callers.emplace_back([&] {
            for (int repeat = 0; repeat < 5; ++repeat) result = run_layer(sizes, MEZZO_DTYPE_BF16);
        });
    }
    for (std::thread &caller : callers) caller.join();
    for (const auto &result : results) EXPECT_EQ(result, alone);
}

TEST(Linear, Memory_AfterACall_IsWhatItWasBefore) {
    const auto current = [] {
        mezzo_memory_stats stats{};
        EXPECT_OK(mezzo_memory_stats_get(&stats, {}));
        return stats.current_bytes;
    };
    const int64_t before = current();
    run_layer({300, 40, 50}, MEZZO_DTYPE_F16);
    EXPECT_EQ(current(), before);
}

TEST(Linear, Memory_NotEnoughForScratch_FailsAndLeavesTheOutputs) {
    const std::vector<double> old(300 * 50, 7);
    const TestTensor out(MEZZO_DTYPE_F16, {300, 50}, old);
    const TestTensor input(MEZZO_DTYPE_F16, {300, 40}, data(300 * 40, 41, MEZZO_DTYPE_F16));
    const TestTensor weight(MEZZO_DTYPE_F16, {50, 40}, data(50 * 40, 42, MEZZO_DTYPE_F16));
    mezzo_memory_stats stats{};
    ASSERT_OK(mezzo_memory_stats_get(&stats, {}));
    ASSERT_OK(mezzo_memory_limit_set({}, stats.current_bytes + 64));
    EXPECT_EQ(mezzo_linear_forward(out, input, weight, {}, nullptr), MEZZO_STATUS_OUT_OF_MEMORY);
    ASSERT_OK(mezzo_memory_limit_set({}, 0));
    EXPECT_EQ(out.values(), old);
}

} // namespace
} // namespace mezzo::testing
