// SPDX-License-Identifier: MIT
// Shuffles, votes and reductions, against their definitions in the CUDA C++ Programming Guide.
#include "simulator_test.h"

#include <cmath>
#include <limits>

namespace mezzo::cuda_sim::testing {
namespace {

using WarpTest = SimulatorTest;

template <class T>
T value_of(int lane) {
    return static_cast<T>(1000 + 7 * lane);
}

template <class T>
__global__ void shuffle_all(T *out, int operand, int width) {
    const int lane = static_cast<int>(threadIdx.x);
    const T value = value_of<T>(lane);
    const auto delta = static_cast<unsigned>(operand);
    out[4 * lane] = __shfl_sync(kFullMask, value, operand, width);
    out[4 * lane + 1] = __shfl_up_sync(kFullMask, value, delta, width);
    out[4 * lane + 2] = __shfl_down_sync(kFullMask, value, delta, width);
    out[4 * lane + 3] = __shfl_xor_sync(kFullMask, value, operand, width);
}

template <class T>
void check_shuffles(const std::vector<T> &out, int operand, int width) {
    for (int lane = 0; lane < 32; ++lane) {
        const int first = lane / width * width;
        const int last = first + width - 1;
        const int up = lane - operand < first ? lane : lane - operand;
        const int down = lane + operand > last ? lane : lane + operand;
        const int other = (lane ^ operand) > last ? lane : lane ^ operand;
        const size_t base = static_cast<size_t>(4 * lane);
        ASSERT_EQ(out[base], value_of<T>(first + operand % width)) << "lane " << lane;
        ASSERT_EQ(out[base + 1], value_of<T>(up)) << "lane " << lane;
        ASSERT_EQ(out[base + 2], value_of<T>(down)) << "lane " << lane;
        ASSERT_EQ(out[base + 3], value_of<T>(other)) << "lane " << lane;
    }
}

template <class T>
class ShuffleTest : public SimulatorTest {};

using ShuffleTypes = ::testing::Types<int, unsigned, float, double, long long, unsigned long long>;
TYPED_TEST_SUITE(ShuffleTest, ShuffleTypes);

TYPED_TEST(ShuffleTest, ReadsTheNamedLaneOfItsSegment) {
    for (const int width : {1, 2, 4, 8, 16, 32}) {
        for (int operand = 0; operand < 32; operand += operand < 9 ? 1 : 7) {
            SCOPED_TRACE("width " + std::to_string(width) + ", operand " + std::to_string(operand));
            const DeviceArray<TypeParam> out(4 * 32);
            ASSERT_CUDA(this->run(shuffle_all<TypeParam>, 1, 32, 0, out, operand, width));
            check_shuffles(out.values(), operand, width);
        }
    }
}

/// Each half of the warp shuffles within its own mask, as often as its number says.
__global__ void shuffle_in_halves(int *out) {
    const int lane = static_cast<int>(threadIdx.x);
    const unsigned mask = lane < 16 ? 0x0000ffffu : 0xffff0000u;
    int value = lane;
    if (lane < 16) {
        for (int i = 0; i < 3; ++i) value = __shfl_xor_sync(mask, value, 1) + 1;
    } else {
        for (int i = 0; i < 8; ++i) value = __shfl_up_sync(mask, value, 1u, 16);
    }
    out[lane] = value;
}

TEST_F(WarpTest, PartsOfAWarpShuffleIndependently) {
    for_seeds(20, [this] {
        const DeviceArray<int> out(32);
        ASSERT_CUDA(run(shuffle_in_halves, 1, 32, 0, out));
        const std::vector<int> values = out.values();
        for (int lane = 0; lane < 16; ++lane) ASSERT_EQ(values[static_cast<size_t>(lane)], (lane ^ 1) + 3);
        for (int lane = 16; lane < 32; ++lane) ASSERT_EQ(values[static_cast<size_t>(lane)], std::max(lane - 8, 16));
    });
}

__global__ void read_a_lane_outside_of_the_mask(float *out) {
    if (threadIdx.x < 8) out[threadIdx.x] = __shfl_sync(0xffu, 1.0f, 20);
}

TEST_F(WarpTest, ALaneThatDoesNotTakePartReadsAsNan) {
    const DeviceArray<float> out(8);
    ASSERT_CUDA(run(read_a_lane_outside_of_the_mask, 1, 32, 0, out));
    for (const float value : out.values()) EXPECT_TRUE(std::isnan(value));
}

/// Sum over a block that ends within a warp: lanes that do not exist are not waited for.
__global__ void ballot_of_short_warp(unsigned *out) {
    out[threadIdx.x] = __ballot_sync(kFullMask, threadIdx.x % 3 == 0);
}

TEST_F(WarpTest, LanesBeyondTheBlockAreNotWaitedFor) {
    const DeviceArray<unsigned> out(40);
    ASSERT_CUDA(run(ballot_of_short_warp, 1, 40, 0, out));
    const std::vector<unsigned> values = out.values();
    unsigned first = 0;
    unsigned second = 0;
    for (unsigned i = 0; i < 32; ++i) first |= (i % 3 == 0 ? 1u : 0u) << i;
    for (unsigned i = 32; i < 40; ++i) second |= (i % 3 == 0 ? 1u : 0u) << (i - 32);
    for (size_t i = 0; i < 40; ++i) ASSERT_EQ(values[i], i < 32 ? first : second);
}

struct Votes {
    unsigned ballot;
    int any, all;
};

__global__ void vote_on_bits(Votes *out, unsigned bits, unsigned mask) {
    const unsigned lane = threadIdx.x;
    if ((mask >> lane & 1) == 0) return;
    const int predicate = (bits >> lane & 1) != 0 ? 8 : 0;
    Votes votes{};
    votes.ballot = __ballot_sync(mask, predicate);
    votes.any = __any_sync(mask, predicate);
    votes.all = __all_sync(mask, predicate);
    out[lane] = votes;
}

TEST_F(WarpTest, VotesCountTheLanesOfTheMask) {
    for (const unsigned mask : {0xffffffffu, 0x1u, 0x80000001u, 0x00ff0f00u}) {
        for (const unsigned bits : {0u, 0xffffffffu, 0x80000000u, 0x12345678u}) {
            const DeviceArray<Votes> out(32);
            ASSERT_CUDA(run(vote_on_bits, 1, 32, 0, out, bits, mask));
            const std::vector<Votes> votes = out.values();
            for (unsigned lane = 0; lane < 32; ++lane) {
                if ((mask >> lane & 1) == 0) continue;
                ASSERT_EQ(votes[lane].ballot, bits & mask);
                ASSERT_EQ(votes[lane].any != 0, (bits & mask) != 0);
                ASSERT_EQ(votes[lane].all != 0, (bits & mask) == mask);
            }
        }
    }
}

struct Reductions {
    unsigned add, min, max, bits_and, bits_or, bits_xor;
    int add_signed, min_signed, max_signed;
};

__device__ unsigned reduce_input(unsigned lane) {
    return lane * 2654435761u;
}

__global__ void reduce_all(Reductions *out, unsigned mask) {
    const unsigned lane = threadIdx.x;
    if ((mask >> lane & 1) == 0) return;
    const unsigned value = reduce_input(lane);
    const auto signed_value = static_cast<int>(value);
    Reductions result{};
    result.add = __reduce_add_sync(mask, value);
    result.min = __reduce_min_sync(mask, value);
    result.max = __reduce_max_sync(mask, value);
    result.bits_and = __reduce_and_sync(mask, value);
    result.bits_or = __reduce_or_sync(mask, value);
    result.bits_xor = __reduce_xor_sync(mask, value);
    result.add_signed = __reduce_add_sync(mask, signed_value);
    result.min_signed = __reduce_min_sync(mask, signed_value);
    result.max_signed = __reduce_max_sync(mask, signed_value);
    out[lane] = result;
}

TEST_F(WarpTest, ReductionsCombineTheLanesOfTheMask) {
    for (const unsigned mask : {0xffffffffu, 0x10u, 0xa5a5a5a5u}) {
        const DeviceArray<Reductions> out(32);
        ASSERT_CUDA(run(reduce_all, 1, 32, 0, out, mask));
        Reductions expected{0, ~0u, 0, ~0u, 0, 0, 0, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()};
        for (unsigned lane = 0; lane < 32; ++lane) {
            if ((mask >> lane & 1) == 0) continue;
            const unsigned value = reduce_input(lane);
            const auto signed_value = static_cast<int>(value);
            expected.add += value;
            expected.min = std::min(expected.min, value);
            expected.max = std::max(expected.max, value);
            expected.bits_and &= value;
            expected.bits_or |= value;
            expected.bits_xor ^= value;
            expected.min_signed = std::min(expected.min_signed, signed_value);
            expected.max_signed = std::max(expected.max_signed, signed_value);
        }
        expected.add_signed = static_cast<int>(expected.add);
        const std::vector<Reductions> results = out.values();
        for (unsigned lane = 0; lane < 32; ++lane) {
            if ((mask >> lane & 1) == 0) continue;
            const Reductions &got = results[lane];
            ASSERT_EQ(got.add, expected.add);
            ASSERT_EQ(got.min, expected.min);
            ASSERT_EQ(got.max, expected.max);
            ASSERT_EQ(got.bits_and, expected.bits_and);
            ASSERT_EQ(got.bits_or, expected.bits_or);
            ASSERT_EQ(got.bits_xor, expected.bits_xor);
            ASSERT_EQ(got.add_signed, expected.add_signed);
            ASSERT_EQ(got.min_signed, expected.min_signed);
            ASSERT_EQ(got.max_signed, expected.max_signed);
        }
    }
}

/// Lanes write, meet, and read what the next lane has written.
__global__ void exchange_in_warp(int *out) {
    MEZZO_SHARED(int[32], values);
    values[threadIdx.x] = static_cast<int>(threadIdx.x);
    __syncwarp();
    out[threadIdx.x] = values[(threadIdx.x + 1) % 32];
}

TEST_F(WarpTest, SyncwarpWaitsForItsLanes) {
    for_seeds(20, [this] {
        const DeviceArray<int> out(32);
        ASSERT_CUDA(run(exchange_in_warp, 1, 32, 0, out));
        const std::vector<int> values = out.values();
        for (int i = 0; i < 32; ++i) ASSERT_EQ(values[static_cast<size_t>(i)], (i + 1) % 32);
    });
}

__global__ void mix_collectives(int *out) {
    out[threadIdx.x] = threadIdx.x < 5 ? __shfl_sync(kFullMask, 1, 0) : static_cast<int>(__ballot_sync(kFullMask, 1));
}

__global__ void mix_masks(int *out) {
    out[threadIdx.x] = __shfl_sync(threadIdx.x < 5 ? kFullMask : 0x7fffffffu, 1, 0);
}

__global__ void leave_before_the_collective(int *out) {
    if (threadIdx.x == 9) return;
    out[threadIdx.x] = __shfl_sync(kFullMask, 1, 0);
}

__global__ void call_from_outside_of_the_mask(int *out) {
    out[threadIdx.x] = __shfl_sync(0xffff0000u, 1, 0);
}

__global__ void shuffle_with_odd_width(int *out) {
    out[threadIdx.x] = __shfl_sync(kFullMask, 1, 0, 12);
}

__global__ void hold_back_a_lane(int *out) {
    if (threadIdx.x == 3) __syncthreads();
    out[threadIdx.x] = __shfl_sync(kFullMask, 1, 0);
}

TEST_F(WarpTest, MisuseFailsTheLaunch) {
    const DeviceArray<int> out(32);
    for_seeds(10, [&] {
        expect_fault("lanes of one warp are in different collectives", mix_collectives, 1, 32, 0, out.data());
        expect_fault("lanes of one warp are in different collectives", mix_masks, 1, 31, 0, out.data());
        expect_fault("exit", leave_before_the_collective, 1, 32, 0, out.data());
        expect_fault("by a lane that its mask 0xffff0000 leaves out", call_from_outside_of_the_mask, 1, 32, 0,
                     out.data());
        expect_fault("width 12, expected a power of two", shuffle_with_odd_width, 1, 32, 0, out.data());
        expect_fault("lanes 3 wait in __syncthreads", hold_back_a_lane, 1, 32, 0, out.data());
        expect_fault("lanes 0-2, 4-31 wait in __shfl_sync(mask 0xffffffff) at ", hold_back_a_lane, 1, 32, 0,
                     out.data());
    });
}

TEST_F(WarpTest, ReductionsNeedTheirArchitecture) {
    configure({.arch = "7.5"});
    const DeviceArray<Reductions> out(32);
    expect_fault("needs compute capability 8.0, the device has 7.5", reduce_all, 1, 32, 0, out.data(), kFullMask);
}

} // namespace
} // namespace mezzo::cuda_sim::testing
