// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

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
        for (const int64_t elements : {1, 31, 32, 33, 4095, 4096, 4097, 12345}) {
            const TestTensor input(dtype, {elements}, std::vector<double>(static_cast<size_t>(elements), 1));
            const TestTensor out(arithmetic_of(dtype), {});
            ASSERT_OK(mezzo_sum_forward(out, input));
            EXPECT_EQ(out.item(), static_cast<double>(elements));
        }
    }
}

TEST(Sum, Forward_DoesNotDependOnTheNumberOfThreads) {
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
