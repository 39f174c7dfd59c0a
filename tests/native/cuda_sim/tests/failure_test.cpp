// SPDX-License-Identifier: MIT
// What happens when a kernel fails, an error is injected, or there is no device to speak of.
#include "simulator_test.h"

#include <exception>
#include <stdexcept>

namespace mezzo::cuda_sim::testing {
namespace {

using FailureTest = SimulatorTest;

__global__ void set_value(int *out, int value) {
    *out = value;
}

__global__ void trap_in_one_thread() {
    if (blockIdx.x == 2 && threadIdx.x == 5) __trap();
}

__global__ void throw_from_kernel(bool standard) {
    if (standard) throw std::runtime_error("no such thing");
    throw 7;
}

__global__ void wait_for_each_other() {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        while (true) __syncwarp(threadIdx.x % 2 == 0 ? 0x55555555u : kFullMask);
    }
}

TEST_F(FailureTest, AReportNamesTheKernelTheBlockAndTheThread) {
    expect_fault("__trap()", trap_in_one_thread, 3, 32, 0);
    expect_fault("trap_in_one_thread", trap_in_one_thread, 3, 32, 0);
    expect_fault("block (2, 0, 0) of (3, 1, 1), thread (5, 0, 0) of (32, 1, 1)", trap_in_one_thread, 3, 32, 0);
    expect_fault("failure_test.cpp:", trap_in_one_thread, 3, 32, 0);
}

TEST_F(FailureTest, AnExceptionFailsTheLaunch) {
    expect_fault("the kernel threw \"no such thing\"", throw_from_kernel, 1, 64, 0, true);
    expect_fault("the kernel threw an exception", throw_from_kernel, 1, 64, 0, false);
}

TEST_F(FailureTest, AnExceptionOfAKernelIsOverForTheHost) {
    expect_fault("the kernel threw", throw_from_kernel, 1, 64, 0, true);
    EXPECT_EQ(std::current_exception(), nullptr);
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_THROW(throw std::runtime_error("of the host"), std::runtime_error);
}

__global__ void poll_for_ever(int *flag) {
    while (atomicAdd(flag, 0) == 0) {
    }
}

TEST_F(FailureTest, ABlockThatWaitsForALaterOneIsFound) {
    const DeviceArray<int> flag(std::vector<int>{0});
    expect_fault("does it poll for ever?", poll_for_ever, 2, 1, 0, flag.data());
}

#if defined(__SANITIZE_ADDRESS__)
TEST_F(FailureTest, ASanitizersReportNamesTheKernel) {
    const DeviceArray<int> device(1);
    EXPECT_DEATH(run(set_value, 1, 1, 0, device.data() + 1, 1), "cuda_sim: that was in kernel .*set_value.*SEED=");
}
#endif

TEST_F(FailureTest, WarpsThatWaitForEachOtherAreFound) {
    for_seeds(10, [this] { expect_fault("different collectives", wait_for_each_other, 1, 64, 0); });
}

TEST_F(FailureTest, AFaultSticks) {
    for_seeds(10, [] {
        const DeviceArray<int> device(std::vector<int>{0});
        const TestStream stream;
        const TestStream other;
        ::testing::internal::CaptureStderr();
        launch_detail::start(trap_in_one_thread, 3, 32, 0, stream);
        EXPECT_CUDA(cudaErrorLaunchFailure, cudaStreamSynchronize(stream));
        ::testing::internal::GetCapturedStderr();
        void *pointer = nullptr;
        int host = 0;
        EXPECT_CUDA(cudaErrorLaunchFailure, cudaDeviceSynchronize());
        EXPECT_CUDA(cudaErrorLaunchFailure, cudaMalloc(&pointer, 4));
        EXPECT_CUDA(cudaErrorLaunchFailure, cudaMemcpy(&host, device, 4, cudaMemcpyDeviceToHost));
        EXPECT_CUDA(cudaErrorLaunchFailure, launch_detail::start(set_value, 1, 1, 0, other, device.data(), 1));
        EXPECT_CUDA(cudaErrorLaunchFailure, cudaStreamQuery(other));
        EXPECT_CUDA(cudaErrorLaunchFailure, cudaGetLastError());
        EXPECT_CUDA(cudaErrorLaunchFailure, cudaGetLastError());
        reset();
        EXPECT_CUDA(cudaSuccess, cudaGetLastError());
        launch(set_value, 1, 1, 0, other, device.data(), 1);
        EXPECT_EQ(device.values()[0], 1);
    });
}

TEST_F(FailureTest, WorkAfterAFaultIsDropped) {
    for_seeds(10, [] {
        const DeviceArray<int> device(std::vector<int>{0});
        const TestStream stream;
        ::testing::internal::CaptureStderr();
        launch_detail::start(trap_in_one_thread, 3, 32, 0, stream);
        launch_detail::start(set_value, 1, 1, 0, stream, device.data(), 1);
        EXPECT_CUDA(cudaErrorLaunchFailure, stream.synchronize());
        ::testing::internal::GetCapturedStderr();
        reset();
        EXPECT_EQ(device.values()[0], 0);
    });
}

TEST_F(FailureTest, AnInjectedErrorStrikesOnce) {
    const DeviceArray<int> device(std::vector<int>{0});
    const TestStream stream;
    inject(cudaErrorLaunchOutOfResources, Call::kLaunch);
    EXPECT_CUDA(cudaErrorLaunchOutOfResources, launch_detail::start(set_value, 1, 1, 0, stream, device.data(), 1));
    EXPECT_CUDA(cudaSuccess, launch_detail::start(set_value, 1, 1, 0, stream, device.data(), 2));
    EXPECT_EQ(device.values()[0], 2);
    void *pointer = nullptr;
    inject(cudaErrorMemoryAllocation, Call::kAllocation);
    EXPECT_CUDA(cudaErrorMemoryAllocation, cudaMallocAsync(&pointer, 4, stream));
    EXPECT_CUDA(cudaSuccess, cudaMallocAsync(&pointer, 4, stream));
    EXPECT_CUDA(cudaSuccess, cudaFreeAsync(pointer, stream));
    inject(cudaErrorUnknown, Call::kSynchronization);
    EXPECT_CUDA(cudaErrorUnknown, stream.synchronize());
    EXPECT_CUDA(cudaSuccess, stream.synchronize());
}

TEST_F(FailureTest, AnInjectedFaultSticks) {
    const TestStream stream;
    inject(cudaErrorIllegalAddress, Call::kSynchronization);
    EXPECT_CUDA(cudaErrorIllegalAddress, stream.synchronize());
    EXPECT_CUDA(cudaErrorIllegalAddress, stream.synchronize());
    void *pointer = nullptr;
    EXPECT_CUDA(cudaErrorIllegalAddress, cudaMalloc(&pointer, 4));
    reset();
    EXPECT_CUDA(cudaSuccess, stream.synchronize());
}

TEST_F(FailureTest, ErrorsAreKeptUntilTheyAreAskedFor) {
    void *pointer = nullptr;
    EXPECT_CUDA(cudaSuccess, cudaGetLastError());
    EXPECT_CUDA(cudaErrorInvalidDevice, cudaSetDevice(5));
    EXPECT_CUDA(cudaSuccess, cudaMalloc(&pointer, 4));
    EXPECT_CUDA(cudaSuccess, cudaFree(pointer));
    EXPECT_CUDA(cudaErrorInvalidDevice, cudaPeekAtLastError());
    EXPECT_CUDA(cudaErrorInvalidDevice, cudaGetLastError());
    EXPECT_CUDA(cudaSuccess, cudaGetLastError());
    EXPECT_STREQ(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
    EXPECT_STREQ(cudaGetErrorName(static_cast<cudaError_t>(1000)), "unrecognized error code");
}

// Machines

TEST_F(FailureTest, WithoutADriverThereAreNoDevices) {
    int number = -1;
    void *pointer = nullptr;
    configure({.driver = 0});
    EXPECT_CUDA(cudaErrorInsufficientDriver, cudaGetDeviceCount(&number));
    EXPECT_EQ(number, 0);
    EXPECT_CUDA(cudaSuccess, cudaDriverGetVersion(&number));
    EXPECT_EQ(number, 0);
    EXPECT_CUDA(cudaErrorInsufficientDriver, cudaMalloc(&pointer, 4));
    EXPECT_CUDA(cudaErrorInsufficientDriver, cudaSetDevice(0));
    EXPECT_CUDA(cudaErrorInsufficientDriver, cudaGetLastError());
    configure({.driver = 11080});
    EXPECT_CUDA(cudaErrorInsufficientDriver, cudaGetDeviceCount(&number));
    configure({.devices = 0});
    EXPECT_CUDA(cudaErrorNoDevice, cudaGetDeviceCount(&number));
    EXPECT_CUDA(cudaErrorNoDevice, cudaDeviceSynchronize());
}

TEST_F(FailureTest, PropertiesFollowTheArchitecture) {
    struct Expected {
        const char *arch;
        size_t shared_per_block_optin, shared_per_processor;
        int threads_per_processor;
    };
    // CUDA C++ Programming Guide, "Technical Specifications per Compute Capability": KB of each.
    const Expected expected[] = {
        {"7.5", 64, 64, 1024},  {"8.0", 163, 164, 2048}, {"8.6", 99, 100, 1536},
        {"8.9", 99, 100, 1536}, {"9.0", 227, 228, 2048},
    };
    for (const Expected &row : expected) {
        configure({.arch = row.arch, .memory = size_t{64} << 20});
        cudaDeviceProp properties{};
        ASSERT_CUDA(cudaGetDeviceProperties(&properties, 0));
        EXPECT_EQ(std::to_string(properties.major) + "." + std::to_string(properties.minor), row.arch);
        EXPECT_EQ(properties.sharedMemPerBlock, 48u * 1024);
        EXPECT_EQ(properties.sharedMemPerBlockOptin, row.shared_per_block_optin * 1024);
        EXPECT_EQ(properties.sharedMemPerMultiprocessor, row.shared_per_processor * 1024);
        EXPECT_EQ(properties.maxThreadsPerMultiProcessor, row.threads_per_processor);
        EXPECT_EQ(properties.totalGlobalMem, size_t{64} << 20);
        EXPECT_EQ(properties.warpSize, 32);
        const std::pair<cudaDeviceAttr, int> attributes[] = {
            {cudaDevAttrComputeCapabilityMajor, properties.major},
            {cudaDevAttrComputeCapabilityMinor, properties.minor},
            {cudaDevAttrMultiProcessorCount, properties.multiProcessorCount},
            {cudaDevAttrMaxSharedMemoryPerBlockOptin, static_cast<int>(properties.sharedMemPerBlockOptin)},
            {cudaDevAttrL2CacheSize, properties.l2CacheSize},
        };
        for (const auto &[attribute, value] : attributes) {
            int got = -1;
            ASSERT_CUDA(cudaDeviceGetAttribute(&got, attribute, 0));
            EXPECT_EQ(got, value);
        }
        int blocks = 0;
        ASSERT_CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, trap_in_one_thread, 256, 0));
        EXPECT_EQ(blocks, row.threads_per_processor / 256);
        ASSERT_CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, trap_in_one_thread, 32, 30 * 1024));
        EXPECT_EQ(blocks, static_cast<int>(row.shared_per_processor) / (row.arch[0] == '7' ? 30 : 31));
    }
    EXPECT_CUDA(cudaErrorInvalidDevice, cudaGetDeviceProperties(nullptr, 1));
}

TEST_F(FailureTest, AMachineScopeLeavesTheMachineAroundItAsItWas) {
    const DeviceArray<int> device(std::vector<int>{3});
    const TestStream stream;
    set_seed(99);
    launch(set_value, 1, 1, 0, stream, device.data(), 4);
    {
        const MachineScope scope({.devices = 2});
        int count = 0;
        ASSERT_CUDA(cudaGetDeviceCount(&count));
        EXPECT_EQ(count, 2);
        ASSERT_CUDA(cudaSetDevice(1));
        set_seed(5);
        EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaStreamSynchronize(stream));
    }
    EXPECT_EQ(seed(), 99u);
    int ordinal = -1;
    ASSERT_CUDA(cudaGetDevice(&ordinal));
    EXPECT_EQ(ordinal, 0);
    EXPECT_CUDA(cudaSuccess, stream.synchronize());
    EXPECT_EQ(device.values()[0], 4);
}

} // namespace
} // namespace mezzo::cuda_sim::testing
