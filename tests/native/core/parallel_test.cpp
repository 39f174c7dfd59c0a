// SPDX-License-Identifier: MIT
#include "core/parallel.h"

#include "core/convert.h"
#include "support/oracle.h"
#include "support/thread_counts.h"

#include <omp.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace mezzo::testing {
namespace {

using Parts = std::vector<std::pair<int64_t, int64_t>>;

/// What parallel_for() cuts [0, n) into, in order.
Parts parts_of(int64_t n, int64_t grain) {
    Parts parts;
    std::mutex mutex;
    parallel_for(n, grain, [&](int64_t begin, int64_t end) {
        const std::lock_guard<std::mutex> lock(mutex);
        parts.emplace_back(begin, end);
    });
    std::sort(parts.begin(), parts.end());
    return parts;
}

TEST(Threads, Set_IsWhatGetAnswers) {
    const ThreadScope three(3);
    int32_t threads = 0;
    ASSERT_OK(mezzo_threads_get(&threads));
    EXPECT_EQ(threads, 3);
}

TEST(Threads, OutOfRange_IsTurnedDown) {
    const int before = thread_count();
    EXPECT_FAILS(mezzo_threads_set(0), INVALID_ARGUMENT, "threads_set: threads is 0, expected 1 to 1024");
    EXPECT_FAILS(mezzo_threads_set(1025), INVALID_ARGUMENT, "threads_set: threads is 1025, expected 1 to 1024");
    EXPECT_FAILS(mezzo_threads_get(nullptr), INVALID_ARGUMENT, "threads_get: out_threads is a null pointer");
    EXPECT_EQ(thread_count(), before);
}

// The variable is read at the first use, so it takes a process of its own.
class ThreadsDeathTest : public ::testing::TestWithParam<const char *> {
  protected:
    void SetUp() override {
        GTEST_FLAG_SET(death_test_style, "threadsafe");
        setenv("MEZZO_NUM_THREADS", GetParam(), 1);
    }
    void TearDown() override { unsetenv("MEZZO_NUM_THREADS"); }
};

[[noreturn]] void exit_with_threads() {
    int32_t threads = 0;
    static_cast<void>(mezzo_threads_get(&threads));
    std::exit(threads);
}

using GoodThreadsDeathTest = ThreadsDeathTest;
INSTANTIATE_TEST_SUITE_P(Threads, GoodThreadsDeathTest, ::testing::Values("5", " 5", "+5"));
TEST_P(GoodThreadsDeathTest, Environment_SetsTheNumber) {
    EXPECT_EXIT(exit_with_threads(), ::testing::ExitedWithCode(5), "");
}

using BadThreadsDeathTest = ThreadsDeathTest;
INSTANTIATE_TEST_SUITE_P(Threads, BadThreadsDeathTest,
                         ::testing::Values("0", "-1", "1025", "three", "2x", "99999999999999999999"));
TEST_P(BadThreadsDeathTest, Environment_IsReportedAndIgnored) {
    const int processors = omp_get_num_procs();
    const std::string expected = std::string("mezzo: MEZZO_NUM_THREADS is \"") + GetParam() +
                                 "\", expected 1 to 1024; using " + std::to_string(processors) + " threads";
    EXPECT_EXIT(exit_with_threads(), ::testing::ExitedWithCode(processors), expected);
}

TEST(ParallelFor, CoversEveryIndexOnceInPartsThatBeginAtMultiplesOfTheGrain) {
    for (const int threads : {1, 2, 3, 7}) {
        const ThreadScope set(threads);
        for (const int64_t grain : {1, 4, 100}) {
            for (const int64_t n : {1, 2, 99, 100, 101, 1000}) {
                int64_t next = 0;
                for (const auto &[begin, end] : parts_of(n, grain)) {
                    EXPECT_EQ(begin, next);
                    EXPECT_EQ(begin % grain, 0);
                    EXPECT_LT(begin, end);
                    next = end;
                }
                EXPECT_EQ(next, n);
                EXPECT_LE(parts_of(n, grain).size(), static_cast<size_t>(threads));
            }
        }
    }
}

TEST(ParallelFor, OfNothing_CallsNothing) {
    EXPECT_TRUE(parts_of(0, 16).empty());
}

TEST(ParallelFor, RunsOnAsManyThreadsAsAskedFor) {
    const ThreadScope three(3);
    std::atomic<int> team{0};
    parallel_for(3, 1, [&](int64_t, int64_t) { team = omp_get_num_threads(); });
    EXPECT_EQ(team, 3);
}

TEST(ParallelFor, InsideAParallelRegion_RunsTheSamePartsOnTheCallingThread) {
    const ThreadScope four(4);
    const Parts alone = parts_of(1000, 10);
    EXPECT_EQ(alone.size(), 4u);
#pragma omp parallel num_threads(2)
    {
        const int self = omp_get_thread_num();
        Parts parts;
        parallel_for(1000, 10, [&](int64_t begin, int64_t end) {
            EXPECT_EQ(omp_get_level(), 1);
            EXPECT_EQ(omp_get_thread_num(), self);
            parts.emplace_back(begin, end);
        });
        EXPECT_EQ(parts, alone);
    }
}

TEST(ParallelFor, Nested_RunsOnTheThreadOfTheOuterLoop) {
    const ThreadScope two(2);
    std::atomic<int64_t> sum{0};
    parallel_for(2, 1, [&](int64_t begin, int64_t end) {
        parallel_for(100, 1,
                     [&](int64_t inner_begin, int64_t inner_end) { sum += (end - begin) * (inner_end - inner_begin); });
    });
    EXPECT_EQ(sum, 200);
}

TEST(ParallelFor, FromSeveralThreadsAtOnce_StartsNoSecondTeam) {
    const ThreadScope two(2);
    std::atomic<int> running{0};
    std::atomic<int> most{0};
    const auto caller = [&] {
        for (int i = 0; i < 200; ++i) {
            parallel_for(2, 1, [&](int64_t, int64_t) {
                const int now = ++running;
                int seen = most;
                while (now > seen && !most.compare_exchange_weak(seen, now)) {
                }
                --running;
            });
        }
    };
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i) callers.emplace_back(caller);
    for (std::thread &thread : callers) thread.join();
    EXPECT_LE(most, 4 + 1) << "one more than the callers: one of them has a team of two";
}

TEST(ParallelFor, EveryInstance_ComputesTheSameBits) {
    const std::vector<double> source = random_values(1003, 5, -3, 3);
    std::vector<float> input(source.begin(), source.end());
    const auto compute = [&](CpuLevel level) {
        std::vector<float> out(input.size());
        std::vector<Half> halves(input.size());
        const auto loop = [in = input.data(), out = out.data(), halves = halves.data()](int64_t begin, int64_t end)
                              MEZZO_ALWAYS_INLINE {
                                  for (int64_t i = begin; i < end; ++i) {
                                      out[i] = std::sqrt(in[i] * in[i] + 0.5f) / (in[i] + 7);
                                      halves[i] = convert<Half>(out[i]);
                                  }
                              };
        using Loop = std::remove_const_t<decltype(loop)>;
        parallel_detail::instance<Loop>(level)(&loop, 0, static_cast<int64_t>(input.size()));
        std::vector<uint32_t> bits;
        for (size_t i = 0; i < out.size(); ++i) {
            bits.push_back(std::bit_cast<uint32_t>(out[i]));
            bits.push_back(halves[i].bits);
        }
        return bits;
    };
    const std::vector<uint32_t> baseline = compute(CpuLevel::kBaseline);
    for (const CpuLevel level : {CpuLevel::kV3, CpuLevel::kV4}) {
        if (level > cpu_level()) continue;
        EXPECT_EQ(compute(level), baseline);
    }
}

} // namespace
} // namespace mezzo::testing
