// SPDX-License-Identifier: MIT
// Machines with two devices.
#include "simulator_test.h"

#include <thread>

namespace mezzo::cuda_sim::testing {
namespace {

using DevicesTest = SimulatorTest;

__global__ void set_value(int *out, int value) {
    *out = value;
}

__global__ void move_value(int *to, const int *from) {
    *to = *from;
}

TEST_F(DevicesTest, EachDeviceHasItsOwnStreamsAndMemory) {
    configure({.devices = 2});
    int count = 0;
    ASSERT_CUDA(cudaGetDeviceCount(&count));
    EXPECT_EQ(count, 2);
    EXPECT_CUDA(cudaErrorInvalidDevice, cudaSetDevice(2));
    const DeviceArray<int> on_first(std::vector<int>{1});
    const TestStream first;
    ASSERT_CUDA(cudaSetDevice(1));
    const DeviceArray<int> on_second(1);
    const TestStream second;
    // A kernel is launched on the current device's streams only.
    EXPECT_CUDA(cudaErrorInvalidResourceHandle, launch_detail::start(set_value, 1, 1, 0, first, on_first.data(), 1));
    EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaEventRecord(TestEvent(), first));
    for_seeds(20, [&] {
        const TestEvent event;
        launch(set_value, 1, 1, 0, second, on_second.data(), 4);
        ASSERT_CUDA(cudaEventRecord(event, second));
        ASSERT_CUDA(cudaStreamWaitEvent(first, event));
        ASSERT_CUDA(cudaMemcpyAsync(on_first, on_second, sizeof(int), cudaMemcpyDefault, first));
        int host = 0;
        ASSERT_CUDA(cudaMemcpyAsync(&host, on_first, sizeof host, cudaMemcpyDefault, first));
        ASSERT_CUDA(cudaStreamSynchronize(first));
        EXPECT_EQ(host, 4);
    });
    int ordinal = -1;
    ASSERT_CUDA(cudaGetDevice(&ordinal));
    EXPECT_EQ(ordinal, 1);
    std::thread([] {
        int of_thread = -1;
        EXPECT_CUDA(cudaSuccess, cudaGetDevice(&of_thread));
        EXPECT_EQ(of_thread, 0) << "the current device is each thread's own";
    }).join();
}

TEST_F(DevicesTest, AKernelReachesAnotherDevicesMemoryOnlyAsItsPeer) {
    configure({.devices = 2});
    const DeviceArray<int> on_first(std::vector<int>{6});
    ASSERT_CUDA(cudaSetDevice(1));
    const DeviceArray<int> on_second(1);
    EXPECT_DEATH(
        {
            const TestStream stream;
            launch(move_value, 1, 1, 0, stream, on_second.data(), on_first.data());
            stream.synchronize();
        },
        "");
    int can_access = 0;
    ASSERT_CUDA(cudaDeviceCanAccessPeer(&can_access, 1, 0));
    EXPECT_EQ(can_access, 1);
    ASSERT_CUDA(cudaDeviceEnablePeerAccess(0, 0));
    EXPECT_CUDA(cudaErrorPeerAccessAlreadyEnabled, cudaDeviceEnablePeerAccess(0, 0));
    ASSERT_CUDA(run(move_value, 1, 1, 0, on_second.data(), on_first.data()));
    EXPECT_EQ(on_second.values()[0], 6);
}

TEST_F(DevicesTest, AFaultOnOneDeviceLeavesTheOtherAlone) {
    configure({.devices = 2});
    inject(cudaErrorIllegalAddress, Call::kSynchronization);
    EXPECT_CUDA(cudaErrorIllegalAddress, cudaDeviceSynchronize());
    EXPECT_CUDA(cudaErrorIllegalAddress, cudaDeviceSynchronize());
    ASSERT_CUDA(cudaSetDevice(1));
    const DeviceArray<int> device(1);
    ASSERT_CUDA(run(set_value, 1, 1, 0, device.data(), 2));
    EXPECT_EQ(device.values()[0], 2);
}

} // namespace
} // namespace mezzo::cuda_sim::testing
