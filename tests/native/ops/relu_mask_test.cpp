// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "core/dtype.h"
#include "support/every_device.h"
#include "support/oracle.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

using Bytes = std::vector<uint8_t>;

/// The mask as ops.h defines it.
Bytes mask_of(const std::vector<double> &outputs) {
    Bytes mask((outputs.size() + 7) / 8);
    for (size_t i = 0; i < outputs.size(); ++i) {
        if (!(outputs[i] <= 0)) mask[i / 8] = static_cast<uint8_t>(mask[i / 8] | 1 << i % 8);
    }
    return mask;
}

std::vector<double> unpacked(const std::vector<double> &outputs) {
    std::vector<double> ones;
    for (const double output : outputs) ones.push_back(output <= 0 ? 0 : 1);
    return ones;
}

int64_t mask_bytes(int64_t elements) {
    return (elements + 7) / 8;
}

/// Positive and negative numbers, zeros of both signs, and now and then a NaN.
std::vector<double> mixed_outputs(int64_t count) {
    std::vector<double> values = random_values(count, 3);
    for (size_t i = 0; i < values.size(); ++i) {
        if (i % 7 == 2) values[i] = i % 2 == 0 ? 0.0 : -0.0;
        if (i % 13 == 5) values[i] = NAN;
    }
    return values;
}

TEST(ReluMask, HasABitOfEachElementForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const int64_t elements = elements_of(shape);
            const TestTensor output(dtype, shape, mixed_outputs(elements));
            const TestTensor mask(MEZZO_DTYPE_U8, {mask_bytes(elements)});
            ASSERT_OK(mezzo_relu_mask_pack(mask, output));
            EXPECT_EQ(mask.bytes(), mask_of(output.values())) << dtype_name(dtype) << " of " << elements;
            const TestTensor back(dtype, shape);
            ASSERT_OK(mezzo_relu_mask_unpack(back, mask));
            EXPECT_TRUE(is_identical(back.values(), unpacked(output.values())));
        }
    }
}

TEST(ReluMask, OfSpecialValues_IsWhatTheGradientAsksFor) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        std::vector<double> specials = special_values(dtype);
        specials.push_back(-0.0);
        const auto count = static_cast<int64_t>(specials.size());
        const TestTensor output(dtype, {count}, specials);
        const TestTensor mask(MEZZO_DTYPE_U8, {mask_bytes(count)});
        ASSERT_OK(mezzo_relu_mask_pack(mask, output));
        EXPECT_EQ(mask.bytes(), mask_of(output.values())) << dtype_name(dtype);
    }
}

TEST(ReluMask, PackedAndUnpacked_GivesTheGradientsOfTheOutput) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        constexpr int64_t kCount = 1003;
        const TestTensor output(dtype, {kCount}, mixed_outputs(kCount));
        const TestTensor gradient(dtype, {kCount}, random_values(kCount, 4));
        const TestTensor mask(MEZZO_DTYPE_U8, {mask_bytes(kCount)});
        const TestTensor back(dtype, {kCount});
        ASSERT_OK(mezzo_relu_mask_pack(mask, output));
        ASSERT_OK(mezzo_relu_mask_unpack(back, mask));
        const TestTensor expected(dtype, {kCount});
        const TestTensor got(dtype, {kCount});
        ASSERT_OK(mezzo_relu_backward(expected, gradient, output));
        ASSERT_OK(mezzo_relu_backward(got, gradient, back));
        EXPECT_EQ(got.bytes(), expected.bytes()) << dtype_name(dtype);
    }
}

TEST(ReluMask, OnEveryDevice_GivesTheSameBitsWhereverTheElementsBegin) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const int64_t count : critical_counts()) {
            for (const auto &[at, beside] : {std::pair(0, 0), std::pair(1, 3), std::pair(8, 5)}) {
                expect_same_bits_on_every_device([&, at = at, beside = beside](Results &results) {
                    const std::vector<double> nothing(static_cast<size_t>(count), 0);
                    const Placed output(dtype, at, mixed_outputs(count));
                    const Placed mask(MEZZO_DTYPE_U8, beside,
                                      std::vector<double>(static_cast<size_t>(mask_bytes(count)), 0xa5));
                    const Placed back(dtype, at, nothing);
                    EXPECT_OK(mezzo_relu_mask_pack(mask, output));
                    EXPECT_OK(mezzo_relu_mask_unpack(back, mask));
                    for (const Placed *placed : {&output, &mask, &back}) results.add(placed->whole);
                });
            }
        }
    }
}

TEST(ReluMaskOnCpu, DoesNotDependOnTheNumberOfThreads) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        constexpr int64_t kCount = 100003;
        const TestTensor output(dtype, {kCount}, mixed_outputs(kCount));
        const TestTensor mask(MEZZO_DTYPE_U8, {mask_bytes(kCount)});
        const TestTensor back(dtype, {kCount});
        expect_same_bytes_on_any_threads([&] {
            EXPECT_OK(mezzo_relu_mask_pack(mask, output));
            return mask.bytes();
        });
        expect_same_bytes_on_any_threads([&] {
            EXPECT_OK(mezzo_relu_mask_unpack(back, mask));
            return back.bytes();
        });
        EXPECT_TRUE(is_identical(back.values(), unpacked(output.values())));
    }
}

TEST(ReluMask, RejectsBadArguments) {
    const TestTensor output(MEZZO_DTYPE_F32, {3, 7});
    const TestTensor mask(MEZZO_DTYPE_U8, {3});
    const TestTensor shorter(MEZZO_DTYPE_U8, {2});
    const TestTensor wide(MEZZO_DTYPE_I32, {3});
    EXPECT_FAILS(mezzo_relu_mask_pack({}, output), INVALID_HANDLE, "relu_mask_pack: mask is the null tensor");
    EXPECT_FAILS(mezzo_relu_mask_pack(mask, {}), INVALID_HANDLE, "relu_mask_pack: output is the null tensor");
    EXPECT_FAILS(mezzo_relu_mask_pack(shorter, output), SHAPE_MISMATCH,
                 "relu_mask_pack: mask is u8[2], expected 3 elements for output, which is f32[3,7]");
    EXPECT_FAILS(mezzo_relu_mask_pack(wide, output), DTYPE_MISMATCH,
                 "relu_mask_pack: mask is i32[3], expected dtype u8");
    EXPECT_FAILS(mezzo_relu_mask_pack(mask, wide), DTYPE_MISMATCH,
                 "relu_mask_pack: output is i32[3], expected dtype f64, f32, f16 or bf16");
    EXPECT_FAILS(mezzo_relu_mask_unpack({}, mask), INVALID_HANDLE, "relu_mask_unpack: output is the null tensor");
    EXPECT_FAILS(mezzo_relu_mask_unpack(output, {}), INVALID_HANDLE, "relu_mask_unpack: mask is the null tensor");
    EXPECT_FAILS(mezzo_relu_mask_unpack(output, shorter), SHAPE_MISMATCH,
                 "relu_mask_unpack: mask is u8[2], expected 3 elements for output, which is f32[3,7]");
}

} // namespace
} // namespace mezzo::testing
