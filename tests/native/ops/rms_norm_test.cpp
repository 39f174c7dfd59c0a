// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include <cmath>

#include "support/every_device.h"
#include "support/norm.h"

namespace mezzo::testing {
namespace {

TEST(RmsNorm, MatchesAReferenceForEveryDTypeAndShape) {
    for (const NormCase &norm : norm_cases(false)) expect_norm(norm);
}

TEST(RmsNorm, OnEveryDevice_GivesTheSameBits) {
    for (const NormCase &norm : norm_cases(false)) {
        expect_same_bits_on_every_device([&](Results &results) {
            const NormRun run(norm);
            for (const TestTensor *tensor : run.outputs()) results.add(*tensor);
        });
    }
}

TEST(RmsNorm, DefaultEps_IsTheEpsilonOfTheArithmetic) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const mezzo_dtype arithmetic = arithmetic_of(dtype);
        const TestTensor input(dtype, {2}, {0, 0});
        const TestTensor rstd(arithmetic, {});
        const TestTensor out(dtype, {2});
        ASSERT_OK(mezzo_rms_norm_forward(out, rstd, input, {}, nullptr));
        const double epsilon = arithmetic == MEZZO_DTYPE_F64 ? 0x1p-52 : 0x1p-23;
        EXPECT_TRUE(is_identical(rstd.values(), rounded({1 / std::sqrt(epsilon)}, arithmetic)));
    }
}

TEST(RmsNorm, RejectsBadArguments) {
    const TestTensor x(MEZZO_DTYPE_F32, {4, 8});
    const TestTensor out(MEZZO_DTYPE_F32, {4, 8});
    const TestTensor rows(MEZZO_DTYPE_F32, {4});
    EXPECT_FAILS(mezzo_rms_norm_forward(out, {}, {}, {}, nullptr), INVALID_HANDLE,
                 "rms_norm_forward: input is the null tensor");
    EXPECT_FAILS(mezzo_rms_norm_forward(out, {}, x, rows, nullptr), SHAPE_MISMATCH,
                 "rms_norm_forward: weight is f32[4], expected f32[8]");
    EXPECT_FAILS(mezzo_rms_norm_backward({}, {}, out, x, rows, {}, nullptr), INVALID_ARGUMENT,
                 "rms_norm_backward: all gradients are null, expected at least one of them");
    EXPECT_FAILS(mezzo_rms_norm_backward(out, {}, out, x, rows, {}, nullptr), INVALID_ARGUMENT,
                 "rms_norm_backward: grad_input shares memory with grad_output, expected separate tensors");
}

} // namespace
} // namespace mezzo::testing
