// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include "support/every_device.h"
#include "support/graph.h"
#include "support/oracle.h"
#include "support/status.h"

namespace mezzo::testing {
namespace {

std::vector<double> reference(const std::vector<double> &input, double factor, mezzo_dtype dtype) {
    const double multiplier = rounded({factor}, arithmetic_of(dtype))[0];
    std::vector<double> products(input.size());
    for (size_t i = 0; i < input.size(); ++i) products[i] = input[i] * multiplier;
    return rounded(rounded(products, arithmetic_of(dtype)), dtype);
}

TEST(Scale, Forward_RoundsOnceForEveryDTypeAndShape) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const Shape &shape : elementwise_shapes()) {
            const TestTensor input = TestTensor::misaligned(dtype, shape, random_values(elements_of(shape), 1));
            const TestTensor out(dtype, shape);
            ASSERT_OK(mezzo_scale_forward(out, input, 1.0 / 3, {}));
            EXPECT_TRUE(is_identical(out.values(), reference(input.values(), 1.0 / 3, dtype)));
        }
    }
}

TEST(Scale, Forward_LetsSpecialValuesThroughAndWorksInPlace) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const std::vector<double> specials = special_values(dtype);
        for (const double factor : {-2.0, 0.5, 0.0}) {
            const TestTensor tensor(dtype, {static_cast<int64_t>(specials.size())}, specials);
            ASSERT_OK(mezzo_scale_forward(tensor, tensor, factor, {}));
            EXPECT_TRUE(is_identical(tensor.values(), reference(specials, factor, dtype)));
        }
    }
}

TEST(Scale, Forward_MultipliesBothFactorsInF64First) {
    // Each factor alone leaves f32's range, their product does not.
    const TestTensor input(MEZZO_DTYPE_F32, {2}, {3, -5});
    const TestTensor out(MEZZO_DTYPE_F32, {2});
    const TestTensor huge = TestTensor::scalar(MEZZO_DTYPE_F64, 1e60);
    ASSERT_OK(mezzo_scale_forward(out, input, 2e-60, huge));
    EXPECT_TRUE(is_identical(out.values(), {6, -10}));
    const TestTensor loss_scale = TestTensor::scalar(MEZZO_DTYPE_F32, 65536);
    ASSERT_OK(mezzo_scale_forward(out, input, 0.5, loss_scale));
    EXPECT_TRUE(is_identical(out.values(), {3 * 32768, -5 * 32768}));
}

TEST(Scale, Forward_WhenRecorded_ReadsTheFactorAsItRuns) {
    const TestTensor input(MEZZO_DTYPE_F32, {2}, {3, -5});
    const TestTensor out(MEZZO_DTYPE_F32, {2}, {7, 7});
    const TestTensor factor = TestTensor::scalar(MEZZO_DTYPE_F32, 2);
    const TestGraph recorded([&] { EXPECT_OK(mezzo_scale_forward(out, input, 0.5, factor)); });
    EXPECT_TRUE(is_identical(out.values(), {7, 7})) << "it ran while it was recorded";
    for (const double value : {4.0, 8.0}) {
        factor.write({value});
        recorded.launch();
        EXPECT_TRUE(is_identical(out.values(), {3 * value / 2, -5 * value / 2}));
    }
}

TEST(Scale, OnEveryDevice_GivesTheSameBits) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const int64_t count : critical_counts()) {
            for (const auto &[at, beside] : {std::pair(0, 0), std::pair(7, 7), std::pair(1, 0)}) {
                expect_same_bits_on_every_device([&, at = at, beside = beside](Results &results) {
                    const Placed input(dtype, at, mixed_values(count, 1, dtype));
                    const Placed out(dtype, beside, std::vector<double>(static_cast<size_t>(count), 0));
                    for (const mezzo_dtype factor_dtype : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64}) {
                        const TestTensor factor = TestTensor::scalar(factor_dtype, 0.7);
                        EXPECT_OK(mezzo_scale_forward(out, input, 1.0 / 3, factor));
                        results.add(out.whole);
                    }
                    EXPECT_OK(mezzo_scale_forward(input, input, -3e4, {}));
                    results.add(input.whole);
                });
            }
        }
    }
}

TEST(Scale, Forward_RejectsBadArguments) {
    const TestTensor tensor(MEZZO_DTYPE_F32, {8});
    const TestTensor half(MEZZO_DTYPE_F16, {8});
    const TestTensor bytes(MEZZO_DTYPE_U8, {8});
    const TestTensor out(MEZZO_DTYPE_F32, {8});
    EXPECT_FAILS(mezzo_scale_forward({}, tensor, 1, {}), INVALID_HANDLE, "scale_forward: out is the null tensor");
    EXPECT_FAILS(mezzo_scale_forward(out, {}, 1, {}), INVALID_HANDLE, "scale_forward: input is the null tensor");
    EXPECT_FAILS(mezzo_scale_forward(half, tensor, 1, {}), DTYPE_MISMATCH,
                 "scale_forward: out is f16[8], expected dtype f32");
    EXPECT_FAILS(mezzo_scale_forward(bytes, bytes, 1, {}), DTYPE_MISMATCH,
                 "scale_forward: input is u8[8], expected dtype f64, f32, f16 or bf16");
    EXPECT_FAILS(mezzo_scale_forward(out, tensor, 1, tensor), SHAPE_MISMATCH,
                 "scale_forward: device_factor is f32[8], expected f32[]");
    const TestTensor half_factor = TestTensor::scalar(MEZZO_DTYPE_F16, 1);
    EXPECT_FAILS(mezzo_scale_forward(out, tensor, 1, half_factor), DTYPE_MISMATCH,
                 "scale_forward: device_factor is f16[], expected dtype f32 or f64");
    const TestTensor inside = out.view(3, {});
    EXPECT_FAILS(mezzo_scale_forward(out, tensor, 1, inside), INVALID_ARGUMENT,
                 "scale_forward: out shares memory with device_factor, expected separate tensors");
    const TestTensor head = tensor.view(0, {4});
    const TestTensor middle = tensor.view(1, {4});
    EXPECT_FAILS(mezzo_scale_forward(head, middle, 1, {}), INVALID_ARGUMENT,
                 "scale_forward: out shares memory with input, expected the same tensor or separate ones");
}

} // namespace
} // namespace mezzo::testing
