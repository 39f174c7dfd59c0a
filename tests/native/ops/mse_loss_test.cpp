// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>
#include <cstring>

#include "support/every_device.h"
#include "support/graph.h"
#include "support/oracle.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

constexpr mezzo_mse_loss_desc kSum = {sizeof(mezzo_mse_loss_desc), MEZZO_REDUCTION_SUM};

Expected loss_reference(const std::vector<double> &prediction, const std::vector<double> &target, double divisor) {
    long double sum = 0;
    long double magnitude = 0; // of what the roundings of a difference and its square act on
    for (size_t i = 0; i < prediction.size(); ++i) {
        const long double difference = static_cast<long double>(prediction[i]) - target[i];
        sum += difference * difference;
        magnitude += difference * difference;
    }
    return {{static_cast<double>(sum / divisor)}, {static_cast<double>(magnitude / divisor)}};
}

/// Every operation rounded to the prediction's dtype, the product once more to the gradient's.
std::vector<double> gradient_reference(const std::vector<double> &prediction, const std::vector<double> &target,
                                       double multiplier, mezzo_dtype dtype, mezzo_dtype grad_dtype) {
    const double factor = rounded({multiplier}, dtype)[0];
    std::vector<double> values(prediction.size());
    for (size_t i = 0; i < values.size(); ++i) values[i] = prediction[i] - target[i];
    values = rounded(values, dtype);
    for (double &value : values) value *= factor;
    return rounded(rounded(values, dtype), grad_dtype);
}

TEST(MseLoss, Forward_MatchesAReferenceForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64}) {
        for (const mezzo_dtype grad_dtype : {dtype, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16}) {
            for (const Shape &shape : elementwise_shapes()) {
                const int64_t elements = elements_of(shape);
                const TestTensor prediction = TestTensor::misaligned(dtype, shape, random_values(elements, 1));
                const TestTensor target(dtype, shape, random_values(elements, 2));
                const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 1024);
                const TestTensor loss(dtype, {});
                const TestTensor gradient(grad_dtype, shape);
                for (const mezzo_mse_loss_desc *desc : {static_cast<const mezzo_mse_loss_desc *>(nullptr), &kSum}) {
                    const double divisor = desc == nullptr ? static_cast<double>(elements) : 1;
                    ASSERT_OK(mezzo_mse_loss_forward(loss, gradient, prediction, target, scale, desc));
                    // A difference is rounded in `dtype` and counts twice in its square.
                    EXPECT_TRUE(is_near(loss.values(), loss_reference(prediction.values(), target.values(), divisor),
                                        {dtype, dtype, dtype == MEZZO_DTYPE_F64 ? elements + 4 : 3}));
                    EXPECT_TRUE(
                        is_identical(gradient.values(), gradient_reference(prediction.values(), target.values(),
                                                                           2 * 1024 / divisor, dtype, grad_dtype)));
                }
            }
        }
    }
}

TEST(MseLoss, Forward_GivesLossAndGradientAlone) {
    const TestTensor prediction(MEZZO_DTYPE_F32, {5000}, random_values(5000, 1));
    const TestTensor target(MEZZO_DTYPE_F32, {5000}, random_values(5000, 2));
    const TestTensor both_loss(MEZZO_DTYPE_F32, {});
    const TestTensor both_gradient(MEZZO_DTYPE_F32, {5000});
    const TestTensor loss(MEZZO_DTYPE_F32, {});
    const TestTensor gradient(MEZZO_DTYPE_F32, {5000});
    ASSERT_OK(mezzo_mse_loss_forward(both_loss, both_gradient, prediction, target, {}, nullptr));
    ASSERT_OK(mezzo_mse_loss_forward(loss, {}, prediction, target, {}, nullptr));
    ASSERT_OK(mezzo_mse_loss_forward({}, gradient, prediction, target, {}, nullptr));
    EXPECT_EQ(loss.bytes(), both_loss.bytes());
    EXPECT_EQ(gradient.bytes(), both_gradient.bytes());
}

TEST(MseLoss, Forward_ScalesBeforeItRoundsToAHalf) {
    // 2 / 20000 of an error of 1e-4 is below the smallest f16; scaled by 2^16 it is a normal number.
    const std::vector<double> zeros(20000, 0);
    const TestTensor prediction(MEZZO_DTYPE_F32, {20000}, std::vector<double>(20000, 1e-4));
    const TestTensor target(MEZZO_DTYPE_F32, {20000}, zeros);
    const TestTensor gradient(MEZZO_DTYPE_F16, {20000});
    ASSERT_OK(mezzo_mse_loss_forward({}, gradient, prediction, target, {}, nullptr));
    EXPECT_TRUE(is_identical(gradient.values(), zeros));
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F64, 65536);
    const TestTensor loss(MEZZO_DTYPE_F32, {});
    ASSERT_OK(mezzo_mse_loss_forward(loss, gradient, prediction, target, scale, nullptr));
    EXPECT_TRUE(
        is_near(gradient.values(), std::vector<double>(20000, 65536 * 1e-8), {MEZZO_DTYPE_F16, MEZZO_DTYPE_F32, 4}));
    EXPECT_TRUE(is_near(loss.values(), std::vector<double>{1e-8}, {MEZZO_DTYPE_F32, MEZZO_DTYPE_F32, 4}))
        << "the loss itself is not scaled";
}

TEST(MseLoss, Forward_GradientMatchesFiniteDifference) {
    const std::vector<double> target_values = {0.5, -1, 2, 0};
    const TestTensor target(MEZZO_DTYPE_F64, {4}, target_values);
    const TestTensor loss(MEZZO_DTYPE_F64, {});
    const std::vector<double> point = {0.25, 1, -1, 0.125};
    const std::vector<double> expected = finite_difference(
        [&](const std::vector<double> &values) {
            const TestTensor prediction(MEZZO_DTYPE_F64, {4}, values);
            EXPECT_OK(mezzo_mse_loss_forward(loss, {}, prediction, target, {}, nullptr));
            return loss.item();
        },
        point);
    const TestTensor prediction(MEZZO_DTYPE_F64, {4}, point);
    const TestTensor gradient(MEZZO_DTYPE_F64, {4});
    ASSERT_OK(mezzo_mse_loss_forward({}, gradient, prediction, target, {}, nullptr));
    const std::vector<double> got = gradient.values();
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], finite_difference_tolerance(4));
}

TEST(MseLossOnCpu, Forward_DoesNotDependOnTheNumberOfThreads) {
    const TestTensor prediction(MEZZO_DTYPE_F64, {100003}, random_values(100003, 1));
    const TestTensor target(MEZZO_DTYPE_F64, {100003}, random_values(100003, 2));
    const TestTensor loss(MEZZO_DTYPE_F64, {});
    const TestTensor gradient(MEZZO_DTYPE_BF16, {100003});
    expect_same_bytes_on_any_threads([&] {
        EXPECT_OK(mezzo_mse_loss_forward(loss, gradient, prediction, target, {}, nullptr));
        std::vector<uint8_t> bytes = loss.bytes();
        const std::vector<uint8_t> more = gradient.bytes();
        bytes.insert(bytes.end(), more.begin(), more.end());
        return bytes;
    });
}

TEST(MseLoss, Forward_LetsInfAndNaNThrough) {
    const TestTensor prediction(MEZZO_DTYPE_F32, {3}, {1, INFINITY, NAN});
    const TestTensor target(MEZZO_DTYPE_F32, {3}, {0, 0, 0});
    const TestTensor loss(MEZZO_DTYPE_F32, {});
    const TestTensor gradient(MEZZO_DTYPE_F16, {3});
    ASSERT_OK(mezzo_mse_loss_forward(loss, gradient, prediction, target, {}, &kSum));
    EXPECT_TRUE(std::isnan(loss.item()));
    EXPECT_TRUE(is_identical(gradient.values(), {2, INFINITY, NAN}));
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 65536);
    ASSERT_OK(mezzo_mse_loss_forward({}, gradient, prediction, target, scale, &kSum));
    EXPECT_EQ(gradient.values()[0], INFINITY) << "overflow of a half reaches the scaler as Inf";
}

TEST(MseLoss, Forward_WhenRecorded_ReadsTheScaleAsItRuns) {
    const TestTensor prediction(MEZZO_DTYPE_F32, {2}, {3, 5});
    const TestTensor target(MEZZO_DTYPE_F32, {2}, {1, 1});
    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
    const TestTensor loss(MEZZO_DTYPE_F32, {});
    const TestTensor gradient(MEZZO_DTYPE_F16, {2});
    const TestGraph recorded(
        [&] { EXPECT_OK(mezzo_mse_loss_forward(loss, gradient, prediction, target, scale, nullptr)); });
    for (const double value : {8.0, 64.0}) {
        scale.write({value});
        recorded.launch();
        EXPECT_EQ(loss.item(), 10);
        EXPECT_TRUE(is_identical(gradient.values(), {2 * value, 4 * value}));
    }
}

TEST(MseLoss, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64}) {
        for (const mezzo_dtype grad_dtype : {dtype, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16}) {
            for (const int64_t count : critical_counts()) {
                expect_same_bits_on_every_device([&](Results &results) {
                    const Placed prediction(dtype, 1, mixed_values(count, 1, dtype));
                    const Placed target(dtype, 2, random_values(count, 2));
                    const Placed gradient(grad_dtype, 3, std::vector<double>(static_cast<size_t>(count), 0));
                    const TestTensor scale = TestTensor::scalar(MEZZO_DTYPE_F64, 1000);
                    const TestTensor loss(dtype, {});
                    EXPECT_OK(mezzo_mse_loss_forward(loss, gradient, prediction, target, scale, nullptr));
                    results.add(loss);
                    results.add(gradient.whole);
                    const Placed finite(dtype, 0, random_values(count, 3));
                    EXPECT_OK(mezzo_mse_loss_forward(loss, {}, finite, target, {}, &kSum));
                    results.add(loss);
                    EXPECT_OK(mezzo_mse_loss_forward({}, gradient, finite, target, {}, &kSum));
                    results.add(gradient.whole);
                });
            }
        }
    }
}

TEST(MseLoss, Forward_RejectsBadArguments) {
    const TestTensor prediction(MEZZO_DTYPE_F32, {8});
    const TestTensor target(MEZZO_DTYPE_F32, {8});
    const TestTensor half(MEZZO_DTYPE_F16, {8});
    const TestTensor wide(MEZZO_DTYPE_F64, {8});
    const TestTensor shorter(MEZZO_DTYPE_F32, {7});
    const TestTensor loss(MEZZO_DTYPE_F32, {});
    const TestTensor wide_loss(MEZZO_DTYPE_F64, {});
    const TestTensor gradient(MEZZO_DTYPE_F32, {8});
    EXPECT_FAILS(mezzo_mse_loss_forward({}, {}, prediction, target, {}, nullptr), INVALID_ARGUMENT,
                 "mse_loss_forward: loss and grad_prediction are both null, expected at least one of them");
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, {}, {}, target, {}, nullptr), INVALID_HANDLE,
                 "mse_loss_forward: prediction is the null tensor");
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, {}, prediction, {}, {}, nullptr), INVALID_HANDLE,
                 "mse_loss_forward: target is the null tensor");
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, {}, half, half, {}, nullptr), DTYPE_MISMATCH,
                 "mse_loss_forward: prediction is f16[8], expected dtype f32 or f64");
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, {}, prediction, shorter, {}, nullptr), SHAPE_MISMATCH,
                 "mse_loss_forward: target is f32[7], expected f32[8]");
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, {}, prediction, wide, {}, nullptr), DTYPE_MISMATCH,
                 "mse_loss_forward: target is f64[8], expected dtype f32");
    EXPECT_FAILS(mezzo_mse_loss_forward(wide_loss, {}, prediction, target, {}, nullptr), DTYPE_MISMATCH,
                 "mse_loss_forward: loss is f64[], expected dtype f32");
    EXPECT_FAILS(mezzo_mse_loss_forward(gradient, {}, prediction, target, {}, nullptr), SHAPE_MISMATCH,
                 "mse_loss_forward: loss is f32[8], expected f32[]");
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, wide, prediction, target, {}, nullptr), DTYPE_MISMATCH,
                 "mse_loss_forward: grad_prediction is f64[8], expected dtype f32, f16 or bf16");
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, shorter, prediction, target, {}, nullptr), SHAPE_MISMATCH,
                 "mse_loss_forward: grad_prediction is f32[7], expected f32[8]");
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, {}, prediction, target, half, nullptr), SHAPE_MISMATCH,
                 "mse_loss_forward: scale is f16[8], expected f16[]");
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, prediction, prediction, target, {}, nullptr), INVALID_ARGUMENT,
                 "mse_loss_forward: grad_prediction shares memory with prediction, expected separate tensors");
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, {}, prediction, target, loss, nullptr), INVALID_ARGUMENT,
                 "mse_loss_forward: loss shares memory with scale, expected separate tensors");
    const mezzo_mse_loss_desc no_size = {};
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, {}, prediction, target, {}, &no_size), INVALID_ARGUMENT,
                 "mse_loss_forward: desc.struct_size is 0, expected 8");
    mezzo_mse_loss_desc unknown = kSum;
    const int32_t no_reduction = 2; // what a caller in another language may pass
    std::memcpy(&unknown.reduction, &no_reduction, sizeof(no_reduction));
    EXPECT_FAILS(mezzo_mse_loss_forward(loss, {}, prediction, target, {}, &unknown), INVALID_ARGUMENT,
                 "mse_loss_forward: desc.reduction is 2, expected a mezzo_reduction (0 or 1)");
}

} // namespace
} // namespace mezzo::testing
