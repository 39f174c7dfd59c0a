// SPDX-License-Identifier: MIT
#include "support/row_softmax.h"

namespace mezzo::testing {
namespace {

constexpr SoftmaxOp kOp = {mezzo_softmax_forward, mezzo_softmax_backward, false};

TEST(Softmax, MatchesAReferenceForEveryDTypeAndShape) {
    for (const SoftmaxCase &c : softmax_cases()) expect_softmax(kOp, c);
}

TEST(Softmax, OnEveryDevice_GivesTheSameBits) {
    expect_same_softmax_everywhere(kOp);
}

TEST(SoftmaxOnCpu, DoesNotDependOnTheNumberOfThreads) {
    expect_same_softmax_on_any_threads(kOp);
}

TEST(Softmax, OfRowsBeyondTheRange_IsPyTorchs) {
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64}) {
        const TestTensor input(dtype, {5, 2}, {1e30, 1e30, -INFINITY, 3, -INFINITY, -INFINITY, INFINITY, 1, NAN, 1});
        const TestTensor out(dtype, {5, 2});
        ASSERT_OK(mezzo_softmax_forward(out, input));
        EXPECT_TRUE(is_identical(out.values(), {0.5, 0.5, 0, 1, NAN, NAN, NAN, NAN, NAN, NAN}));
    }
}

TEST(Softmax, RejectsBadArguments) {
    const TestTensor a(MEZZO_DTYPE_F16, {2, 3});
    const TestTensor b(MEZZO_DTYPE_F16, {2, 3});
    const TestTensor wide(MEZZO_DTYPE_F64, {2, 3});
    const TestTensor integers(MEZZO_DTYPE_I32, {2, 3});
    EXPECT_FAILS(mezzo_softmax_forward(wide, a), DTYPE_MISMATCH,
                 "softmax_forward: out is f64[2,3], expected dtype f16 or f32");
    EXPECT_FAILS(mezzo_softmax_forward(integers, integers), DTYPE_MISMATCH,
                 "softmax_forward: input is i32[2,3], expected dtype f64, f32, f16 or bf16");
    EXPECT_FAILS(mezzo_softmax_forward(a, a), INVALID_ARGUMENT,
                 "softmax_forward: out shares memory with input, expected separate tensors");
    EXPECT_FAILS(mezzo_softmax_backward(a, wide, b), DTYPE_MISMATCH,
                 "softmax_backward: grad_output is f64[2,3], expected dtype f16");
    EXPECT_FAILS(mezzo_softmax_backward({}, a, b), INVALID_HANDLE, "softmax_backward: grad_input is the null tensor");
}

} // namespace
} // namespace mezzo::testing
