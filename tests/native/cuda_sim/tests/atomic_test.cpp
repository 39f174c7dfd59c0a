// SPDX-License-Identifier: MIT
#include "simulator_test.h"

namespace mezzo::cuda_sim::testing {
namespace {

using AtomicTest = SimulatorTest;

struct Totals {
    int add_int, highest, lowest, all_bits, some_bits, odd_bits;
    unsigned add_unsigned;
    unsigned long long add_long;
    float add_float;
    double add_double;
};

__global__ void count_all(Totals *totals) {
    const auto index = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    atomicAdd(&totals->add_int, -1);
    atomicAdd(&totals->add_unsigned, 2u);
    atomicAdd(&totals->add_long, 1ull << 33);
    atomicAdd(&totals->add_float, 0.5f);
    atomicAdd(&totals->add_double, 0.25);
    atomicMax(&totals->highest, index);
    atomicMin(&totals->lowest, -index);
    atomicAnd(&totals->all_bits, ~(1 << index % 30));
    atomicOr(&totals->some_bits, 1 << index % 30);
    atomicXor(&totals->odd_bits, 1 << index % 31);
}

TEST_F(AtomicTest, ChangesOfAllThreadsAdd) {
    for_seeds(5, [this] {
        const DeviceArray<Totals> totals(std::vector<Totals>{{0, 0, 0, -1, 0, 0, 0, 0, 0, 0}});
        ASSERT_CUDA(run(count_all, 3, 100, 0, totals.data()));
        const Totals result = totals.values()[0];
        EXPECT_EQ(result.add_int, -300);
        EXPECT_EQ(result.add_unsigned, 600u);
        EXPECT_EQ(result.add_long, 300ull << 33);
        EXPECT_EQ(result.add_float, 150.0f);
        EXPECT_EQ(result.add_double, 75.0);
        EXPECT_EQ(result.highest, 299);
        EXPECT_EQ(result.lowest, -299);
        EXPECT_EQ(result.all_bits, -1 << 30);
        EXPECT_EQ(result.some_bits, (1 << 30) - 1);
        int odd = 0;
        for (int i = 0; i < 300; ++i) odd ^= 1 << i % 31;
        EXPECT_EQ(result.odd_bits, odd);
    });
}

/// The block that comes last adds up what the others have left.
__global__ void sum_in_last_block(float *total, float *partials, unsigned *arrived) {
    MEZZO_SHARED(bool, is_last);
    if (threadIdx.x == 0) {
        partials[blockIdx.x] = static_cast<float>(blockIdx.x);
        __threadfence();
        is_last = atomicAdd(arrived, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!is_last || threadIdx.x != 0) return;
    float sum = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += partials[i];
    *total = sum;
}

TEST_F(AtomicTest, TheLastBlockSeesAllOthers) {
    for_seeds(10, [this] {
        const DeviceArray<float> total(1);
        const DeviceArray<float> partials(20);
        const DeviceArray<unsigned> arrived(std::vector<unsigned>{0});
        ASSERT_CUDA(run(sum_in_last_block, 20, 32, 0, total.data(), partials.data(), arrived.data()));
        EXPECT_EQ(total.values()[0], 190.0f);
    });
}

/// Threads of a block that wait for each other by polling: each atomic operation lets others go on.
__global__ void take_turns_by_polling(int *order, int *next) {
    const auto thread = static_cast<int>(threadIdx.x);
    while (atomicCAS(next, thread, thread) != thread) {
    }
    order[thread] = *next;
    atomicExch(next, thread + 1);
}

TEST_F(AtomicTest, PollingThreadsMakeProgress) {
    for_seeds(5, [this] {
        const DeviceArray<int> order(40);
        const DeviceArray<int> next(std::vector<int>{0});
        ASSERT_CUDA(run(take_turns_by_polling, 1, 40, 0, order.data(), next.data()));
        EXPECT_EQ(next.values()[0], 40);
        const std::vector<int> values = order.values();
        for (int i = 0; i < 40; ++i) EXPECT_EQ(values[static_cast<size_t>(i)], i);
    });
}

__global__ void add_without_atomics(int *total) {
    const int old = *total;
    __threadfence();
    *total = old + 1;
}

TEST_F(AtomicTest, AReadAndAWriteAreNotOneStep) {
    int lost = 0;
    for_seeds(20, [&] {
        const DeviceArray<int> total(std::vector<int>{0});
        ASSERT_CUDA(run(add_without_atomics, 1, 256, 0, total.data()));
        lost += total.values()[0] != 256;
    });
    EXPECT_GE(lost, 18);
}

} // namespace
} // namespace mezzo::cuda_sim::testing
