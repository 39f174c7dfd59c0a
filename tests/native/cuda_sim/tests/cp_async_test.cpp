// SPDX-License-Identifier: MIT
// Copies that arrive between their issue and the wait that covers them.
#include "device/ptx.cuh"
#include "simulator_test.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace mezzo::cuda_sim::testing {
namespace {

using CpAsyncTest = SimulatorTest;

struct alignas(16) Buffer {
    float values[256];
};

/// Copies `bytes` for each thread, of which the first `valid` threads are in range.
template <int bytes>
__global__ void copy_tile(float *out, const float *in, unsigned valid) {
    MEZZO_SHARED(Buffer, buffer);
    constexpr unsigned kFloats = bytes / 4;
    const unsigned first = threadIdx.x * kFloats;
    const bool in_range = threadIdx.x < valid;
    // Out of range the pointer is never followed.
    ptx::cp_async<bytes>(buffer.values + first, in_range ? in + first : nullptr, in_range);
    ptx::cp_async_commit();
    ptx::cp_async_wait<0>();
    __syncthreads();
    const unsigned other = blockDim.x * kFloats - 1 - first;
    for (unsigned i = 0; i < kFloats; ++i) out[first + i] = buffer.values[other - i];
}

template <int bytes>
void check_copies() {
    constexpr size_t kThreads = 64;
    constexpr size_t kFloats = bytes / 4;
    std::vector<float> values(kThreads * kFloats);
    std::iota(values.begin(), values.end(), 1.0f);
    for (const unsigned valid : {0u, 1u, 50u, 64u}) {
        const DeviceArray<float> in(values);
        const DeviceArray<float> out(values.size());
        const TestStream stream;
        launch(copy_tile<bytes>, 1, kThreads, 0, stream, out.data(), in.data(), valid);
        const std::vector<float> results = out.values();
        for (size_t i = 0; i < values.size(); ++i) {
            const size_t source = values.size() - 1 - i;
            ASSERT_EQ(results[i], source < valid * kFloats ? values[source] : 0.0f);
        }
    }
}

TEST_F(CpAsyncTest, CopiesOfEachSizeArriveAndAreZeroOutOfRange) {
    for_seeds(10, [] {
        check_copies<4>();
        check_copies<8>();
        check_copies<16>();
    });
}

/// Commits four groups of one copy each and looks after each wait: arrived[wait][group].
__global__ void watch_groups(int *arrived, const float *in) {
    MEZZO_SHARED(Buffer, buffer);
    for (int group = 0; group < 4; ++group) buffer.values[group] = -1;
    for (int group = 0; group < 4; ++group) {
        ptx::cp_async<4>(buffer.values + group, in + group, true);
        ptx::cp_async_commit();
    }
    const auto look = [&](int wait) {
        for (int group = 0; group < 4; ++group) arrived[4 * wait + group] = buffer.values[group] == in[group];
    };
    look(0);
    ptx::cp_async_wait<3>();
    look(1);
    ptx::cp_async_wait<1>();
    look(2);
    ptx::cp_async_wait<0>();
    look(3);
}

TEST_F(CpAsyncTest, AWaitCoversAllButTheYoungestGroups) {
    const DeviceArray<float> in(std::vector<float>{1, 2, 3, 4});
    std::set<std::vector<int>> seen;
    for_seeds(60, [&] {
        const DeviceArray<int> arrived(16);
        ASSERT_CUDA(run(watch_groups, 1, 1, 0, arrived.data(), in.data()));
        const std::vector<int> all = arrived.values();
        EXPECT_EQ(all[4], 1) << "wait<3> covers the first group";
        for (size_t group = 0; group < 3; ++group) EXPECT_EQ(all[8 + group], 1) << "wait<1> covers three";
        for (size_t group = 0; group < 4; ++group) EXPECT_EQ(all[12 + group], 1);
        seen.insert({all.begin(), all.begin() + 4});
    });
    // What arrives before any wait is a matter of chance, and all of it and nothing of it happen.
    EXPECT_GE(seen.size(), 8u);
    EXPECT_TRUE(seen.contains({0, 0, 0, 0}));
}

__global__ void wait_without_commit(float *out, const float *in) {
    MEZZO_SHARED(Buffer, buffer);
    for (int i = 0; i < 64; ++i) ptx::cp_async<4>(buffer.values + i, in + i, true);
    ptx::cp_async_wait<0>();
    for (int i = 0; i < 64; ++i) out[i] = buffer.values[i];
}

TEST_F(CpAsyncTest, AWaitDoesNotCoverWhatIsNotCommitted) {
    const DeviceArray<float> in(std::vector<float>(64, 1));
    for_seeds(20, [&] {
        const DeviceArray<float> out(64);
        ASSERT_CUDA(run(wait_without_commit, 1, 1, 0, out.data(), in.data()));
        float sum = 0;
        for (const float value : out.values()) sum += value;
        EXPECT_TRUE(std::isnan(sum));
    });
}

/// Changes the source before the wait.
__global__ void change_the_source(float *out, float *in) {
    MEZZO_SHARED(Buffer, buffer);
    for (int i = 0; i < 64; ++i) ptx::cp_async<4>(buffer.values + i, in + i, true);
    ptx::cp_async_commit();
    for (int i = 0; i < 64; ++i) in[i] = 2;
    ptx::cp_async_wait<0>();
    for (int i = 0; i < 64; ++i) out[i] = buffer.values[i];
}

TEST_F(CpAsyncTest, TheSourceIsReadWhenTheCopyArrives) {
    for_seeds(20, [&] {
        const DeviceArray<float> in(std::vector<float>(64, 1));
        const DeviceArray<float> out(64);
        ASSERT_CUDA(run(change_the_source, 1, 1, 0, out.data(), in.data()));
        const std::vector<float> values = out.values();
        EXPECT_GT(std::count(values.begin(), values.end(), 1.0f), 0);
        EXPECT_GT(std::count(values.begin(), values.end(), 2.0f), 0);
    });
}

/// A ring of three stages, each filled while the ones before it are summed up.
__global__ void sum_through_ring(float *out, const float *in, int tiles) {
    constexpr int kStages = 3;
    MEZZO_DYNAMIC_SHARED(float, ring); // (kStages, 32)
    const auto lane = static_cast<int>(threadIdx.x);
    const auto fetch = [&](int tile) {
        ptx::cp_async<4>(ring + tile % kStages * 32 + lane, in + tile * 32 + lane, tile < tiles);
        ptx::cp_async_commit();
    };
    for (int tile = 0; tile < kStages - 1; ++tile) fetch(tile);
    float sum = 0;
    for (int tile = 0; tile < tiles; ++tile) {
        ptx::cp_async_wait<kStages - 2>();
        __syncthreads();
        fetch(tile + kStages - 1);
        sum += ring[tile % kStages * 32 + 31 - lane];
    }
    out[lane] = sum;
}

TEST_F(CpAsyncTest, ARingOfStagesWorks) {
    const int tiles = 11;
    std::vector<float> values(32 * tiles);
    std::iota(values.begin(), values.end(), 0.0f);
    const DeviceArray<float> in(values);
    for_seeds(20, [&] {
        const DeviceArray<float> out(32);
        ASSERT_CUDA(run(sum_through_ring, 1, 32, 3 * 32 * sizeof(float), out.data(), in.data(), tiles));
        const std::vector<float> sums = out.values();
        for (int lane = 0; lane < 32; ++lane) {
            float expected = 0;
            for (int tile = 0; tile < tiles; ++tile) expected += static_cast<float>(tile * 32 + 31 - lane);
            ASSERT_EQ(sums[static_cast<size_t>(lane)], expected);
        }
    });
}

__global__ void copy_with_offset(const float *in, int to_offset, int from_offset) {
    MEZZO_SHARED(Buffer, buffer);
    ptx::cp_async<16>(buffer.values + to_offset, in + from_offset, true);
}

__global__ void copy_to_global(float *memory) {
    ptx::cp_async<4>(memory, memory + 1, true);
}

TEST_F(CpAsyncTest, MisuseFailsTheLaunch) {
    const DeviceArray<float> memory(64);
    for_seeds(3, [&] {
        expect_fault("cp_async of 16 bytes that are not aligned", copy_with_offset, 1, 1, 0, memory.data(), 2, 0);
        expect_fault("cp_async of 16 bytes that are not aligned", copy_with_offset, 1, 1, 0, memory.data(), 0, 1);
        expect_fault("not the block's shared memory", copy_with_offset, 1, 1, 0, memory.data(), 256, 0);
        expect_fault("not the block's shared memory", copy_to_global, 1, 1, 0, memory.data());
    });
    configure({.arch = "7.5"});
    const DeviceArray<float> older(64);
    expect_fault("cp.async needs compute capability 8.0", copy_with_offset, 1, 1, 0, older.data(), 0, 0);
}

} // namespace
} // namespace mezzo::cuda_sim::testing
