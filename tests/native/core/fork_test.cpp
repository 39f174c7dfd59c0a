// SPDX-License-Identifier: MIT
// Children of fork(): they have the calling thread alone, and whatever the others held stays as it was.
#include "core/parallel.h"

#include "support/tensor.h"
#include "support/thread_counts.h"

#include <mezzo/ops.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

namespace mezzo::testing {
namespace {

/// Runs `work` in a child and answers whether it returned true, in time.
template <class Work>
::testing::AssertionResult succeeds_in_child(const Work &work) {
    const pid_t child = fork();
    if (child < 0) return ::testing::AssertionFailure() << "fork failed";
    if (child == 0) _exit(work() ? 0 : 1);
    using Clock = std::chrono::steady_clock;
    const Clock::time_point deadline = Clock::now() + std::chrono::seconds(20);
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (Clock::now() > deadline) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return ::testing::AssertionFailure() << "the child hung";
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "the child ended with status " << status;
}

/// The bytes of a sum of two tensors large enough for a team, and of a linear layer of them.
std::vector<uint8_t> compute() {
    constexpr int64_t kRows = 2000, kFeatures = 50;
    const TestTensor input(MEZZO_DTYPE_F32, {kRows, kFeatures}), weight(MEZZO_DTYPE_F32, {kFeatures, kFeatures});
    const TestTensor out(MEZZO_DTYPE_F32, {kRows, kFeatures});
    EXPECT_OK(mezzo_random_uniform(input, -1, 1, nullptr));
    EXPECT_OK(mezzo_random_uniform(weight, -1, 1, nullptr));
    EXPECT_OK(mezzo_linear_forward(out, input, weight, {}, nullptr));
    EXPECT_OK(mezzo_add_forward(out, out, input));
    return out.bytes();
}

TEST(ForkOnCpu, AfterATeam_TheChildComputesTheSame) {
    const ThreadScope scope(3);
    const std::vector<uint8_t> expected = compute();
    EXPECT_TRUE(succeeds_in_child([&] { return compute() == expected; }));
    EXPECT_EQ(compute(), expected) << "the parent keeps its team";
}

TEST(ForkOnCpu, OfAChild_ComputesTheSame) {
    const ThreadScope scope(2);
    const std::vector<uint8_t> expected = compute();
    EXPECT_TRUE(succeeds_in_child([&] {
        return static_cast<bool>(succeeds_in_child([&] { return compute() == expected; })) && compute() == expected;
    }));
}

// Not under AddressSanitizer: its allocator has locks of its own, which it holds over a fork only from LLVM 18 on
// (llvm-project pull request 75290), and not in GCC 12.
#if !defined(__SANITIZE_ADDRESS__)
TEST(ForkOnCpu, WhileOtherThreadsCompute_LeavesNoLockBehind) {
    const ThreadScope scope(2);
    const std::vector<uint8_t> expected = compute();
    std::atomic<bool> stop{false};
    std::vector<std::thread> others;
    for (int i = 0; i < 2; ++i) {
        others.emplace_back([&] {
            while (!stop) {
                const TestTensor tensor(MEZZO_DTYPE_F32, {16});
                parallel_for(2, 1, [](int64_t, int64_t) {});
            }
        });
    }
    bool succeeded = true;
    for (int repeat = 0; repeat < 200 && succeeded; ++repeat) {
        succeeded = succeeds_in_child([&] { return compute() == expected; });
    }
    stop = true;
    for (std::thread &other : others) other.join();
    EXPECT_TRUE(succeeded);
}
#endif

} // namespace
} // namespace mezzo::testing
