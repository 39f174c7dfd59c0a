// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/graph.h"
#include "support/oracle.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

constexpr double kEps = 1e-3;
constexpr double kMomentum = 0.25;

struct Case {
    mezzo_dtype dtype;
    Shape shape;
    bool training = true;
    bool affine = true;
    bool misaligned = false;
};

/// Forward and backward of random numbers.
struct BatchNormRun {
    explicit BatchNormRun(const Case &c) : desc{sizeof(mezzo_batch_norm_desc), c.training, kMomentum, kEps, 0, 0} {
        const mezzo_dtype arithmetic = arithmetic_of(c.dtype);
        const Shape channels = {c.shape[1]};
        const int64_t elements = elements_of(c.shape);
        const auto made = c.misaligned ? TestTensor::misaligned
                                       : [](mezzo_dtype dtype, const Shape &shape, const std::vector<double> &values) {
                                             return TestTensor(dtype, shape, values);
                                         };
        input = made(c.dtype, c.shape, random_values(elements, 1, -0.5, 1.5));
        grad_output = made(c.dtype, c.shape, random_values(elements, 2));
        out = made(c.dtype, c.shape, random_values(elements, 3));
        grad_input = made(c.dtype, c.shape, random_values(elements, 3));
        running_mean = TestTensor(arithmetic, channels, random_values(c.shape[1], 4));
        running_var = TestTensor(arithmetic, channels, random_values(c.shape[1], 5, 0.5, 2));
        before_mean = running_mean.values();
        before_var = running_var.values();
        batches = TestTensor::scalar(MEZZO_DTYPE_I64, 3);
        for (TestTensor *tensor : {&mean, &rstd, &grad_weight, &grad_bias}) *tensor = TestTensor(arithmetic, channels);
        if (c.affine) {
            weight = TestTensor(arithmetic, channels, random_values(c.shape[1], 6, 0.5, 1.5));
            bias = TestTensor(arithmetic, channels, random_values(c.shape[1], 7));
        }
        EXPECT_OK(
            mezzo_batch_norm_forward(out, mean, rstd, running_mean, running_var, batches, input, weight, bias, &desc));
        EXPECT_OK(mezzo_batch_norm_backward(grad_input, grad_weight, grad_bias, grad_output, input, mean, rstd, weight,
                                            &desc));
    }

    std::vector<const TestTensor *> outputs() const {
        return {&out, &mean, &rstd, &running_mean, &running_var, &batches, &grad_input, &grad_weight, &grad_bias};
    }

    TestTensor input, grad_output, weight, bias, running_mean, running_var, batches;
    TestTensor out, mean, rstd, grad_input, grad_weight, grad_bias;
    std::vector<double> before_mean, before_var;
    mezzo_batch_norm_desc desc;
};

Expected zeros(int64_t count) {
    const std::vector<double> nothing(static_cast<size_t>(count), 0);
    return {nothing, nothing};
}

void add(Expected &to, size_t at, double value, double magnitude) {
    to.values[at] += value;
    to.magnitudes[at] += magnitude;
}

void expect_reference(const Case &c) {
    const BatchNormRun run(c);
    const mezzo_dtype arithmetic = arithmetic_of(c.dtype);
    const int64_t channels = c.shape[1];
    const int64_t places = elements_of(c.shape) / (c.shape[0] * channels);
    const auto m = static_cast<double>(c.shape[0] * places);
    const std::vector<double> x = run.input.values();
    const std::vector<double> gradients = run.grad_output.values();
    const auto vector = [&](const TestTensor &tensor, double otherwise) {
        return c.affine ? tensor.values() : std::vector<double>(static_cast<size_t>(channels), otherwise);
    };
    const std::vector<double> weight = vector(run.weight, 1);
    const std::vector<double> bias = vector(run.bias, 0);
    Expected out = zeros(static_cast<int64_t>(x.size()));
    Expected grad_input = out;
    Expected grad_weight = zeros(channels);
    Expected grad_bias = grad_weight;
    Expected running_mean = grad_weight;
    Expected running_var = grad_weight;
    const auto each = [&](int64_t channel, const auto &body) {
        for (int64_t row = 0; row < c.shape[0]; ++row) {
            for (int64_t place = 0; place < places; ++place) {
                body(static_cast<size_t>((row * channels + channel) * places + place));
            }
        }
    };
    for (int64_t channel = 0; channel < channels; ++channel) {
        const auto at_channel = static_cast<size_t>(channel);
        double mean = 0;
        double variance = 0;
        each(channel, [&](size_t i) { mean += x[i] / m; });
        each(channel, [&](size_t i) { variance += (x[i] - mean) * (x[i] - mean) / m; });
        const double before[2] = {run.before_mean[at_channel], run.before_var[at_channel]};
        const double after[2] = {(1 - kMomentum) * before[0] + kMomentum * mean,
                                 (1 - kMomentum) * before[1] + kMomentum * variance * m / (m - 1)};
        add(running_mean, at_channel, c.training ? after[0] : before[0], std::abs(before[0]) + std::abs(mean));
        add(running_var, at_channel, c.training ? after[1] : before[1], before[1] + 4 * variance);
        if (!c.training) {
            mean = before[0];
            variance = before[1];
        }
        const double rstd = 1 / std::sqrt(variance + kEps);
        const auto y = [&](size_t i) { return (x[i] - mean) * rstd; };
        const auto y_magnitude = [&](size_t i) { return (std::abs(x[i]) + std::abs(mean)) * rstd; };
        each(channel, [&](size_t i) {
            add(out, i, y(i) * weight[at_channel] + bias[at_channel],
                y_magnitude(i) * weight[at_channel] + std::abs(bias[at_channel]));
            add(grad_weight, at_channel, gradients[i] * y(i), std::abs(gradients[i]) * y_magnitude(i));
            add(grad_bias, at_channel, gradients[i], std::abs(gradients[i]));
        });
        const double factor = weight[at_channel] * rstd;
        const double share = c.training ? 1 / m : 0;
        each(channel, [&](size_t i) {
            add(grad_input, i,
                factor * (gradients[i] - share * grad_bias.values[at_channel] -
                          share * y(i) * grad_weight.values[at_channel]),
                factor * (std::abs(gradients[i]) + share * grad_bias.magnitudes[at_channel] +
                          share * y_magnitude(i) * grad_weight.magnitudes[at_channel]));
        });
    }
    // Sums are f64; their shift costs f64 a few roundings more.
    const int64_t sums = arithmetic == MEZZO_DTYPE_F64 ? 8 * static_cast<int64_t>(m) : 0;
    EXPECT_TRUE(is_near(run.out.values(), out, {c.dtype, arithmetic, 6 + sums}));
    EXPECT_TRUE(is_near(run.grad_input.values(), grad_input, {c.dtype, arithmetic, 14 + 3 * sums}));
    EXPECT_TRUE(is_near(run.grad_weight.values(), grad_weight, {arithmetic, arithmetic, 5 + sums}));
    EXPECT_TRUE(is_near(run.grad_bias.values(), grad_bias, {arithmetic, arithmetic, 1 + sums}));
    EXPECT_TRUE(is_near(run.running_mean.values(), running_mean, {arithmetic, arithmetic, 3 + sums}));
    EXPECT_TRUE(is_near(run.running_var.values(), running_var, {arithmetic, arithmetic, 3 + sums}));
    EXPECT_EQ(run.batches.item(), c.training ? 4 : 3);
}

std::vector<Case> cases() {
    // Around packs and tiles, more rows than a block, one place and many.
    const std::vector<Shape> shapes = {{2, 1},    {7, 3},      {37, 5},  {3, 4, 2},    {2, 3, 7},
                                       {1, 2, 5}, {4, 2, 130}, {5, 516}, {2, 1, 1030}, {2, 2, 3, 5}};
    std::vector<Case> all;
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : shapes) {
            all.push_back({dtype, shape});
            all.push_back({dtype, shape, false, shape[0] != 7, true});
        }
        all.push_back({dtype, {20, 9}, true, false, true});
    }
    return all;
}

TEST(BatchNorm, MatchesAReferenceForEveryDTypeAndShape) {
    for (const Case &c : cases()) expect_reference(c);
}

TEST(BatchNorm, OnEveryDevice_GivesTheSameBits) {
    for (const Case &c : cases()) {
        expect_same_bits_on_every_device([&](Results &results) {
            const BatchNormRun run(c);
            for (const TestTensor *tensor : run.outputs()) results.add(*tensor);
        });
    }
}

TEST(BatchNormOnCpu, DoesNotDependOnTheNumberOfThreads) {
    for (const Shape &shape : {Shape{600, 70}, Shape{20, 30, 90}}) {
        expect_same_bytes_on_any_threads([&] {
            const BatchNormRun run({MEZZO_DTYPE_F16, shape});
            std::vector<uint8_t> bytes;
            for (const TestTensor *tensor : run.outputs()) {
                const std::vector<uint8_t> more = tensor->bytes();
                bytes.insert(bytes.end(), more.begin(), more.end());
            }
            return bytes;
        });
    }
}

TEST(BatchNorm, KeepsSmallDeviationsBesideALargeMean) {
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64}) {
        std::vector<double> values(64);
        for (size_t i = 0; i < values.size(); ++i) values[i] = i % 2 == 0 ? 0x1p22 + 0.5 : 0x1p22 - 0.5;
        const TestTensor input(dtype, {64, 1}, values);
        const TestTensor out(dtype, {64, 1});
        const TestTensor mean(dtype, {1});
        const TestTensor rstd(dtype, {1});
        const mezzo_batch_norm_desc desc = {sizeof(mezzo_batch_norm_desc), 1, 0.1, 0, 0, 0};
        ASSERT_OK(mezzo_batch_norm_forward(out, mean, rstd, {}, {}, {}, input, {}, {}, &desc));
        for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(out.values()[i], i % 2 == 0 ? 1 : -1);
    }
}

TEST(BatchNorm, WhenRecorded_CountsEachLaunchAndAveragesThem) {
    const TestTensor input(MEZZO_DTYPE_F64, {2, 1});
    const TestTensor out(MEZZO_DTYPE_F64, {2, 1});
    const TestTensor mean(MEZZO_DTYPE_F64, {1});
    const TestTensor rstd(MEZZO_DTYPE_F64, {1});
    const TestTensor running_mean(MEZZO_DTYPE_F64, {1}, {7});
    const TestTensor running_var(MEZZO_DTYPE_F64, {1}, {7});
    const TestTensor batches = TestTensor::scalar(MEZZO_DTYPE_I64, 0);
    const mezzo_batch_norm_desc desc = {sizeof(mezzo_batch_norm_desc), 1, 0.1, 0, 1, 0};
    const TestGraph recorded([&] {
        EXPECT_OK(mezzo_batch_norm_forward(out, mean, rstd, running_mean, running_var, batches, input, {}, {}, &desc));
    });
    EXPECT_EQ(batches.item(), 0);
    const double centres[] = {3, 5, 10};
    const double averages[] = {3, 4, 6};
    for (int launch = 0; launch < 3; ++launch) {
        input.write({centres[launch] - 1, centres[launch] + 1});
        recorded.launch();
        EXPECT_EQ(batches.item(), launch + 1);
        EXPECT_DOUBLE_EQ(running_mean.item(), averages[launch]);
        EXPECT_DOUBLE_EQ(running_var.item(), 2);
    }
}

TEST(BatchNorm, Evaluating_LetsInfThroughToItsElementAlone) {
    const TestTensor input(MEZZO_DTYPE_F32, {2, 2}, {1, INFINITY, 3, 4});
    const TestTensor gradient(MEZZO_DTYPE_F32, {2, 2}, {1, 1, 1, 1});
    const TestTensor out(MEZZO_DTYPE_F32, {2, 2});
    const TestTensor mean(MEZZO_DTYPE_F32, {2});
    const TestTensor rstd(MEZZO_DTYPE_F32, {2});
    const TestTensor running_mean(MEZZO_DTYPE_F32, {2}, {1, 2});
    const TestTensor running_var(MEZZO_DTYPE_F32, {2}, {1, 4});
    const mezzo_batch_norm_desc desc = {sizeof(mezzo_batch_norm_desc), 0, 0.1, 0, 0, 0};
    ASSERT_OK(mezzo_batch_norm_forward(out, mean, rstd, running_mean, running_var, {}, input, {}, {}, &desc));
    EXPECT_TRUE(is_identical(out.values(), {0, INFINITY, 2, 1}));
    ASSERT_OK(mezzo_batch_norm_backward(out, {}, {}, gradient, input, mean, rstd, {}, &desc));
    EXPECT_TRUE(is_identical(out.values(), {1, 0.5, 1, 0.5}));
}

TEST(BatchNorm, RejectsBadArguments) {
    const TestTensor x(MEZZO_DTYPE_BF16, {4, 3});
    const TestTensor out(MEZZO_DTYPE_BF16, {4, 3});
    const TestTensor one(MEZZO_DTYPE_BF16, {1, 3});
    const TestTensor flat(MEZZO_DTYPE_BF16, {3});
    const TestTensor mean(MEZZO_DTYPE_F32, {3});
    const TestTensor rstd(MEZZO_DTYPE_F32, {3});
    const TestTensor running(MEZZO_DTYPE_F32, {3});
    const TestTensor four(MEZZO_DTYPE_F32, {4});
    const auto forward = [&](const TestTensor &to, const TestTensor &from, mezzo_tensor running_mean,
                             mezzo_tensor running_var, mezzo_tensor weight, mezzo_batch_norm_desc desc) {
        return mezzo_batch_norm_forward(to, mean, rstd, running_mean, running_var, {}, from, weight, {}, &desc);
    };
    constexpr mezzo_batch_norm_desc kTraining = {sizeof(mezzo_batch_norm_desc), 1, 0.1, 1e-5, 0, 0};
    EXPECT_FAILS(forward(flat, flat, {}, {}, {}, kTraining), SHAPE_MISMATCH,
                 "batch_norm_forward: input is bf16[3], expected at least two dimensions");
    EXPECT_FAILS(forward(one, one, {}, {}, {}, kTraining), INVALID_ARGUMENT,
                 "batch_norm_forward: input is bf16[1,3], expected more than 1 value for each channel when training");
    EXPECT_FAILS(forward(out, x, {}, {}, four, kTraining), SHAPE_MISMATCH,
                 "batch_norm_forward: weight is f32[4], expected f32[3]");
    EXPECT_FAILS(forward(out, x, running, {}, {}, kTraining), INVALID_ARGUMENT,
                 "batch_norm_forward: running_var is null, expected both running_mean and running_var, or neither");
    EXPECT_FAILS(forward(out, x, {}, {}, {}, {sizeof(mezzo_batch_norm_desc), 0, 0.1, 1e-5, 0, 0}), INVALID_ARGUMENT,
                 "batch_norm_forward: running_mean is null, expected both running_mean and running_var");
    EXPECT_FAILS(forward(out, x, running, four, {}, {sizeof(mezzo_batch_norm_desc), 2, 0.1, 1e-5, 0, 0}),
                 INVALID_ARGUMENT, "batch_norm_forward: desc.training is 2, expected 0 or 1");
    EXPECT_FAILS(forward(out, x, {}, {}, {}, {sizeof(mezzo_batch_norm_desc), 1, 1.5, 1e-5, 0, 0}), INVALID_ARGUMENT,
                 "batch_norm_forward: desc.momentum is 1.5, expected 0 to 1");
    EXPECT_FAILS(forward(x, x, {}, {}, {}, kTraining), INVALID_ARGUMENT,
                 "batch_norm_forward: out shares memory with input, expected separate tensors");
    EXPECT_FAILS(mezzo_batch_norm_backward({}, {}, {}, x, x, mean, rstd, {}, nullptr), INVALID_ARGUMENT,
                 "batch_norm_backward: all gradients are null, expected at least one of them");
    const TestTensor other(MEZZO_DTYPE_F32, {3});
    EXPECT_FAILS(mezzo_batch_norm_forward(
                     out, mean, rstd, running, other, {}, x, {}, {},
                     std::array{mezzo_batch_norm_desc{sizeof(mezzo_batch_norm_desc), 1, 0.1, 1e-5, 1, 0}}.data()),
                 INVALID_ARGUMENT, "batch_norm_forward: batches is null, expected it for desc.cumulative 1");
}

} // namespace
} // namespace mezzo::testing
