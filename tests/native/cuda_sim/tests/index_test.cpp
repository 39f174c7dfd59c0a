// SPDX-License-Identifier: MIT
// Which threads run, where, and in which order.
#include "simulator_test.h"

#include <set>

namespace mezzo::cuda_sim::testing {
namespace {

struct Place {
    uint3 thread, block;
    dim3 threads, blocks;
};

/// Each thread writes where it is, and counts that it has been here.
__global__ void write_place(Place *places, int *visits) {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const unsigned index = block * blockDim.x * blockDim.y * blockDim.z + thread;
    places[index] = {threadIdx, blockIdx, blockDim, gridDim};
    ++visits[index];
}

using IndexTest = SimulatorTest;

void check_places(const std::vector<Place> &places, const std::vector<int> &visits, dim3 grid, dim3 block) {
    size_t index = 0;
    for (unsigned bz = 0; bz < grid.z; ++bz) {
        for (unsigned by = 0; by < grid.y; ++by) {
            for (unsigned bx = 0; bx < grid.x; ++bx) {
                for (unsigned tz = 0; tz < block.z; ++tz) {
                    for (unsigned ty = 0; ty < block.y; ++ty) {
                        for (unsigned tx = 0; tx < block.x; ++tx) {
                            const Place &place = places[index];
                            ASSERT_EQ(visits[index], 1);
                            ASSERT_EQ(place.thread.x, tx);
                            ASSERT_EQ(place.thread.y, ty);
                            ASSERT_EQ(place.thread.z, tz);
                            ASSERT_EQ(place.block.x, bx);
                            ASSERT_EQ(place.block.y, by);
                            ASSERT_EQ(place.block.z, bz);
                            ASSERT_EQ(place.threads.x, block.x);
                            ASSERT_EQ(place.threads.y, block.y);
                            ASSERT_EQ(place.threads.z, block.z);
                            ASSERT_EQ(place.blocks.x, grid.x);
                            ASSERT_EQ(place.blocks.y, grid.y);
                            ASSERT_EQ(place.blocks.z, grid.z);
                            ++index;
                        }
                    }
                }
            }
        }
    }
    ASSERT_EQ(index, places.size());
}

TEST_F(IndexTest, EveryThreadOfEveryBlockRunsOnceAtItsPlace) {
    const std::pair<dim3, dim3> shapes[] = {
        {1, 1},    {7, 33}, {dim3(3, 2), dim3(5, 4)}, {dim3(2, 3, 4), dim3(3, 5, 7)}, {dim3(1, 1, 9), dim3(1, 2, 64)},
        {2, 1024},
    };
    for (const auto &[grid, block] : shapes) {
        for_seeds(3, [&grid = grid, &block = block, this] {
            const size_t count = size_t{grid.x} * grid.y * grid.z * block.x * block.y * block.z;
            const DeviceArray<Place> places(count);
            const DeviceArray<int> visits(std::vector<int>(count, 0));
            ASSERT_CUDA(run(write_place, grid, block, 0, places.data(), visits.data()));
            check_places(places.values(), visits.values(), grid, block);
        });
    }
}

__global__ void write_turn(int *turns, int *next) {
    turns[blockIdx.x * blockDim.x + threadIdx.x] = (*next)++;
}

TEST_F(IndexTest, TheOrderIsRandomAndFollowsFromTheSeed) {
    const auto order_of = [this](uint64_t seed) {
        set_seed(seed);
        const DeviceArray<int> turns(8 * 64);
        const DeviceArray<int> next(std::vector<int>{0});
        EXPECT_CUDA(cudaSuccess, run(write_turn, 8, 64, 0, turns.data(), next.data()));
        return turns.values();
    };
    std::set<std::vector<int>> orders;
    for (uint64_t seed = 0; seed < 20; ++seed) orders.insert(order_of(seed));
    EXPECT_EQ(orders.size(), 20u);
    EXPECT_EQ(order_of(5), order_of(5));
    // Every block of the grid, warp of a block and lane of a warp comes first under some seed.
    std::set<size_t> blocks, warps, lanes;
    for (uint64_t seed = 0; seed < 400; ++seed) {
        const std::vector<int> turns = order_of(seed);
        size_t first = 0;
        while (turns[first] != 0) ++first;
        blocks.insert(first / 64);
        warps.insert(first % 64 / 32);
        lanes.insert(first % 32);
    }
    EXPECT_EQ(blocks.size(), 8u);
    EXPECT_EQ(warps.size(), 2u);
    EXPECT_EQ(lanes.size(), 32u);
}

__global__ void do_nothing() {}

TEST_F(IndexTest, ALaunchOfAnIllegalShapeIsRefused) {
    const TestStream stream;
    const auto launch_shape = [&](dim3 grid, dim3 block, size_t shared_bytes = 0) {
        return launch_detail::start(do_nothing, grid, block, shared_bytes, stream);
    };
    EXPECT_CUDA(cudaErrorInvalidConfiguration, launch_shape(0, 32));
    EXPECT_CUDA(cudaErrorInvalidConfiguration, launch_shape(1, 0));
    EXPECT_CUDA(cudaErrorInvalidConfiguration, launch_shape(1, 1025));
    EXPECT_CUDA(cudaErrorInvalidConfiguration, launch_shape(1, dim3(33, 32)));
    EXPECT_CUDA(cudaErrorInvalidConfiguration, launch_shape(1, dim3(1, 1, 65)));
    EXPECT_CUDA(cudaErrorInvalidConfiguration, launch_shape(dim3(1, 65536), 32));
    EXPECT_CUDA(cudaErrorInvalidConfiguration, launch_shape(dim3(1, 1, 65536), 32));
    EXPECT_CUDA(cudaErrorInvalidConfiguration, cudaGetLastError());
    EXPECT_CUDA(cudaSuccess, cudaGetLastError());
    EXPECT_CUDA(cudaSuccess, launch_shape(dim3(1, 1, 2), dim3(16, 1, 64)));
    EXPECT_CUDA(cudaErrorInvalidValue, launch_shape(1, 32, 48 * 1024 + 1));
    EXPECT_THROW(launch(do_nothing, 0, 32, 0, stream), std::exception);
}

TEST_F(IndexTest, DynamicSharedMemoryAboveTheDefaultIsAllowedUpToTheDevicesLimit) {
    const TestStream stream;
    int limit = 0;
    ASSERT_CUDA(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    EXPECT_NO_THROW(launch(do_nothing, 1, 32, static_cast<size_t>(limit), stream));
    EXPECT_THROW(launch(do_nothing, 1, 32, static_cast<size_t>(limit) + 1, stream), std::exception);
    EXPECT_CUDA(cudaSuccess, stream.synchronize());
}

__global__ void use_arguments(double *out, char a, double b, int64_t c, const double *d) {
    *out = a + b + static_cast<double>(c) + *d;
}

TEST_F(IndexTest, ArgumentsAreConvertedAndCopiedWhenTheKernelIsLaunched) {
    for_seeds(10, [] {
        const TestStream stream;
        const DeviceArray<double> out(1);
        const DeviceArray<double> d(std::vector<double>{1000});
        int c = 100;
        launch(use_arguments, 1, 1, 0, stream, out, 'a', 0.5f, c, d);
        c = 7;
        EXPECT_EQ(out.values().at(0), 'a' + 0.5 + 100 + 1000);
    });
}

} // namespace
} // namespace mezzo::cuda_sim::testing
