// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/oracle.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

struct Case {
    mezzo_dtype dtype;
    Shape shape; // of the logits
    mezzo_reduction reduction = MEZZO_REDUCTION_MEAN;
    double smoothing = 0;
    bool weighted = false;
    mezzo_dtype target_dtype = MEZZO_DTYPE_I64;
    bool misaligned = false;
};

constexpr double kScale = 1024;
constexpr int64_t kIgnored = 2;

/// Forward and backward of random numbers; every fifth row is ignored.
struct CrossEntropyRun {
    explicit CrossEntropyRun(const Case &c)
        : rows(c.shape.size() == 1 ? 1 : c.shape[0]),
          classes(c.shape.back()),
          desc{sizeof(mezzo_cross_entropy_desc), c.reduction, kIgnored, c.smoothing} {
        const mezzo_dtype arithmetic = arithmetic_of(c.dtype);
        const Shape of_rows(c.shape.begin(), c.shape.end() - 1);
        const std::vector<double> numbers = random_values(rows * classes, 1, -6, 6);
        logits =
            c.misaligned ? TestTensor::misaligned(c.dtype, c.shape, numbers) : TestTensor(c.dtype, c.shape, numbers);
        std::vector<double> chosen(static_cast<size_t>(rows));
        for (size_t r = 0; r < chosen.size(); ++r) {
            const int64_t own = static_cast<int64_t>(7 * r + 1) % classes;
            chosen[r] = static_cast<double>(r % 5 == 4 ? kIgnored : own == kIgnored ? 0 : own);
        }
        target = TestTensor(c.target_dtype, of_rows, chosen);
        if (c.weighted) weight = TestTensor(arithmetic, {classes}, random_values(classes, 2, 0.5, 2));
        loss = TestTensor(arithmetic, {});
        maxima = TestTensor(arithmetic, of_rows);
        sums = TestTensor(arithmetic, of_rows);
        totals = TestTensor(MEZZO_DTYPE_F64, {2});
        gradient = TestTensor(c.dtype, c.shape);
        const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, kScale);
        EXPECT_OK(mezzo_cross_entropy_forward(loss, maxima, sums, totals, logits, target, weight, &desc));
        EXPECT_OK(mezzo_cross_entropy_backward(gradient, logits, target, maxima, sums, totals, weight, scale, &desc));
    }

    std::vector<const TestTensor *> outputs() const { return {&loss, &maxima, &sums, &totals, &gradient}; }

    int64_t rows, classes;
    mezzo_cross_entropy_desc desc;
    TestTensor logits, target, weight, loss, maxima, sums, totals, gradient;
};

void expect_reference(const Case &c) {
    const CrossEntropyRun run(c);
    const std::vector<double> x = run.logits.values();
    const std::vector<double> target = run.target.values();
    const auto classes = static_cast<size_t>(run.classes);
    const std::vector<double> weight = c.weighted ? run.weight.values() : std::vector<double>(classes, 1);
    double divisor = 0;
    for (const double t : target) divisor += t == kIgnored ? 0 : weight[static_cast<size_t>(t)];
    if (c.reduction == MEZZO_REDUCTION_SUM) divisor = 1;
    Expected loss{{0}, {0}};
    Expected gradient{std::vector<double>(x.size(), 0), std::vector<double>(x.size(), 0)};
    std::vector<bool> is_target(x.size());
    for (size_t r = 0; r < target.size(); ++r) {
        if (target[r] == kIgnored) continue;
        is_target[r * classes + static_cast<size_t>(target[r])] = true;
        double largest = -INFINITY;
        double sum = 0;
        for (size_t i = 0; i < classes; ++i) largest = std::max(largest, x[r * classes + i]);
        for (size_t i = 0; i < classes; ++i) sum += std::exp(x[r * classes + i] - largest);
        const auto q = [&](size_t i) {
            const double own = static_cast<double>(i) == target[r] ? 1 - c.smoothing : 0;
            return weight[i] * (own + c.smoothing / static_cast<double>(classes));
        };
        double all = 0;
        for (size_t i = 0; i < classes; ++i) all += q(i);
        for (size_t i = 0; i < classes; ++i) {
            const double below = x[r * classes + i] - largest;
            loss.values[0] += q(i) * (std::log(sum) - below) / divisor;
            loss.magnitudes[0] += q(i) * (std::log(sum) + std::abs(below)) / divisor;
            const double p = all * std::exp(below) / sum;
            gradient.values[r * classes + i] = kScale / divisor * (p - q(i));
            gradient.magnitudes[r * classes + i] = kScale / divisor * (p * (1 + std::abs(below)) + q(i));
        }
    }
    const mezzo_dtype arithmetic = arithmetic_of(c.dtype);
    const int64_t sums = arithmetic == MEZZO_DTYPE_F64 ? 2 * run.classes + run.rows : 0;
    EXPECT_TRUE(is_near(run.loss.values(), loss, {arithmetic, arithmetic, 4 + sums}));
    // Targets apart: their gradients are so much larger that the rest would not show in the norm of the error.
    const std::vector<double> got = run.gradient.values();
    for (const bool of_targets : {true, false}) {
        std::vector<double> part;
        Expected of_part;
        for (size_t i = 0; i < got.size(); ++i) {
            if (is_target[i] != of_targets) continue;
            part.push_back(got[i]);
            of_part.values.push_back(gradient.values[i]);
            of_part.magnitudes.push_back(gradient.magnitudes[i]);
        }
        EXPECT_TRUE(is_near(part, of_part, {c.dtype, arithmetic, 8 + sums}));
    }
}

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        all.push_back({dtype, {5}});
        all.push_back({dtype, {7, 10}});
        all.push_back({dtype, {33, 12}, MEZZO_REDUCTION_SUM, 0.1, true, MEZZO_DTYPE_I32});
        all.push_back({dtype, {6, 131}, MEZZO_REDUCTION_MEAN, 0, true, MEZZO_DTYPE_U8, true});
        all.push_back({dtype, {3, 1100}, MEZZO_REDUCTION_MEAN, 0.2});
        all.push_back({dtype, {2, 5001}, MEZZO_REDUCTION_MEAN, 0.2, true});
        all.push_back({dtype, {4100, 4}});
    }
    return all;
}

TEST(CrossEntropy, MatchesAReferenceForEveryDTypeAndShape) {
    for (const Case &c : cases()) expect_reference(c);
}

TEST(CrossEntropy, OnEveryDevice_GivesTheSameBits) {
    for (const Case &c : cases()) {
        expect_same_bits_on_every_device([&](Results &results) {
            const CrossEntropyRun run(c);
            for (const TestTensor *tensor : run.outputs()) results.add(*tensor);
        });
    }
}

TEST(CrossEntropyOnCpu, DoesNotDependOnTheNumberOfThreads) {
    expect_same_bytes_on_any_threads([] {
        const CrossEntropyRun run({MEZZO_DTYPE_F32, {9000, 11}, MEZZO_REDUCTION_MEAN, 0.1, true});
        std::vector<uint8_t> bytes;
        for (const TestTensor *tensor : run.outputs()) {
            const std::vector<uint8_t> more = tensor->bytes();
            bytes.insert(bytes.end(), more.begin(), more.end());
        }
        return bytes;
    });
}

TEST(CrossEntropy, OfNoRows_IsNaNAsAMeanAndZeroAsASum) {
    const TestTensor logits(MEZZO_DTYPE_F32, {2, 3}, {1, 2, 3, 4, 5, 6});
    const TestTensor target(MEZZO_DTYPE_I64, {2}, {-100, -100});
    const TestTensor loss(MEZZO_DTYPE_F32, {});
    ASSERT_OK(mezzo_cross_entropy_forward(loss, {}, {}, {}, logits, target, {}, nullptr));
    EXPECT_TRUE(std::isnan(loss.item()));
    const mezzo_cross_entropy_desc sum = {sizeof(mezzo_cross_entropy_desc), MEZZO_REDUCTION_SUM, -100, 0};
    ASSERT_OK(mezzo_cross_entropy_forward(loss, {}, {}, {}, logits, target, {}, &sum));
    EXPECT_EQ(loss.item(), 0);
}

TEST(CrossEntropy, ScalesBeforeItRoundsToAHalf) {
    // 1 / 20000 of a probability of 4.5e-5 is below the smallest f16; scaled by 2^16 it is a normal number.
    const int64_t rows = 20000;
    std::vector<double> values(static_cast<size_t>(2 * rows));
    for (size_t i = 0; i < values.size(); ++i) values[i] = i % 2 == 0 ? 10 : 0;
    const TestTensor logits(MEZZO_DTYPE_F16, {rows, 2}, values);
    const TestTensor target(MEZZO_DTYPE_U8, {rows}, std::vector<double>(static_cast<size_t>(rows), 0));
    const TestTensor loss(MEZZO_DTYPE_F32, {});
    const TestTensor maxima(MEZZO_DTYPE_F32, {rows});
    const TestTensor sums(MEZZO_DTYPE_F32, {rows});
    const TestTensor totals(MEZZO_DTYPE_F64, {2});
    const TestTensor gradient(MEZZO_DTYPE_F16, {rows, 2});
    ASSERT_OK(mezzo_cross_entropy_forward(loss, maxima, sums, totals, logits, target, {}, nullptr));
    ASSERT_OK(mezzo_cross_entropy_backward(gradient, logits, target, maxima, sums, totals, {}, {}, nullptr));
    EXPECT_EQ(gradient.values()[1], 0);
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F64, 65536);
    ASSERT_OK(mezzo_cross_entropy_backward(gradient, logits, target, maxima, sums, totals, {}, scale, nullptr));
    EXPECT_NEAR(gradient.values()[1], 65536.0 / rows / (1 + std::exp(10)), 1e-7);
}

#define EXPECT_TARGET_FAILS(call, text) EXPECT_FAILS(call, INVALID_ARGUMENT, "cross_entropy_forward: " text)

TEST(CrossEntropyOnCpu, OfATargetThatIsNoClass_IsRefused) {
    const TestTensor logits(MEZZO_DTYPE_F32, {2, 3});
    const TestTensor loss(MEZZO_DTYPE_F32, {});
    const TestTensor large(MEZZO_DTYPE_I32, {2}, {0, 3});
    const TestTensor negative(MEZZO_DTYPE_I64, {2}, {-1, -100});
    EXPECT_TARGET_FAILS(mezzo_cross_entropy_forward(loss, {}, {}, {}, logits, large, {}, nullptr),
                        "target[1] is 3, expected a class, 0 to 2, or ignore_index, -100");
    EXPECT_TARGET_FAILS(mezzo_cross_entropy_forward(loss, {}, {}, {}, logits, negative, {}, nullptr),
                        "target[0] is -1, expected a class, 0 to 2, or ignore_index, -100");
}

TEST(CrossEntropy, OfATargetThatIsNoClass_IsNaNWhereItIsNotRefused) {
    if (test_device().type == MEZZO_DEVICE_TYPE_CPU) return; // CrossEntropyOnCpu
    const TestTensor logits(MEZZO_DTYPE_F32, {2, 2}, {0, 0, 0, 0});
    const TestTensor target(MEZZO_DTYPE_I64, {2}, {1, 2});
    const TestTensor loss(MEZZO_DTYPE_F32, {});
    const TestTensor maxima(MEZZO_DTYPE_F32, {2});
    const TestTensor sums(MEZZO_DTYPE_F32, {2});
    const TestTensor totals(MEZZO_DTYPE_F64, {2});
    const TestTensor gradient(MEZZO_DTYPE_F32, {2, 2});
    ASSERT_OK(mezzo_cross_entropy_forward(loss, maxima, sums, totals, logits, target, {}, nullptr));
    ASSERT_OK(mezzo_cross_entropy_backward(gradient, logits, target, maxima, sums, totals, {}, {}, nullptr));
    EXPECT_TRUE(std::isnan(loss.item()));
    EXPECT_TRUE(is_identical(gradient.values(), {0.25, -0.25, NAN, NAN}));
}

TEST(CrossEntropy, RejectsBadArguments) {
    const TestTensor logits(MEZZO_DTYPE_F16, {4, 3});
    const TestTensor cube(MEZZO_DTYPE_F16, {4, 3, 2});
    const TestTensor target(MEZZO_DTYPE_I64, {4});
    const TestTensor floating(MEZZO_DTYPE_F32, {4});
    const TestTensor loss(MEZZO_DTYPE_F32, {});
    const TestTensor half_loss(MEZZO_DTYPE_F16, {});
    const auto forward = [&](const TestTensor &to, const TestTensor &from, const TestTensor &classes,
                             mezzo_tensor weight, const mezzo_cross_entropy_desc *desc) {
        return mezzo_cross_entropy_forward(to, {}, {}, {}, from, classes, weight, desc);
    };
    EXPECT_FAILS(forward(loss, cube, target, {}, nullptr), SHAPE_MISMATCH,
                 "cross_entropy_forward: logits is f16[4,3,2], expected [rows,classes] or [classes]");
    EXPECT_FAILS(forward(loss, logits, floating, {}, nullptr), DTYPE_MISMATCH,
                 "cross_entropy_forward: target is f32[4], expected dtype i64, i32 or u8");
    EXPECT_FAILS(forward(half_loss, logits, target, {}, nullptr), DTYPE_MISMATCH,
                 "cross_entropy_forward: loss is f16[], expected dtype f32");
    EXPECT_FAILS(forward(loss, logits, target, floating, nullptr), SHAPE_MISMATCH,
                 "cross_entropy_forward: weight is f32[4], expected f32[3]");
    const mezzo_cross_entropy_desc desc = {sizeof(mezzo_cross_entropy_desc), MEZZO_REDUCTION_MEAN, -100, 1.5};
    EXPECT_FAILS(forward(loss, logits, target, {}, &desc), INVALID_ARGUMENT,
                 "cross_entropy_forward: desc.label_smoothing is 1.5, expected 0 to 1");
}

} // namespace
} // namespace mezzo::testing
