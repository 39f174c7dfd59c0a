// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/norm.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

TEST(LayerNorm, MatchesAReferenceForEveryDTypeAndShape) {
    for (const NormCase &norm : norm_cases(true)) expect_norm(norm);
}

TEST(LayerNorm, OnEveryDevice_GivesTheSameBits) {
    for (const NormCase &norm : norm_cases(true)) {
        expect_same_bits_on_every_device([&](Results &results) {
            const NormRun run(norm);
            for (const TestTensor *tensor : run.outputs()) results.add(*tensor);
        });
    }
}

TEST(LayerNormOnCpu, DoesNotDependOnTheNumberOfThreads) {
    expect_same_bytes_on_any_threads([] {
        const NormRun run({true, MEZZO_DTYPE_BF16, MEZZO_DTYPE_F32, {300, 257}, 1, true, false});
        std::vector<uint8_t> bytes;
        for (const TestTensor *tensor : run.outputs()) {
            const std::vector<uint8_t> more = tensor->bytes();
            bytes.insert(bytes.end(), more.begin(), more.end());
        }
        return bytes;
    });
}

TEST(LayerNorm, OfAHalf_GivesTheBitsOfACastToF32) {
    for (const mezzo_dtype half : kHalves) {
        const NormRun direct({true, half, MEZZO_DTYPE_F32, {5, 70}, 1, true, false});
        const TestTensor wide(MEZZO_DTYPE_F32, {5, 70}, direct.input.values());
        const TestTensor out(MEZZO_DTYPE_F32, {5, 70});
        const TestTensor grad_input(MEZZO_DTYPE_F32, {5, 70});
        const TestTensor grad_weight(MEZZO_DTYPE_F32, {70});
        ASSERT_OK(mezzo_layer_norm_forward(out, {}, {}, wide, direct.weight, direct.bias, &direct.desc));
        ASSERT_OK(mezzo_layer_norm_backward(grad_input, grad_weight, {}, direct.grad_output, wide, direct.mean,
                                            direct.rstd, direct.weight, &direct.desc));
        EXPECT_EQ(out.bytes(), direct.out.bytes());
        EXPECT_EQ(grad_weight.bytes(), direct.grad_weight.bytes());
        EXPECT_TRUE(is_identical(direct.grad_input.values(), rounded(grad_input.values(), half)));
    }
}

TEST(LayerNorm, KeepsSmallDeviationsBesideALargeMean) {
    // In f32 the squares of 4096 cancel all of a variance of 1/4.
    std::vector<double> values(64);
    for (size_t i = 0; i < values.size(); ++i) values[i] = i % 2 == 0 ? 4096.5 : 4095.5;
    const TestTensor input(MEZZO_DTYPE_F32, {64}, values);
    const TestTensor out(MEZZO_DTYPE_F32, {64});
    const mezzo_norm_desc desc = {sizeof(mezzo_norm_desc), 1, 0};
    ASSERT_OK(mezzo_layer_norm_forward(out, {}, {}, input, {}, {}, &desc));
    for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(out.values()[i], i % 2 == 0 ? 1 : -1);
}

TEST(LayerNorm, Defaults_AreOneDimensionAndPyTorchsEps) {
    const TestTensor input(MEZZO_DTYPE_F64, {2, 2}, {0, 0, 1, 3});
    const TestTensor rstd(MEZZO_DTYPE_F64, {2});
    const TestTensor out(MEZZO_DTYPE_F64, {2, 2});
    ASSERT_OK(mezzo_layer_norm_forward(out, {}, rstd, input, {}, {}, nullptr));
    EXPECT_TRUE(is_identical(rstd.values(), {1 / std::sqrt(1e-5), 1 / std::sqrt(1 + 1e-5)}));
}

TEST(LayerNorm, LetsInfAndNaNThrough) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const TestTensor input(dtype, {3, 2}, {1, INFINITY, NAN, 1, 2, 2});
        const TestTensor out(dtype, {3, 2});
        ASSERT_OK(mezzo_layer_norm_forward(out, {}, {}, input, {}, {}, nullptr));
        EXPECT_TRUE(is_identical(out.values(), {NAN, NAN, NAN, NAN, 0, 0}));
    }
}

TEST(LayerNorm, Backward_GivesEachGradientAlone) {
    const NormRun all({true, MEZZO_DTYPE_F32, MEZZO_DTYPE_F32, {20, 9}, 1, true, false});
    const TestTensor input(MEZZO_DTYPE_F32, {20, 9});
    const TestTensor weight(MEZZO_DTYPE_F32, {9});
    const TestTensor bias(MEZZO_DTYPE_F32, {9});
    ASSERT_OK(
        mezzo_layer_norm_backward(input, {}, {}, all.grad_output, all.input, all.mean, all.rstd, all.weight, nullptr));
    ASSERT_OK(
        mezzo_layer_norm_backward({}, weight, {}, all.grad_output, all.input, all.mean, all.rstd, all.weight, nullptr));
    ASSERT_OK(
        mezzo_layer_norm_backward({}, {}, bias, all.grad_output, all.input, all.mean, all.rstd, all.weight, nullptr));
    EXPECT_EQ(input.bytes(), all.grad_input.bytes());
    EXPECT_EQ(weight.bytes(), all.grad_weight.bytes());
    EXPECT_EQ(bias.bytes(), all.grad_bias.bytes());
}

TEST(LayerNorm, RejectsBadArguments) {
    const TestTensor x(MEZZO_DTYPE_F16, {4, 8});
    const TestTensor out(MEZZO_DTYPE_F16, {4, 8});
    const TestTensor wide(MEZZO_DTYPE_F64, {4, 8});
    const TestTensor rows(MEZZO_DTYPE_F32, {4});
    const TestTensor columns(MEZZO_DTYPE_F32, {8});
    const TestTensor half_columns(MEZZO_DTYPE_F16, {8});
    EXPECT_FAILS(mezzo_layer_norm_forward({}, {}, {}, x, {}, {}, nullptr), INVALID_HANDLE,
                 "layer_norm_forward: out is the null tensor");
    EXPECT_FAILS(mezzo_layer_norm_forward(wide, {}, {}, x, {}, {}, nullptr), DTYPE_MISMATCH,
                 "layer_norm_forward: out is f64[4,8], expected dtype f16 or f32");
    EXPECT_FAILS(mezzo_layer_norm_forward(x, {}, {}, x, {}, {}, nullptr), INVALID_ARGUMENT,
                 "layer_norm_forward: out shares memory with input, expected separate tensors");
    EXPECT_FAILS(mezzo_layer_norm_forward(out, {}, {}, x, half_columns, {}, nullptr), DTYPE_MISMATCH,
                 "layer_norm_forward: weight is f16[8], expected dtype f32");
    EXPECT_FAILS(mezzo_layer_norm_forward(out, {}, {}, x, columns, rows, nullptr), SHAPE_MISMATCH,
                 "layer_norm_forward: bias is f32[4], expected f32[8]");
    EXPECT_FAILS(mezzo_layer_norm_forward(out, columns, {}, x, {}, {}, nullptr), SHAPE_MISMATCH,
                 "layer_norm_forward: mean is f32[8], expected f32[4]");
    mezzo_norm_desc desc = {sizeof(mezzo_norm_desc), 3, 1e-5};
    EXPECT_FAILS(mezzo_layer_norm_forward(out, {}, {}, x, {}, {}, &desc), INVALID_ARGUMENT,
                 "layer_norm_forward: desc.dims is 3, expected 1 to 2 for input, which is f16[4,8]");
    desc = {sizeof(mezzo_norm_desc), 1, -1};
    EXPECT_FAILS(mezzo_layer_norm_forward(out, {}, {}, x, {}, {}, &desc), INVALID_ARGUMENT,
                 "layer_norm_forward: desc.eps is -1, expected a finite number of at least 0");
    EXPECT_FAILS(mezzo_layer_norm_backward({}, {}, {}, out, x, rows, rows, {}, nullptr), INVALID_ARGUMENT,
                 "layer_norm_backward: all gradients are null, expected at least one of them");
    EXPECT_FAILS(mezzo_layer_norm_backward({}, columns, {}, wide, x, rows, rows, {}, nullptr), DTYPE_MISMATCH,
                 "layer_norm_backward: grad_output is f64[4,8], expected dtype f16 or f32");
}

} // namespace
} // namespace mezzo::testing
