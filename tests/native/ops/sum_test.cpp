// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/graph.h"
#include "support/oracle.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

Expected reference(const std::vector<double> &values) {
    long double sum = 0;
    long double magnitude = 0;
    for (const double value : values) {
        sum += value;
        magnitude += std::abs(value);
    }
    return {{static_cast<double>(sum)}, {static_cast<double>(magnitude)}};
}

TEST(Sum, Forward_MatchesAReferenceForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const int64_t elements = elements_of(shape);
            const TestTensor input = TestTensor::misaligned(dtype, shape, random_values(elements, 1));
            const TestTensor out(arithmetic_of(dtype), {});
            ASSERT_OK(mezzo_sum_forward(out, input));
            EXPECT_TRUE(
                is_near(out.values(), reference(input.values()), {arithmetic_of(dtype), MEZZO_DTYPE_F64, elements}));
        }
    }
}

TEST(Sum, Forward_CountsEveryElement) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const int64_t elements : {1, 31, 32, 33, 127, 1055, 4095, 4096, 4097, 12345}) {
            const TestTensor input(dtype, {elements}, std::vector<double>(static_cast<size_t>(elements), 1));
            const TestTensor out(arithmetic_of(dtype), {});
            ASSERT_OK(mezzo_sum_forward(out, input));
            EXPECT_EQ(out.item(), static_cast<double>(elements));
        }
    }
}

TEST(SumOnCpu, Forward_DoesNotDependOnTheNumberOfThreads) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const TestTensor input(dtype, {100003}, random_values(100003, 2));
        const TestTensor out(arithmetic_of(dtype), {});
        expect_same_bytes_on_any_threads([&] {
            EXPECT_OK(mezzo_sum_forward(out, input));
            return out.bytes();
        });
    }
}

TEST(Sum, Forward_LetsInfAndNaNThrough) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const TestTensor out(arithmetic_of(dtype), {});
        ASSERT_OK(mezzo_sum_forward(out, TestTensor(dtype, {3}, {1, INFINITY, 2})));
        EXPECT_EQ(out.item(), INFINITY);
        ASSERT_OK(mezzo_sum_forward(out, TestTensor(dtype, {3}, {-INFINITY, INFINITY, 2})));
        EXPECT_TRUE(std::isnan(out.item()));
        ASSERT_OK(mezzo_sum_forward(out, TestTensor(dtype, {3}, {1, NAN, 2})));
        EXPECT_TRUE(std::isnan(out.item()));
    }
}

TEST(Sum, Forward_OfHalvesReachesBeyondTheirRange) {
    const TestTensor input(MEZZO_DTYPE_F16, {4}, {65504, 65504, 65504, 1});
    const TestTensor out(MEZZO_DTYPE_F32, {});
    ASSERT_OK(mezzo_sum_forward(out, input));
    EXPECT_EQ(out.item(), 3 * 65504.0 + 1);
}

TEST(Sum, Backward_SpreadsTheGradient) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const TestTensor grad_input(dtype, shape);
            const TestTensor grad_output = TestTensor::scalar(arithmetic_of(dtype), 1.0 / 3);
            ASSERT_OK(mezzo_sum_backward(grad_input, grad_output));
            const std::vector<double> expected(static_cast<size_t>(elements_of(shape)), grad_output.item());
            EXPECT_TRUE(is_identical(grad_input.values(), rounded(expected, dtype)));
        }
    }
}

TEST(Sum, Forward_AddsBlocksOfBlocks) {
    constexpr int64_t kElements = 4096 * 4096 + 4097;
    const TestTensor input(MEZZO_DTYPE_F16, {kElements});
    ASSERT_OK(mezzo_fill(input, 0.5));
    const TestTensor out(MEZZO_DTYPE_F32, {});
    ASSERT_OK(mezzo_sum_forward(out, input));
    EXPECT_EQ(out.item(), static_cast<double>(static_cast<float>(kElements) / 2));
}

TEST(Sum, Backward_WhenRecorded_ReadsTheGradientAsItRuns) {
    const TestTensor grad_input(MEZZO_DTYPE_F16, {3});
    const TestTensor grad_output = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
    const TestGraph recorded([&] { EXPECT_OK(mezzo_sum_backward(grad_input, grad_output)); });
    for (const double value : {2.0, -4.0}) {
        grad_output.write({value});
        recorded.launch();
        EXPECT_TRUE(is_identical(grad_input.values(), {value, value, value}));
    }
}

TEST(Sum, Forward_WhenRecorded_CanRunAgain) {
    const TestTensor input(MEZZO_DTYPE_F32, {9000}, std::vector<double>(9000, 1));
    const TestTensor out(MEZZO_DTYPE_F32, {});
    const TestGraph recorded([&] { EXPECT_OK(mezzo_sum_forward(out, input)); });
    for (const double value : {1.0, 3.0}) {
        ASSERT_OK(mezzo_fill(input, value));
        recorded.launch();
        recorded.launch();
        EXPECT_EQ(out.item(), 9000 * value);
    }
}

TEST(Sum, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const int64_t count : critical_counts()) {
            for (const int64_t at : {0, 1}) {
                expect_same_bits_on_every_device([&](Results &results) {
                    const Placed input(dtype, at, random_values(count, 3, -1, 1000));
                    const TestTensor out(arithmetic_of(dtype), {});
                    EXPECT_OK(mezzo_sum_forward(out, input));
                    results.add(out);
                    EXPECT_OK(mezzo_sum_backward(input, TestTensor::scalar(arithmetic_of(dtype), 1.0 / 3)));
                    results.add(input.whole);
                });
            }
        }
    }
}

TEST(Sum, OnEveryDevice_AddsBlocksOfBlocksToTheSameBits) {
    expect_same_bits_on_every_device([](Results &results) {
        const TestTensor input(MEZZO_DTYPE_F16, {4096 * 4096 + 4097});
        EXPECT_OK(mezzo_random_uniform(input, -1, 3, nullptr));
        const TestTensor out(MEZZO_DTYPE_F32, {});
        EXPECT_OK(mezzo_sum_forward(out, input));
        results.add(out);
    });
}

TEST(Sum, RejectsBadArguments) {
    const TestTensor input(MEZZO_DTYPE_F16, {8});
    const TestTensor half_scalar(MEZZO_DTYPE_F16, {});
    const TestTensor scalar(MEZZO_DTYPE_F32, {});
    const TestTensor integers(MEZZO_DTYPE_I32, {8});
    const TestTensor integer(MEZZO_DTYPE_I32, {});
    EXPECT_FAILS(mezzo_sum_forward({}, input), INVALID_HANDLE, "sum_forward: out is the null tensor");
    EXPECT_FAILS(mezzo_sum_forward(scalar, {}), INVALID_HANDLE, "sum_forward: input is the null tensor");
    EXPECT_FAILS(mezzo_sum_forward(half_scalar, input), DTYPE_MISMATCH,
                 "sum_forward: out is f16[], expected dtype f32");
    EXPECT_FAILS(mezzo_sum_forward(input, input), SHAPE_MISMATCH, "sum_forward: out is f16[8], expected f16[]");
    EXPECT_FAILS(mezzo_sum_forward(integer, integers), DTYPE_MISMATCH,
                 "sum_forward: input is i32[8], expected dtype f64, f32, f16 or bf16");
    EXPECT_FAILS(mezzo_sum_forward(scalar, scalar), INVALID_ARGUMENT,
                 "sum_forward: out shares memory with input, expected separate tensors");
    EXPECT_FAILS(mezzo_sum_backward({}, scalar), INVALID_HANDLE, "sum_backward: grad_input is the null tensor");
    EXPECT_FAILS(mezzo_sum_backward(input, {}), INVALID_HANDLE, "sum_backward: grad_output is the null tensor");
    EXPECT_FAILS(mezzo_sum_backward(input, half_scalar), DTYPE_MISMATCH,
                 "sum_backward: grad_output is f16[], expected dtype f32");
}

} // namespace
} // namespace mezzo::testing
