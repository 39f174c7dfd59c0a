// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/oracle.h"
#include "support/status.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

using Desc = mezzo_binary_cross_entropy_desc;

constexpr Desc descriptor(mezzo_reduction reduction, bool from_logits) {
    return {sizeof(Desc), reduction, from_logits ? 1u : 0u, 0};
}

constexpr Desc kLogitsMean = descriptor(MEZZO_REDUCTION_MEAN, true);
constexpr Desc kLogitsSum = descriptor(MEZZO_REDUCTION_SUM, true);
constexpr Desc kSum = descriptor(MEZZO_REDUCTION_SUM, false);

long double softplus(long double x) {
    return std::max(x, 0.0L) + std::log1p(std::exp(-std::abs(x)));
}

/// Loss and gradient of an element, and the magnitude of the gradient's terms.
struct Element {
    long double loss, gradient, magnitude;
};

Element element_of(long double x, long double target, long double pos_weight, bool from_logits) {
    if (from_logits) {
        const long double against = (1 - target) / (1 + std::exp(-x));
        const long double for_it = pos_weight * target / (1 + std::exp(x));
        return {(1 - target) * softplus(x) + pos_weight * target * softplus(-x), against - for_it, against + for_it};
    }
    const long double yes = std::max(std::log(x), -100.0L);
    const long double no = std::max(std::log1p(-x), -100.0L);
    const long double variance = std::max(x * (1 - x), 1e-12L);
    return {-(target * yes + (1 - target) * no), (x - target) / variance, (x + target) / variance};
}

std::vector<double> ones(const std::vector<double> &like) {
    return std::vector<double>(like.size(), 1);
}

/// A problem in one dtype, its tensors and what must come of it.
struct Problem {
    Problem(mezzo_dtype type, const Shape &shape, bool logits, bool weighted)
        : dtype(type),
          wide(type == MEZZO_DTYPE_F64 ? MEZZO_DTYPE_F64 : MEZZO_DTYPE_F32),
          from_logits(logits),
          input(TestTensor::misaligned(dtype, shape,
                                       random_values(elements_of(shape), 1, logits ? -12 : 0.01, logits ? 12 : 0.99))),
          target(wide, shape, random_values(elements_of(shape), 2, 0, 1)) {
        if (!weighted) return;
        weight = TestTensor(wide, shape, random_values(elements_of(shape), 3, 0.5, 2));
        if (logits && !shape.empty()) {
            pos_weight = TestTensor(wide, {shape.back()}, random_values(shape.back(), 4, 0.5, 3));
        }
    }

    /// Checks a loss and a gradient, either of which may be null.
    void expect(const TestTensor &loss, const TestTensor &gradient, double scale, double divisor) const {
        const std::vector<double> inputs = input.values();
        const std::vector<double> targets = target.values();
        const std::vector<double> weights = weight.handle().id == 0 ? ones(inputs) : weight.values();
        const std::vector<double> pos_weights =
            pos_weight.handle().id == 0 ? std::vector<double>{1} : pos_weight.values();
        Expected gradients;
        long double sum = 0;
        for (size_t i = 0; i < inputs.size(); ++i) {
            const Element e = element_of(inputs[i], targets[i], pos_weights[i % pos_weights.size()], from_logits);
            sum += weights[i] * e.loss;
            gradients.values.push_back(static_cast<double>(weights[i] * e.gradient * scale / divisor));
            gradients.magnitudes.push_back(static_cast<double>(weights[i] * e.magnitude * scale / divisor));
        }
        const int64_t elements = static_cast<int64_t>(inputs.size());
        EXPECT_TRUE(is_near(loss.values(), std::vector<double>{static_cast<double>(sum / divisor)},
                            {wide, wide, wide == MEZZO_DTYPE_F64 ? elements + 12 : 12}));
        EXPECT_TRUE(is_near(gradient.values(), gradients, {dtype, wide, 12}));
    }

    mezzo_dtype dtype;
    mezzo_dtype wide;
    bool from_logits;
    TestTensor input, target, weight, pos_weight;
};

TEST(BinaryCrossEntropy, MatchesAReferenceForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            for (const bool from_logits : {false, true}) {
                for (const bool weighted : {false, true}) {
                    const Problem problem(dtype, shape, from_logits, weighted);
                    const TestTensor loss(problem.wide, {});
                    const TestTensor gradient(dtype, shape);
                    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 256);
                    const Desc desc = descriptor(weighted ? MEZZO_REDUCTION_SUM : MEZZO_REDUCTION_MEAN, from_logits);
                    ASSERT_OK(mezzo_binary_cross_entropy_forward(loss, gradient, problem.input, problem.target,
                                                                 problem.weight, problem.pos_weight, scale, &desc));
                    problem.expect(loss, gradient, 256, weighted ? 1 : static_cast<double>(elements_of(shape)));
                }
            }
        }
    }
}

TEST(BinaryCrossEntropy, GivesLossAndGradientAlone) {
    const Problem problem(MEZZO_DTYPE_BF16, {5000}, true, true);
    const TestTensor both_loss(MEZZO_DTYPE_F32, {}), loss(MEZZO_DTYPE_F32, {});
    const TestTensor both_gradient(MEZZO_DTYPE_BF16, {5000}), gradient(MEZZO_DTYPE_BF16, {5000});
    const auto run = [&](mezzo_tensor to_loss, mezzo_tensor to_gradient) {
        return mezzo_binary_cross_entropy_forward(to_loss, to_gradient, problem.input, problem.target, problem.weight,
                                                  problem.pos_weight, {}, &kLogitsMean);
    };
    ASSERT_OK(run(both_loss, both_gradient));
    ASSERT_OK(run(loss, {}));
    ASSERT_OK(run({}, gradient));
    EXPECT_EQ(loss.bytes(), both_loss.bytes());
    EXPECT_EQ(gradient.bytes(), both_gradient.bytes());
}

TEST(BinaryCrossEntropy, OfLargeLogits_NeitherOverflowsNorCancels) {
    const TestTensor input(MEZZO_DTYPE_F32, {1}), target(MEZZO_DTYPE_F32, {1});
    const TestTensor loss(MEZZO_DTYPE_F32, {}), gradient(MEZZO_DTYPE_F32, {1});
    for (const double logit : {-1000.0, -80.0, -10.0, 10.0, 80.0, 1000.0}) {
        for (const double label : {0.0, 1.0}) {
            input.write({logit});
            target.write({label});
            ASSERT_OK(mezzo_binary_cross_entropy_forward(loss, gradient, input, target, {}, {}, {}, &kLogitsSum));
            const Element e = element_of(logit, label, 1, true);
            const Roundings roundings = {MEZZO_DTYPE_F32, MEZZO_DTYPE_F32, 8};
            EXPECT_TRUE(is_near(loss.values(), std::vector<double>{static_cast<double>(e.loss)}, roundings));
            EXPECT_TRUE(is_near(gradient.values(), std::vector<double>{static_cast<double>(e.gradient)}, roundings));
        }
    }
}

TEST(BinaryCrossEntropy, OfProbabilitiesAtTheEnds_IsPyTorchs) {
    const TestTensor input(MEZZO_DTYPE_F64, {4}, {0, 1, 0, 1});
    const TestTensor target(MEZZO_DTYPE_F64, {4}, {1, 0, 0, 1});
    const TestTensor loss(MEZZO_DTYPE_F64, {}), gradient(MEZZO_DTYPE_F64, {4});
    ASSERT_OK(mezzo_binary_cross_entropy_forward(loss, gradient, input, target, {}, {}, {}, &kSum));
    EXPECT_EQ(loss.item(), 200);
    EXPECT_TRUE(is_identical(gradient.values(), {-1 / 1e-12, 1 / 1e-12, 0, 0}));
    input.write({-0.25, 0.5, 0.5, 0.5});
    ASSERT_OK(mezzo_binary_cross_entropy_forward(loss, gradient, input, target, {}, {}, {}, &kSum));
    EXPECT_TRUE(std::isnan(loss.item()));
    EXPECT_TRUE(std::isnan(gradient.values()[0]));
    input.write({1.5, 0.5, 0.5, 0.5});
    ASSERT_OK(mezzo_binary_cross_entropy_forward({}, gradient, input, target, {}, {}, {}, &kSum));
    EXPECT_TRUE(std::isnan(gradient.values()[0]));
}

TEST(BinaryCrossEntropy, ScalesBeforeItRoundsToAHalf) {
    const TestTensor input(MEZZO_DTYPE_F16, {20000}, std::vector<double>(20000, 0));
    const TestTensor target(MEZZO_DTYPE_F32, {20000}, std::vector<double>(20000, 0.5005));
    const TestTensor gradient(MEZZO_DTYPE_F16, {20000});
    ASSERT_OK(mezzo_binary_cross_entropy_forward({}, gradient, input, target, {}, {}, {}, &kLogitsMean));
    EXPECT_EQ(gradient.values()[0], 0) << "-2.5e-8 is below f16";
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F64, 65536);
    ASSERT_OK(mezzo_binary_cross_entropy_forward({}, gradient, input, target, {}, {}, scale, &kLogitsMean));
    EXPECT_NEAR(gradient.values()[0], -2.5e-8 * 65536, 2e-6);
}

TEST(BinaryCrossEntropy, GradientMatchesFiniteDifference) {
    for (const bool from_logits : {false, true}) {
        const Desc desc = descriptor(MEZZO_REDUCTION_MEAN, from_logits);
        const TestTensor target(MEZZO_DTYPE_F64, {4}, {0, 1, 0.25, 0.75});
        const TestTensor weight(MEZZO_DTYPE_F64, {4}, {1, 2, 3, 0.5});
        const TestTensor pos_weight = from_logits ? TestTensor::scalar(MEZZO_DTYPE_F64, 3) : TestTensor();
        const TestTensor loss(MEZZO_DTYPE_F64, {});
        const std::vector<double> point = {0.25, 0.75, 0.5, 0.125};
        const std::vector<double> expected = finite_difference(
            [&](const std::vector<double> &values) {
                const TestTensor input(MEZZO_DTYPE_F64, {4}, values);
                EXPECT_OK(mezzo_binary_cross_entropy_forward(loss, {}, input, target, weight, pos_weight, {}, &desc));
                return loss.item();
            },
            point);
        const TestTensor input(MEZZO_DTYPE_F64, {4}, point);
        const TestTensor gradient(MEZZO_DTYPE_F64, {4});
        ASSERT_OK(mezzo_binary_cross_entropy_forward({}, gradient, input, target, weight, pos_weight, {}, &desc));
        const std::vector<double> got = gradient.values();
        for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], finite_difference_tolerance(16));
    }
}

TEST(BinaryCrossEntropyOnCpu, DoesNotDependOnTheNumberOfThreads) {
    const Problem problem(MEZZO_DTYPE_F16, {1003, 101}, true, true);
    const TestTensor loss(MEZZO_DTYPE_F32, {}), gradient(MEZZO_DTYPE_F16, {1003, 101});
    expect_same_bytes_on_any_threads([&] {
        EXPECT_OK(mezzo_binary_cross_entropy_forward(loss, gradient, problem.input, problem.target, problem.weight,
                                                     problem.pos_weight, {}, &kLogitsMean));
        std::vector<uint8_t> bytes = loss.bytes();
        const std::vector<uint8_t> more = gradient.bytes();
        bytes.insert(bytes.end(), more.begin(), more.end());
        return bytes;
    });
}

TEST(BinaryCrossEntropy, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const mezzo_dtype wide = dtype == MEZZO_DTYPE_F64 ? MEZZO_DTYPE_F64 : MEZZO_DTYPE_F32;
        for (const int64_t count : critical_counts()) {
            for (const bool from_logits : {false, true}) {
                expect_same_bits_on_every_device([&](Results &results) {
                    const Desc desc = descriptor(MEZZO_REDUCTION_MEAN, from_logits);
                    const Placed input(dtype, 1, mixed_values(count, 1, dtype));
                    const Placed target(wide, 2, random_values(count, 2, 0, 1));
                    const Placed weight(wide, 3, random_values(count, 3));
                    const Placed gradient(dtype, 2, std::vector<double>(static_cast<size_t>(count), 0));
                    const TestTensor pos_weight =
                        from_logits ? TestTensor(wide, {count}, random_values(count, 4)) : TestTensor();
                    const TestTensor loss(wide, {});
                    EXPECT_OK(mezzo_binary_cross_entropy_forward(loss, gradient, input, target, weight, pos_weight, {},
                                                                 &desc));
                    results.add(loss);
                    results.add(gradient.whole);
                    const Placed finite(dtype, 0, random_values(count, 5, 0, 1));
                    EXPECT_OK(mezzo_binary_cross_entropy_forward(loss, {}, finite, target, {}, {}, {}, &desc));
                    results.add(loss);
                });
            }
        }
    }
}

TEST(BinaryCrossEntropy, RejectsBadArguments) {
    const TestTensor input(MEZZO_DTYPE_F32, {2, 4}), target(MEZZO_DTYPE_F32, {2, 4});
    const TestTensor half(MEZZO_DTYPE_F16, {2, 4}), wide(MEZZO_DTYPE_F64, {2, 4});
    const TestTensor shorter(MEZZO_DTYPE_F32, {7}), columns(MEZZO_DTYPE_F32, {4});
    const TestTensor loss(MEZZO_DTYPE_F32, {}), half_loss(MEZZO_DTYPE_F16, {});
    const auto run = [&](mezzo_tensor to_loss, mezzo_tensor to_gradient, mezzo_tensor from, mezzo_tensor labels,
                         mezzo_tensor weight, mezzo_tensor pos_weight, const Desc *desc) {
        return mezzo_binary_cross_entropy_forward(to_loss, to_gradient, from, labels, weight, pos_weight, {}, desc);
    };
    const std::string op = "binary_cross_entropy_forward: ";
    const auto said = [&](const char *text) { return op + text; };
    EXPECT_FAILS(run({}, {}, input, target, {}, {}, nullptr), INVALID_ARGUMENT,
                 said("loss and grad_input are both null, expected at least one of them").c_str());
    EXPECT_FAILS(run(loss, {}, {}, target, {}, {}, nullptr), INVALID_HANDLE, said("input is the null tensor").c_str());
    EXPECT_FAILS(run(loss, {}, half, half, {}, {}, nullptr), DTYPE_MISMATCH,
                 said("target is f16[2,4], expected dtype f32").c_str());
    EXPECT_FAILS(run(loss, {}, input, shorter, {}, {}, nullptr), SHAPE_MISMATCH,
                 said("target is f32[7], expected f32[2,4]").c_str());
    EXPECT_FAILS(run(loss, {}, input, target, columns, {}, nullptr), SHAPE_MISMATCH,
                 said("weight is f32[4], expected f32[2,4]").c_str());
    EXPECT_FAILS(run(loss, {}, input, target, {}, shorter, &kLogitsMean), SHAPE_MISMATCH,
                 said("pos_weight is f32[7], expected f32[4]").c_str());
    EXPECT_FAILS(run(loss, {}, input, target, {}, columns, nullptr), INVALID_ARGUMENT,
                 said("pos_weight is given, expected null from probabilities").c_str());
    EXPECT_FAILS(run(half_loss, {}, half, target, {}, {}, nullptr), DTYPE_MISMATCH,
                 said("loss is f16[], expected dtype f32").c_str());
    EXPECT_FAILS(run(loss, wide, input, target, {}, {}, nullptr), DTYPE_MISMATCH,
                 said("grad_input is f64[2,4], expected dtype f32").c_str());
    EXPECT_FAILS(run(loss, input, input, target, {}, {}, nullptr), INVALID_ARGUMENT,
                 said("grad_input shares memory with input, expected separate tensors").c_str());
    Desc wrong = kLogitsMean;
    wrong.from_logits = 2;
    EXPECT_FAILS(run(loss, {}, input, target, {}, {}, &wrong), INVALID_ARGUMENT,
                 said("desc.from_logits is 2, expected 0 or 1").c_str());
}

} // namespace
} // namespace mezzo::testing
