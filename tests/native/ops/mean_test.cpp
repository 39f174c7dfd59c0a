// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/oracle.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

TEST(Mean, Forward_MatchesAReferenceForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const int64_t elements = elements_of(shape);
            const TestTensor input = TestTensor::misaligned(dtype, shape, random_values(elements, 1));
            long double sum = 0;
            long double magnitude = 0;
            for (const double value : input.values()) {
                sum += value;
                magnitude += std::abs(value);
            }
            const auto n = static_cast<long double>(elements);
            const Expected expected = {{static_cast<double>(sum / n)}, {static_cast<double>(magnitude / n)}};
            const TestTensor out(arithmetic_of(dtype), {});
            ASSERT_OK(mezzo_mean_forward(out, input));
            EXPECT_TRUE(is_near(out.values(), expected, {arithmetic_of(dtype), MEZZO_DTYPE_F64, elements + 1}));
        }
    }
}

TEST(MeanOnCpu, Forward_DoesNotDependOnTheNumberOfThreads) {
    const TestTensor input(MEZZO_DTYPE_F64, {100003}, random_values(100003, 2));
    const TestTensor out(MEZZO_DTYPE_F64, {});
    expect_same_bytes_on_any_threads([&] {
        EXPECT_OK(mezzo_mean_forward(out, input));
        return out.bytes();
    });
}

TEST(Mean, Forward_LetsInfAndNaNThrough) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const TestTensor out(arithmetic_of(dtype), {});
        ASSERT_OK(mezzo_mean_forward(out, TestTensor(dtype, {2}, {1, -INFINITY})));
        EXPECT_EQ(out.item(), -INFINITY);
        ASSERT_OK(mezzo_mean_forward(out, TestTensor(dtype, {2}, {1, NAN})));
        EXPECT_TRUE(std::isnan(out.item()));
    }
}

TEST(Mean, Backward_SpreadsTheGradient) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const int64_t elements = elements_of(shape);
            const TestTensor grad_input(dtype, shape);
            const TestTensor grad_output = TestTensor::scalar(arithmetic_of(dtype), 0.7);
            ASSERT_OK(mezzo_mean_backward(grad_input, grad_output));
            const double gradient = grad_output.item() / static_cast<double>(elements);
            const std::vector<double> expected(static_cast<size_t>(elements), gradient);
            EXPECT_TRUE(is_identical(grad_input.values(), rounded(expected, dtype)));
        }
    }
}

TEST(Mean, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const int64_t count : critical_counts()) {
            expect_same_bits_on_every_device([&](Results &results) {
                const Placed input(dtype, 1, random_values(count, 3, -1, 1000));
                const TestTensor out(arithmetic_of(dtype), {});
                EXPECT_OK(mezzo_mean_forward(out, input));
                results.add(out);
                EXPECT_OK(mezzo_mean_backward(input, out));
                results.add(input.whole);
            });
        }
    }
}

TEST(Mean, RejectsBadArguments) {
    const TestTensor input(MEZZO_DTYPE_F32, {8});
    const TestTensor wide(MEZZO_DTYPE_F64, {});
    EXPECT_FAILS(mezzo_mean_forward({}, input), INVALID_HANDLE, "mean_forward: out is the null tensor");
    EXPECT_FAILS(mezzo_mean_forward(wide, {}), INVALID_HANDLE, "mean_forward: input is the null tensor");
    EXPECT_FAILS(mezzo_mean_forward(wide, input), DTYPE_MISMATCH, "mean_forward: out is f64[], expected dtype f32");
    EXPECT_FAILS(mezzo_mean_backward({}, wide), INVALID_HANDLE, "mean_backward: grad_input is the null tensor");
    EXPECT_FAILS(mezzo_mean_backward(input, {}), INVALID_HANDLE, "mean_backward: grad_output is the null tensor");
    EXPECT_FAILS(mezzo_mean_backward(input, input), SHAPE_MISMATCH,
                 "mean_backward: grad_output is f32[8], expected f32[]");
}

} // namespace
} // namespace mezzo::testing
