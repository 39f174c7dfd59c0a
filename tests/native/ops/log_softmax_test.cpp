// SPDX-License-Identifier: MIT
#include "support/row_softmax.h"

namespace mezzo::testing {
namespace {

constexpr SoftmaxOp kOp = {mezzo_log_softmax_forward, mezzo_log_softmax_backward, true};

TEST(LogSoftmax, MatchesAReferenceForEveryDTypeAndShape) {
    for (const SoftmaxCase &c : softmax_cases()) expect_softmax(kOp, c);
}

TEST(LogSoftmax, OnEveryDevice_GivesTheSameBits) {
    expect_same_softmax_everywhere(kOp);
}

TEST(LogSoftmaxOnCpu, DoesNotDependOnTheNumberOfThreads) {
    expect_same_softmax_on_any_threads(kOp);
}

TEST(LogSoftmax, OfRowsBeyondTheRange_IsPyTorchs) {
    for (const mezzo_dtype dtype : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64}) {
        const TestTensor input(dtype, {4, 2}, {-INFINITY, 3, -INFINITY, -INFINITY, INFINITY, 1, -1000, 1000});
        const TestTensor out(dtype, {4, 2});
        ASSERT_OK(mezzo_log_softmax_forward(out, input));
        EXPECT_TRUE(is_identical(out.values(), {-INFINITY, 0, NAN, NAN, NAN, NAN, -2000, 0}));
    }
}

TEST(LogSoftmax, RejectsBadArguments) {
    const TestTensor a(MEZZO_DTYPE_F32, {2, 3});
    const TestTensor other(MEZZO_DTYPE_F32, {3, 2});
    EXPECT_FAILS(mezzo_log_softmax_forward(other, a), SHAPE_MISMATCH,
                 "log_softmax_forward: out is f32[3,2], expected f32[2,3]");
    EXPECT_FAILS(mezzo_log_softmax_backward(a, a, {}), INVALID_HANDLE,
                 "log_softmax_backward: output is the null tensor");
}

} // namespace
} // namespace mezzo::testing
