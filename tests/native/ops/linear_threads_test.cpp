// SPDX-License-Identifier: MIT
// The linear layer on several threads and its scratch memory.
#include <mezzo/ops.h>

#include "support/linear.h"
#include "support/thread_counts.h"

#include <thread>

namespace mezzo::testing {
namespace {

/// Everything a layer computes, bit by bit.
std::vector<std::vector<uint8_t>> run_layer(const LinearSizes &sizes, mezzo_dtype dtype) {
    const auto [rows, in, out] = sizes;
    const TestTensor input(dtype, {rows, in}, random_rounded(rows * in, 31, dtype));
    const TestTensor weight(dtype, {out, in}, random_rounded(out * in, 32, dtype));
    const TestTensor bias(dtype, {out}, random_rounded(out, 33, dtype));
    const TestTensor grad_output(dtype, {rows, out}, random_rounded(rows * out, 34, dtype));
    const TestTensor output(dtype, {rows, out}), grad_input(dtype, {rows, in});
    const TestTensor grad_weight(dtype, {out, in}), grad_bias(dtype, {out});
    const mezzo_linear_desc desc = linear_desc(MEZZO_ACTIVATION_RELU);
    EXPECT_OK(mezzo_linear_forward(output, input, weight, bias, &desc));
    EXPECT_OK(
        mezzo_linear_backward(grad_input, grad_weight, grad_bias, {}, {}, grad_output, input, weight, output, &desc));
    return {output.bytes(), grad_input.bytes(), grad_weight.bytes(), grad_bias.bytes()};
}

TEST(LinearOnCpu, Threads_EachCount_MatchesOracleAndRepeatsBitByBit) {
    for (const int32_t count : {1, 2, 3}) {
        const ThreadScope scope(count);
        for (const mezzo_dtype dtype : kFloatingDTypes) {
            // Divided by rows, by columns, and vectors.
            for (const LinearSizes &sizes : {LinearSizes{1003, 37, 81}, LinearSizes{40, 130, 200},
                                             LinearSizes{9000, 1, 70}, LinearSizes{9000, 70, 1}}) {
                SCOPED_TRACE(std::to_string(count) + " threads, " + text(backward_case(sizes, dtype)));
                expect_backward(backward_case(sizes, dtype));
                EXPECT_EQ(run_layer(sizes, dtype), run_layer(sizes, dtype));
            }
        }
    }
}

// The last member's part is then one column wide, which makes a vector of a matrix whose rows lie apart.
TEST(LinearOnCpu, Threads_OneRowOfAColumnMoreThanWholeVectors_MatchesOracle) {
    for (const int32_t count : {2, 3}) {
        const ThreadScope scope(count);
        for (const mezzo_dtype dtype : kFloatingDTypes) {
            for (const LinearSizes &sizes : {LinearSizes{1, 17, 20000}, LinearSizes{1, 33, 20000},
                                             LinearSizes{1, 20000, 17}, LinearSizes{1, 20000, 33}}) {
                SCOPED_TRACE(std::to_string(count) + " threads, " + text(backward_case(sizes, dtype)));
                expect_backward(backward_case(sizes, dtype));
            }
        }
    }
}

TEST(Linear, Threads_ConcurrentCalls_AnswerTheSame) {
    const LinearSizes sizes{300, 50, 60};
    const auto alone = run_layer(sizes, MEZZO_DTYPE_BF16);
    std::vector<std::vector<std::vector<uint8_t>>> results(4);
    std::vector<std::thread> callers;
    for (auto &result : results) {
        callers.emplace_back([&] {
            for (int repeat = 0; repeat < 5; ++repeat) result = run_layer(sizes, MEZZO_DTYPE_BF16);
        });
    }
    for (std::thread &caller : callers) caller.join();
    for (const auto &result : results) EXPECT_EQ(result, alone);
}

TEST(Linear, Memory_AfterACall_IsWhatItWasBefore) {
    const auto current = [] {
        mezzo_memory_stats stats{};
        EXPECT_OK(mezzo_memory_stats_get(&stats, test_device()));
        return stats.current_bytes;
    };
    const int64_t before = current();
    run_layer({300, 40, 50}, MEZZO_DTYPE_F16);
    EXPECT_EQ(current(), before);
}

TEST(LinearOnCpu, Memory_NotEnoughForScratch_FailsAndLeavesTheOutputs) {
    const std::vector<double> old(300 * 50, 7);
    const TestTensor out(MEZZO_DTYPE_F16, {300, 50}, old);
    const TestTensor input(MEZZO_DTYPE_F16, {300, 40}, random_rounded(300 * 40, 41, MEZZO_DTYPE_F16));
    const TestTensor weight(MEZZO_DTYPE_F16, {50, 40}, random_rounded(50 * 40, 42, MEZZO_DTYPE_F16));
    mezzo_memory_stats stats{};
    ASSERT_OK(mezzo_memory_stats_get(&stats, {}));
    ASSERT_OK(mezzo_memory_limit_set({}, stats.current_bytes + 64));
    EXPECT_EQ(mezzo_linear_forward(out, input, weight, {}, nullptr), MEZZO_STATUS_OUT_OF_MEMORY);
    EXPECT_NE(std::string(mezzo_last_error()).find("; the largest tensors are f16[300,50] x 1 (30000 bytes), "),
              std::string::npos)
        << mezzo_last_error();
    ASSERT_OK(mezzo_memory_limit_set({}, 0));
    EXPECT_EQ(out.values(), old);
}

} // namespace
} // namespace mezzo::testing
