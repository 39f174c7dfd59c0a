// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include "support/every_device.h"
#include "support/oracle.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

/// The sum computed in the arithmetic's dtype, rounded once more where a half is stored.
std::vector<double> reference(const std::vector<double> &a, const std::vector<double> &b, mezzo_dtype dtype) {
    std::vector<double> sums(a.size());
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = a[i] + b[i];
    return rounded(rounded(sums, arithmetic_of(dtype)), dtype);
}

TEST(Add, Forward_RoundsOnceForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const TestTensor a(dtype, shape, random_values(elements_of(shape), 1));
            const TestTensor b = TestTensor::misaligned(dtype, shape, random_values(elements_of(shape), 2));
            const TestTensor out(dtype, shape);
            ASSERT_OK(mezzo_add_forward(out, a, b));
            EXPECT_TRUE(is_identical(out.values(), reference(a.values(), b.values(), dtype)));
        }
    }
}

TEST(Add, Forward_LetsSpecialValuesThrough) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const std::vector<double> specials = special_values(dtype);
        std::vector<double> left;
        std::vector<double> right;
        for (const double a : specials) {
            for (const double b : specials) {
                left.push_back(a);
                right.push_back(b);
            }
        }
        const Shape shape = {static_cast<int64_t>(left.size())};
        const TestTensor a(dtype, shape, left);
        const TestTensor b(dtype, shape, right);
        const TestTensor out(dtype, shape);
        ASSERT_OK(mezzo_add_forward(out, a, b));
        EXPECT_TRUE(is_identical(out.values(), reference(left, right, dtype)));
    }
}

TEST(Add, Forward_WorksInPlace) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const Shape shape = {1023};
        const TestTensor a(dtype, shape, random_values(1023, 1));
        const TestTensor b(dtype, shape, random_values(1023, 2));
        const std::vector<double> sum = reference(a.values(), b.values(), dtype);
        const std::vector<double> twice = reference(sum, sum, dtype);
        ASSERT_OK(mezzo_add_forward(a, a, b));
        EXPECT_TRUE(is_identical(a.values(), sum));
        ASSERT_OK(mezzo_add_forward(a, a, a));
        EXPECT_TRUE(is_identical(a.values(), twice));
    }
}

TEST(Add, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const int64_t count : critical_counts()) {
            for (const auto &[at, beside] : {std::pair(0, 0), std::pair(5, 5), std::pair(0, 1)}) {
                expect_same_bits_on_every_device([&, at = at, beside = beside](Results &results) {
                    const Placed a(dtype, at, mixed_values(count, 1, dtype));
                    const Placed b(dtype, beside, mixed_values(count, 2, dtype));
                    const Placed out(dtype, at, std::vector<double>(static_cast<size_t>(count), 0));
                    EXPECT_OK(mezzo_add_forward(out, a, b));
                    EXPECT_OK(mezzo_add_forward(a, a, b));
                    EXPECT_OK(mezzo_add_forward(b, b, b));
                    for (const Placed *placed : {&a, &b, &out}) results.add(placed->whole);
                });
            }
        }
    }
}

TEST(Add, Forward_RejectsBadArguments) {
    const TestTensor a(MEZZO_DTYPE_F32, {20, 150});
    const TestTensor b(MEZZO_DTYPE_F32, {150});
    const TestTensor half(MEZZO_DTYPE_F16, {20, 150});
    const TestTensor integers(MEZZO_DTYPE_I32, {20, 150});
    const TestTensor out(MEZZO_DTYPE_F32, {20, 150});
    EXPECT_FAILS(mezzo_add_forward({}, a, a), INVALID_HANDLE, "add_forward: out is the null tensor");
    EXPECT_FAILS(mezzo_add_forward(out, {}, a), INVALID_HANDLE, "add_forward: a is the null tensor");
    EXPECT_FAILS(mezzo_add_forward(out, a, {}), INVALID_HANDLE, "add_forward: b is the null tensor");
    EXPECT_FAILS(mezzo_add_forward(out, a, b), SHAPE_MISMATCH, "add_forward: b is f32[150], expected f32[20,150]");
    EXPECT_FAILS(mezzo_add_forward(b, a, a), SHAPE_MISMATCH, "add_forward: out is f32[150], expected f32[20,150]");
    EXPECT_FAILS(mezzo_add_forward(out, a, half), DTYPE_MISMATCH, "add_forward: b is f16[20,150], expected dtype f32");
    EXPECT_FAILS(mezzo_add_forward(half, a, a), DTYPE_MISMATCH, "add_forward: out is f16[20,150], expected dtype f32");
    EXPECT_FAILS(mezzo_add_forward(integers, integers, integers), DTYPE_MISMATCH,
                 "add_forward: a is i32[20,150], expected dtype f64, f32, f16 or bf16");
    const TestTensor base(MEZZO_DTYPE_F32, {16});
    const TestTensor first = base.view(0, {8});
    const TestTensor shifted = base.view(4, {8});
    const TestTensor other(MEZZO_DTYPE_F32, {8});
    EXPECT_FAILS(mezzo_add_forward(first, shifted, other), INVALID_ARGUMENT,
                 "add_forward: out shares memory with a, expected the same tensor or separate ones");
    EXPECT_FAILS(mezzo_add_forward(first, other, shifted), INVALID_ARGUMENT,
                 "add_forward: out shares memory with b, expected the same tensor or separate ones");
}

} // namespace
} // namespace mezzo::testing
