// SPDX-License-Identifier: MIT
#include "device/ptx.cuh"
#include "simulator_test.h"

namespace mezzo::cuda_sim::testing {
namespace {

using BarrierTest = SimulatorTest;

/// A rotation by one thread in each phase: a barrier that leaks or lags mixes phases up.
__global__ void rotate(int *out, int phases) {
    MEZZO_SHARED(int[1024], values);
    const unsigned thread = threadIdx.x;
    values[thread] = static_cast<int>(thread);
    for (int phase = 0; phase < phases; ++phase) {
        __syncthreads();
        const int neighbour = values[(thread + 1) % blockDim.x];
        __syncthreads();
        values[thread] = neighbour;
    }
    out[thread] = values[thread];
}

TEST_F(BarrierTest, PhasesDoNotMix) {
    for (const unsigned threads : {1u, 31u, 32u, 100u, 1024u}) {
        for_seeds(3, [&] {
            const DeviceArray<int> out(threads);
            ASSERT_CUDA(run(rotate, 1, threads, 0, out, 7));
            const std::vector<int> values = out.values();
            for (unsigned i = 0; i < threads; ++i) ASSERT_EQ(values[i], static_cast<int>((i + 7) % threads));
        });
    }
}

/// Thread i leaves after i phases; the rest go on counting each other.
__global__ void leave_one_by_one(int *counts) {
    for (unsigned phase = 0; phase < threadIdx.x; ++phase) {
        const int count = __syncthreads_count(1);
        if (threadIdx.x == blockDim.x - 1) counts[phase] = count;
    }
}

TEST_F(BarrierTest, ThreadsThatHaveExitedAreNotWaitedFor) {
    for_seeds(5, [this] {
        const unsigned threads = 70;
        const DeviceArray<int> counts(threads - 1);
        ASSERT_CUDA(run(leave_one_by_one, 1, threads, 0, counts));
        const std::vector<int> values = counts.values();
        // In phase p the threads p + 1 and later take part, and nobody else: earlier ones have left.
        for (unsigned phase = 0; phase < threads - 1; ++phase) {
            ASSERT_EQ(values[phase], static_cast<int>(threads - 1 - phase));
        }
    });
}

__global__ void vote_in_block(int *results, unsigned trues) {
    const bool holds = threadIdx.x < trues;
    int *own = results + 3 * threadIdx.x;
    own[0] = __syncthreads_or(holds ? 4 : 0);
    own[1] = __syncthreads_and(holds ? -1 : 0);
    own[2] = __syncthreads_count(holds ? 2 : 0);
}

TEST_F(BarrierTest, VotesCombineThePredicatesOfAllThreads) {
    for (const unsigned trues : {0u, 1u, 77u, 96u}) {
        for_seeds(3, [&] {
            const unsigned threads = 96;
            const DeviceArray<int> results(3 * threads);
            ASSERT_CUDA(run(vote_in_block, 1, threads, 0, results, trues));
            const std::vector<int> values = results.values();
            for (unsigned i = 0; i < threads; ++i) {
                ASSERT_EQ(values[3 * i] != 0, trues != 0);
                ASSERT_EQ(values[3 * i + 1] != 0, trues == threads);
                ASSERT_EQ(values[3 * i + 2], static_cast<int>(trues));
            }
        });
    }
}

/// Warp 0 produces tiles, warp 1 consumes them, through two barriers of 64 threads: one says full, one says empty.
__global__ void hand_over(int *out, int tiles) {
    MEZZO_SHARED(int[32], tile);
    constexpr int kFull = 1;
    constexpr int kEmpty = 2;
    const unsigned lane = threadIdx.x % 32;
    if (threadIdx.x < 32) {
        for (int i = 0; i < tiles; ++i) {
            if (i != 0) ptx::barrier_sync(kEmpty, 64);
            tile[lane] = 100 * i + static_cast<int>(lane);
            ptx::barrier_arrive(kFull, 64);
        }
    } else {
        for (int i = 0; i < tiles; ++i) {
            ptx::barrier_sync(kFull, 64);
            out[32 * i + static_cast<int>(lane)] = tile[31 - lane];
            if (i + 1 != tiles) ptx::barrier_arrive(kEmpty, 64);
        }
    }
}

TEST_F(BarrierTest, NamedBarriersLetWarpsHandTilesOver) {
    for_seeds(10, [this] {
        const int tiles = 5;
        const DeviceArray<int> out(32 * tiles);
        ASSERT_CUDA(run(hand_over, 1, 64, 0, out, tiles));
        const std::vector<int> values = out.values();
        for (int i = 0; i < 32 * tiles; ++i) {
            ASSERT_EQ(values[static_cast<size_t>(i)], 100 * (i / 32) + 31 - i % 32);
        }
    });
}

/// Two halves of the block synchronise on their own.
__global__ void halves(int *out) {
    MEZZO_SHARED(int[128], values);
    const int half = static_cast<int>(threadIdx.x / 64);
    values[threadIdx.x] = static_cast<int>(threadIdx.x);
    ptx::barrier_sync(1 + half, 64);
    out[threadIdx.x] = values[threadIdx.x ^ 63];
    if (half == 0) return;
    ptx::barrier_sync(2, 64);
}

TEST_F(BarrierTest, NamedBarriersAreIndependent) {
    for_seeds(10, [this] {
        const DeviceArray<int> out(128);
        ASSERT_CUDA(run(halves, 1, 128, 0, out));
        const std::vector<int> values = out.values();
        for (int i = 0; i < 128; ++i) ASSERT_EQ(values[static_cast<size_t>(i)], i ^ 63);
    });
}

__global__ void wait_for_too_many() {
    ptx::barrier_sync(3, 64);
}

__global__ void split_a_warp(int) {
    if (threadIdx.x < 16) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}

__global__ void disagree_on_the_count() {
    ptx::barrier_sync(1, threadIdx.x < 32 ? 64 : 128);
}

__global__ void name_no_barrier(int id, int threads) {
    ptx::barrier_sync(id, threads);
}

__global__ void arrive_twice() {
    ptx::barrier_arrive(1, 64);
    ptx::barrier_arrive(1, 64);
}

__global__ void come_in_parts() {
    if (threadIdx.x % 2 == 0) ptx::barrier_sync(1, 32);
    __syncthreads();
}

/// A block of a warp and a half, of which some lanes have left: the hardware counts two warps.
__global__ void meet_in_short_warps(int *out) {
    if (threadIdx.x % 4 == 1) return;
    ptx::barrier_sync(5, 64);
    out[threadIdx.x] = 1;
}

TEST_F(BarrierTest, NamedBarriersCountWarps) {
    for_seeds(10, [this] {
        const DeviceArray<int> out(std::vector<int>(48, 0));
        ASSERT_CUDA(run(meet_in_short_warps, 1, 48, 0, out));
        const std::vector<int> values = out.values();
        for (size_t i = 0; i < 48; ++i) ASSERT_EQ(values[i], i % 4 != 1);
    });
}

TEST_F(BarrierTest, MisuseFailsTheLaunch) {
    for_seeds(5, [this] {
        expect_fault("deadlock", wait_for_too_many, 1, 32, 0);
        expect_fault("lanes 0-31 wait in barrier_sync (barrier 3, 32 of 64 threads) at", wait_for_too_many, 1, 32, 0);
        expect_fault("of the warp waits in another __syncthreads", split_a_warp, 1, 32, 0, 0);
        expect_fault("another count or kind", disagree_on_the_count, 1, 128, 0);
        expect_fault("by a thread that has arrived already", arrive_twice, 1, 32, 0);
        expect_fault("deadlock", come_in_parts, 1, 64, 0);
        expect_fault("expected 0 to 15", name_no_barrier, 1, 32, 0, 16, 32);
        expect_fault("expected a multiple of 32", name_no_barrier, 1, 32, 0, 1, 33);
    });
}

} // namespace
} // namespace mezzo::cuda_sim::testing
