// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/oracle.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

TEST(Fill, SetsEveryElementOfEveryDTypeAndShapeAndNoOther) {
    for (const mezzo_dtype dtype : kDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const int64_t elements = elements_of(shape);
            const TestTensor base(dtype, {elements + 2}, std::vector<double>(static_cast<size_t>(elements + 2), 7));
            const TestTensor middle = base.view(1, shape);
            ASSERT_OK(mezzo_fill(middle, 42));
            std::vector<double> expected(static_cast<size_t>(elements + 2), 42);
            expected.front() = expected.back() = 7;
            EXPECT_TRUE(is_identical(base.values(), expected));
        }
    }
}

TEST(Fill, RoundsOnceToFloatingDTypes) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const double half_step = unit_roundoff(dtype);
        const TestTensor tensor(dtype, {3});
        ASSERT_OK(mezzo_fill(tensor, 1 + half_step)); // a tie, to even
        EXPECT_TRUE(is_identical(tensor.values(), {1, 1, 1}));
        if (dtype != MEZZO_DTYPE_F64) {
            ASSERT_OK(mezzo_fill(tensor, 1 + half_step + 0x1p-50)); // above the tie by less than an f32 tells
            EXPECT_EQ(tensor.item(), 1 + 2 * half_step);
        }
        for (const double special : special_values(dtype)) {
            ASSERT_OK(mezzo_fill(tensor, special));
            EXPECT_TRUE(is_identical(tensor.values(), {special, special, special}));
        }
    }
}

TEST(Fill, ReachesTheEndsOfIntegerRanges) {
    const TestTensor wide(MEZZO_DTYPE_I64, {1});
    ASSERT_OK(mezzo_fill(wide, -0x1p63));
    EXPECT_EQ(wide.item(), -0x1p63);
    const TestTensor narrow(MEZZO_DTYPE_I32, {1});
    ASSERT_OK(mezzo_fill(narrow, 2147483647.0));
    EXPECT_EQ(narrow.item(), 2147483647.0);
}

TEST(Fill, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kDTypes) {
        for (const int64_t count : critical_counts()) {
            for (const int64_t at : {0, 1, 6}) {
                expect_same_bits_on_every_device([&](Results &results) {
                    const Placed out(dtype, at, std::vector<double>(static_cast<size_t>(count), 0));
                    EXPECT_OK(mezzo_fill(out, 123));
                    results.add(out.whole);
                });
            }
        }
    }
}

TEST(Fill, RejectsBadArguments) {
    EXPECT_FAILS(mezzo_fill({}, 0), INVALID_HANDLE, "fill: out is the null tensor");
    const TestTensor bytes(MEZZO_DTYPE_U8, {1});
    EXPECT_FAILS(mezzo_fill(bytes, 2.5), INVALID_ARGUMENT,
                 "fill: value is 2.5, expected an integer from 0 to 255 for u8");
    EXPECT_FAILS(mezzo_fill(bytes, -1), INVALID_ARGUMENT,
                 "fill: value is -1, expected an integer from 0 to 255 for u8");
    EXPECT_FAILS(mezzo_fill(bytes, 256), INVALID_ARGUMENT,
                 "fill: value is 256, expected an integer from 0 to 255 for u8");
    const TestTensor narrow(MEZZO_DTYPE_I32, {1});
    EXPECT_FAILS(mezzo_fill(narrow, NAN), INVALID_ARGUMENT,
                 "fill: value is nan, expected an integer from -2147483648 to 2147483647 for i32");
    const TestTensor wide(MEZZO_DTYPE_I64, {1});
    EXPECT_FAILS(mezzo_fill(wide, 0x1p63), INVALID_ARGUMENT,
                 "fill: value is 9.2233720368547758e+18, expected an integer from -9223372036854775808 to "
                 "9223372036854775807 for i64");
}

} // namespace
} // namespace mezzo::testing
