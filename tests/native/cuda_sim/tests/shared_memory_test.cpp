// SPDX-License-Identifier: MIT
// Shared memory: fresh for each block, aligned as its type and no further, limited as the device's.
#include "simulator_test.h"

#include <cmath>

namespace mezzo::cuda_sim::testing {
namespace {

using SharedMemoryTest = SimulatorTest;

__global__ void look_at_shared(float *out) {
    MEZZO_SHARED(float[8], fixed);
    MEZZO_SHARED(float[8], other);
    MEZZO_DYNAMIC_SHARED(float, dynamic);
    for (int i = 0; i < 8; ++i) {
        float *own = out + 24 * blockIdx.x + 3 * i;
        own[0] = fixed[i];
        own[1] = other[i];
        own[2] = dynamic[i];
        fixed[i] = other[i] = dynamic[i] = 0;
    }
}

TEST_F(SharedMemoryTest, SharedMemoryHoldsNanAtTheBeginningOfEachBlock) {
    const DeviceArray<float> out(std::vector<float>(24 * 5, 0.0f));
    ASSERT_CUDA(run(look_at_shared, 5, 1, 8 * sizeof(float), out.data()));
    for (const float value : out.values()) ASSERT_TRUE(std::isnan(value));
}

struct SharedPlaces {
    uintptr_t bytes, floats, vectors, dynamic;
};

__global__ void find_shared(SharedPlaces *out) {
    MEZZO_SHARED(char[3], bytes);
    MEZZO_SHARED(float[2][3], floats);
    MEZZO_SHARED(uint4, vectors);
    MEZZO_DYNAMIC_SHARED(double, dynamic);
    *out = {reinterpret_cast<uintptr_t>(&bytes), reinterpret_cast<uintptr_t>(&floats),
            reinterpret_cast<uintptr_t>(&vectors), reinterpret_cast<uintptr_t>(dynamic)};
    static_assert(sizeof floats == 24);
}

TEST_F(SharedMemoryTest, SharedMemoryIsAlignedAsItsTypeAndNoFurther) {
    const DeviceArray<SharedPlaces> out(1);
    ASSERT_CUDA(run(find_shared, 1, 1, 256, out.data()));
    const SharedPlaces places = out.values()[0];
    EXPECT_EQ(places.bytes % 2, 1u);
    EXPECT_EQ(places.floats % 8, 4u);
    EXPECT_EQ(places.vectors % 32, 16u);
    EXPECT_EQ(places.dynamic % 128, 0u);
}

template <class T>
__global__ void count_in_shared(T *out) {
    MEZZO_SHARED(T[4], values); // one array for each instance of the template
    values[threadIdx.x] = static_cast<T>(threadIdx.x);
    __syncthreads();
    out[threadIdx.x] = values[3 - threadIdx.x];
}

TEST_F(SharedMemoryTest, AKernelTemplateHasSharedMemoryOfItsOwn) {
    const DeviceArray<int> ints(4);
    const DeviceArray<double> doubles(4);
    ASSERT_CUDA(run(count_in_shared<int>, 1, 4, 0, ints.data()));
    ASSERT_CUDA(run(count_in_shared<double>, 1, 4, 0, doubles.data()));
    EXPECT_EQ(ints.values(), (std::vector<int>{3, 2, 1, 0}));
    EXPECT_EQ(doubles.values(), (std::vector<double>{3, 2, 1, 0}));
}

__global__ void use_much_shared(char *out) {
    MEZZO_SHARED(char[40 * 1024], first);
    first[0] = 1;
    MEZZO_SHARED(char[10 * 1024], second);
    second[0] = 2;
    *out = static_cast<char>(first[0] + second[0]);
}

__global__ void use_some_shared(char *out) {
    MEZZO_SHARED(char[40 * 1024], values);
    values[0] = 1;
    *out = values[0];
}

TEST_F(SharedMemoryTest, SharedMemoryHasTheLimitsOfTheDevice) {
    configure({.arch = "7.5"});
    const DeviceArray<char> out(1);
    expect_fault("bytes of static and 0 of dynamic shared memory", use_much_shared, 1, 1, 0, out.data());
    EXPECT_CUDA(cudaSuccess, run(use_some_shared, 1, 1, 24 * 1024, out.data()));
    expect_fault("bytes of static and 24577 of dynamic shared memory", use_some_shared, 1, 1, 24 * 1024 + 1,
                 out.data());
}

#if defined(__SANITIZE_ADDRESS__)
__global__ void write_shared_at(int index) {
    MEZZO_SHARED(float[10], values);
    values[index] = 1;
}

__global__ void write_dynamic_at(int index) {
    MEZZO_DYNAMIC_SHARED(float, values);
    values[index] = 1;
}

TEST_F(SharedMemoryTest, AddressSanitizerSeesTheEndsOfSharedMemory) {
    // UndefinedBehaviorSanitizer may be quicker where the bound is in the type.
    EXPECT_DEATH(run(write_shared_at, 1, 1, 0, 10), "overflow|out of bounds");
    EXPECT_DEATH(run(write_shared_at, 1, 1, 0, -1), "use-after-poison|out of bounds");
    EXPECT_DEATH(run(write_dynamic_at, 1, 1, 40, 10), "heap-buffer-overflow");
    EXPECT_DEATH(run(write_dynamic_at, 1, 1, 40, -1), "heap-buffer-overflow");
    EXPECT_CUDA(cudaSuccess, run(write_dynamic_at, 1, 1, 40, 9));
}
#endif

} // namespace
} // namespace mezzo::cuda_sim::testing
