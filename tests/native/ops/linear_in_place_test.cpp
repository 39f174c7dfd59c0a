// SPDX-License-Identifier: MIT
#include <mezzo/ops.h>

#include "support/linear.h"
#include "support/status.h"
#include "support/tensor.h"
#include "support/thread_counts.h"

namespace mezzo::testing {
namespace {

struct Gradients {
    std::vector<uint8_t> input;
    std::vector<uint8_t> weight;
    std::vector<uint8_t> bias;

    bool operator==(const Gradients &) const = default;
};

/// The gradients of a square layer, with grad_input in grad_output's place or in one of its own.
Gradients backward(mezzo_dtype dtype, int64_t rows, int64_t features, mezzo_activation activation, bool in_place) {
    const Shape matrix = {rows, features};
    const auto random = [&](const Shape &shape, uint64_t seed) {
        return TestTensor(dtype, shape, random_rounded(elements_of(shape), seed, dtype));
    };
    const TestTensor grad_output = random(matrix, 1);
    const TestTensor input = random(matrix, 2);
    const TestTensor output = random(matrix, 3);
    const TestTensor weight = random({features, features}, 4);
    const TestTensor elsewhere(dtype, matrix);
    const TestTensor &grad_input = in_place ? grad_output : elsewhere;
    const TestTensor grad_weight(dtype, {features, features});
    const TestTensor grad_bias(dtype, {features});
    const mezzo_linear_desc desc = linear_desc(activation);
    EXPECT_OK(
        mezzo_linear_backward(grad_input, grad_weight, grad_bias, {}, {}, grad_output, input, weight, output, &desc));
    return {grad_input.bytes(), grad_weight.bytes(), grad_bias.bytes()};
}

void expect_in_place_to_be_as_apart(const std::vector<std::pair<int64_t, int64_t>> &sizes) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const auto activation : {MEZZO_ACTIVATION_NONE, MEZZO_ACTIVATION_RELU}) {
            for (const auto &[rows, features] : sizes) {
                SCOPED_TRACE(::testing::Message()
                             << "dtype " << dtype << ", " << rows << "x" << features << ", activation " << activation);
                EXPECT_EQ(backward(dtype, rows, features, activation, true),
                          backward(dtype, rows, features, activation, false));
            }
        }
    }
}

// One row and few wide ones; one feature; more rows than a tile has.
TEST(Linear, Backward_InPlace_GivesTheBitsOfOneApart) {
    expect_in_place_to_be_as_apart({{1, 1}, {1, 300}, {5, 200}, {300, 1}, {203, 37}, {70, 48}});
}

// One row and few wide ones, which divide by columns; several blocks of rows.
TEST(LinearOnCpu, Backward_InPlaceOnEachNumberOfThreads_GivesTheBitsOfOneApart) {
    for (const int32_t threads : {1, 2, 3}) {
        SCOPED_TRACE(::testing::Message() << threads << " threads");
        const ThreadScope scope(threads);
        expect_in_place_to_be_as_apart({{1, 700}, {5, 600}, {700, 1}, {1003, 37}, {2100, 48}});
    }
}

TEST(Linear, Backward_InPlaceWhileAccumulating_IsRefused) {
    const TestTensor gradient(MEZZO_DTYPE_F32, {4, 3}, std::vector<double>(12, 1));
    const TestTensor weight(MEZZO_DTYPE_F32, {3, 3}, std::vector<double>(9, 1));
    const mezzo_linear_desc desc = linear_desc(MEZZO_ACTIVATION_NONE, MEZZO_LINEAR_ACCUMULATE_INPUT);
    EXPECT_FAILS(mezzo_linear_backward(gradient, {}, {}, {}, {}, gradient, {}, weight, {}, &desc), INVALID_ARGUMENT,
                 "linear_backward: grad_input shares memory with grad_output, expected separate tensors");
}

TEST(Linear, Backward_InPlaceOfAnotherWidth_IsRefused) {
    const TestTensor storage(MEZZO_DTYPE_F32, {4, 3}, std::vector<double>(12, 1));
    const TestTensor narrow = storage.view(0, {4, 2});
    const TestTensor weight(MEZZO_DTYPE_F32, {3, 2}, std::vector<double>(6, 1));
    EXPECT_FAILS(mezzo_linear_backward(narrow, {}, {}, {}, {}, storage, {}, weight, {}, nullptr), INVALID_ARGUMENT,
                 "linear_backward: grad_input shares memory with grad_output, expected separate tensors");
}

} // namespace
} // namespace mezzo::testing
