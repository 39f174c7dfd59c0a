// SPDX-License-Identifier: MIT
// Streams and events: what comes after what, and what need not have happened yet.
#include "simulator_test.h"

#include <chrono>
#include <set>
#include <thread>

namespace mezzo::cuda_sim::testing {
namespace {

using StreamTest = SimulatorTest;

__global__ void set_value(int *out, int value) {
    *out = value;
}

__global__ void append(int *log, int value) {
    log[++log[0]] = value;
}

__global__ void move_value(int *to, const int *from) {
    *to = *from;
}

TEST_F(StreamTest, WorkOfOneStreamRunsInOrder) {
    for_seeds(20, [] {
        const DeviceArray<int> log(std::vector<int>(100, 0));
        const TestStream stream;
        for (int i = 0; i < 50; ++i) launch(append, 1, 1, 0, stream, log.data(), i);
        ASSERT_CUDA(stream.synchronize());
        const std::vector<int> values = log.values();
        ASSERT_EQ(values[0], 50);
        for (int i = 0; i < 50; ++i) ASSERT_EQ(values[static_cast<size_t>(i) + 1], i);
    });
}

TEST_F(StreamTest, WorkOfTwoStreamsInterleaves) {
    std::set<std::vector<int>> orders;
    for_seeds(30, [&] {
        const DeviceArray<int> log(std::vector<int>(9, 0));
        const TestStream first, second;
        for (int i = 0; i < 4; ++i) {
            launch(append, 1, 1, 0, first, log.data(), i);
            launch(append, 1, 1, 0, second, log.data(), 10 + i);
        }
        orders.insert(log.values());
    });
    EXPECT_GE(orders.size(), 10u);
}

TEST_F(StreamTest, AHostThatDoesNotWaitReadsTooEarly) {
    int early = 0;
    int late = 0;
    for_seeds(40, [&] {
        const DeviceArray<int> device(std::vector<int>{0});
        int *host = nullptr;
        ASSERT_CUDA(cudaMallocHost(&host, sizeof *host));
        *host = 0;
        const TestStream stream;
        launch(set_value, 1, 1, 0, stream, device.data(), 5);
        ASSERT_CUDA(cudaMemcpyAsync(host, device, sizeof *host, cudaMemcpyDeviceToHost, stream));
        (*host == 5 ? late : early) += 1;
        ASSERT_CUDA(stream.synchronize());
        EXPECT_EQ(*host, 5);
        ASSERT_CUDA(cudaFreeHost(host));
    });
    EXPECT_GE(early, 10);
    EXPECT_GE(late, 5);
}

TEST_F(StreamTest, ACopyReadsItsSourceWhenItRuns) {
    int changed = 0;
    for_seeds(40, [&] {
        const DeviceArray<int> device(1);
        const TestStream stream;
        int source = 1;
        ASSERT_CUDA(cudaMemcpyAsync(device, &source, sizeof source, cudaMemcpyHostToDevice, stream));
        source = 2;
        ASSERT_CUDA(stream.synchronize());
        changed += device.values()[0] == 2;
    });
    EXPECT_GE(changed, 10);
}

TEST_F(StreamTest, AnEventOrdersStreams) {
    for_seeds(40, [] {
        const DeviceArray<int> first_value(std::vector<int>{0});
        const DeviceArray<int> second_value(std::vector<int>{0});
        const TestStream first, second;
        const TestEvent event(cudaEventDisableTiming);
        launch(set_value, 1, 1, 0, first, first_value.data(), 7);
        ASSERT_CUDA(cudaEventRecord(event, first));
        ASSERT_CUDA(cudaStreamWaitEvent(second, event));
        launch(move_value, 1, 1, 0, second, second_value.data(), first_value.data());
        ASSERT_CUDA(second.synchronize());
        EXPECT_EQ(second_value.values()[0], 7);
    });
}

TEST_F(StreamTest, WithoutTheEventTheOrderIsNotGiven) {
    int missed = 0;
    for_seeds(40, [&] {
        const DeviceArray<int> first_value(std::vector<int>{0});
        const DeviceArray<int> second_value(std::vector<int>{0});
        const TestStream first, second;
        launch(set_value, 1, 1, 0, first, first_value.data(), 7);
        launch(move_value, 1, 1, 0, second, second_value.data(), first_value.data());
        missed += second_value.values()[0] != 7;
    });
    EXPECT_GE(missed, 3);
}

TEST_F(StreamTest, AWaitTakesTheRecordThatWasLastWhenItWasIssued) {
    for_seeds(20, [] {
        const DeviceArray<int> value(std::vector<int>{0});
        const DeviceArray<int> seen(std::vector<int>{-1});
        const TestStream first, second;
        const TestEvent event;
        launch(set_value, 1, 1, 0, first, value.data(), 1);
        ASSERT_CUDA(cudaEventRecord(event, first));
        ASSERT_CUDA(cudaStreamWaitEvent(second, event));
        launch(move_value, 1, 1, 0, second, seen.data(), value.data());
        // Later records of the event do not hold the second stream up.
        ASSERT_CUDA(cudaStreamWaitEvent(first, event));
        ASSERT_CUDA(cudaEventRecord(event, first));
        ASSERT_CUDA(second.synchronize());
        EXPECT_EQ(seen.values()[0], 1);
    });
}

TEST_F(StreamTest, AnEventThatWasNeverRecordedIsDone) {
    const TestStream stream;
    const TestEvent event;
    EXPECT_CUDA(cudaSuccess, cudaEventQuery(event));
    EXPECT_CUDA(cudaSuccess, cudaEventSynchronize(event));
    EXPECT_CUDA(cudaSuccess, cudaStreamWaitEvent(stream, event));
    float milliseconds = 0;
    EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&milliseconds, event, event));
}

TEST_F(StreamTest, SynchronizingAnEventWaitsForTheWorkBeforeIt) {
    for_seeds(20, [] {
        const DeviceArray<int> device(std::vector<int>{0});
        int *host = nullptr;
        ASSERT_CUDA(cudaMallocHost(&host, sizeof *host));
        const TestStream stream;
        const TestEvent event;
        launch(set_value, 1, 1, 0, stream, device.data(), 3);
        ASSERT_CUDA(cudaMemcpyAsync(host, device, sizeof *host, cudaMemcpyDeviceToHost, stream));
        ASSERT_CUDA(cudaEventRecord(event, stream));
        ASSERT_CUDA(cudaEventSynchronize(event));
        EXPECT_EQ(*host, 3);
        ASSERT_CUDA(cudaFreeHost(host));
    });
}

TEST_F(StreamTest, PollingGetsThereAndSaysNotReadyOnTheWay) {
    int polls = 0;
    for_seeds(20, [&] {
        const DeviceArray<int> device(1);
        const TestStream stream;
        const TestEvent event;
        launch(set_value, 1, 1, 0, stream, device.data(), 3);
        ASSERT_CUDA(cudaEventRecord(event, stream));
        cudaError_t status = cudaErrorNotReady;
        while ((status = cudaEventQuery(event)) == cudaErrorNotReady) ++polls;
        EXPECT_CUDA(cudaSuccess, status);
        launch(set_value, 1, 1, 0, stream, device.data(), 3);
        while ((status = cudaStreamQuery(stream)) == cudaErrorNotReady) ++polls;
        EXPECT_CUDA(cudaSuccess, status);
        cudaGetLastError();
    });
    EXPECT_GE(polls, 10);
}

TEST_F(StreamTest, ElapsedTimeIsThatOfTheWorkBetween) {
    const TestStream stream;
    const TestEvent start, end;
    const TestEvent untimed(cudaEventDisableTiming);
    const DeviceArray<int> device(1);
    ASSERT_CUDA(cudaEventRecord(start, stream));
    ASSERT_CUDA(cudaEventSynchronize(start));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    launch(set_value, 1, 1, 0, stream, device.data(), 1);
    ASSERT_CUDA(cudaEventRecord(end, stream));
    ASSERT_CUDA(cudaEventSynchronize(end));
    float milliseconds = 0;
    ASSERT_CUDA(cudaEventElapsedTime(&milliseconds, start, end));
    EXPECT_GE(milliseconds, 5.0f);
    EXPECT_LT(milliseconds, 10000.0f);
    EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaEventElapsedTime(&milliseconds, start, untimed));
}

TEST_F(StreamTest, TheLegacyStreamAndBlockingStreamsWaitForEachOther) {
    for_seeds(20, [] {
        const DeviceArray<int> log(std::vector<int>(10, 0));
        const TestStream blocking(cudaStreamDefault);
        launch(append, 1, 1, 0, blocking, log.data(), 1);
        launch(append, 1, 1, 0, nullptr, log.data(), 2);
        launch(append, 1, 1, 0, blocking, log.data(), 3);
        const std::vector<int> values = log.values();
        EXPECT_EQ(values[1], 1);
        EXPECT_EQ(values[2], 2);
        EXPECT_EQ(values[3], 3);
    });
}

TEST_F(StreamTest, CallsWithoutHostMemoryDoNotWait) {
    int pending = 0;
    for_seeds(20, [&] {
        const DeviceArray<int> first(std::vector<int>{1});
        const DeviceArray<int> second(1);
        mark();
        ASSERT_CUDA(cudaMemset(first, 0, sizeof(int)));
        ASSERT_CUDA(cudaMemcpy(second, first, sizeof(int), cudaMemcpyDeviceToDevice));
        EXPECT_EQ(counters().synchronizations, 0);
        pending += cudaStreamQuery(nullptr) == cudaErrorNotReady;
        EXPECT_EQ(second.values()[0], 0);
    });
    EXPECT_GE(pending, 3);
}

TEST_F(StreamTest, VoidHandlesAreRefused) {
    cudaStream_t stream = nullptr;
    ASSERT_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    ASSERT_CUDA(cudaStreamDestroy(stream));
    EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaStreamDestroy(stream));
    EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaStreamSynchronize(stream));
    const DeviceArray<int> device(1);
    EXPECT_THROW(launch(set_value, 1, 1, 0, stream, device.data(), 1), std::exception);
    cudaEvent_t event = nullptr;
    ASSERT_CUDA(cudaEventCreate(&event));
    ASSERT_CUDA(cudaEventDestroy(event));
    EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaEventDestroy(event));
    EXPECT_CUDA(cudaErrorInvalidResourceHandle, cudaEventRecord(event));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaStreamCreateWithFlags(&stream, 7));
}

TEST_F(StreamTest, DestroyingAStreamDoesItsWork) {
    for_seeds(10, [] {
        const DeviceArray<int> device(1);
        {
            const TestStream stream;
            launch(set_value, 1, 1, 0, stream, device.data(), 9);
        }
        EXPECT_EQ(device.values()[0], 9);
    });
}

TEST_F(StreamTest, ThreadsMayIssueWorkAtTheSameTime) {
    const DeviceArray<int> totals(std::vector<int>(4, 0));
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&totals, i] {
            const TestStream stream;
            for (int step = 1; step <= 50; ++step) {
                launch(set_value, 1, 1, 0, stream, totals.data() + i, step);
                if (step % 10 == 0) {
                    EXPECT_CUDA(cudaSuccess, stream.synchronize());
                }
            }
        });
    }
    for (std::thread &thread : threads) thread.join();
    EXPECT_EQ(totals.values(), std::vector<int>(4, 50));
}

TEST_F(StreamTest, CountersCountSinceTheMark) {
    const DeviceArray<int> device(1);
    const TestStream stream;
    int host = 0;
    mark();
    launch(set_value, 1, 1, 0, stream, device.data(), 9);
    launch(set_value, 1, 1, 0, stream, device.data(), 9);
    ASSERT_CUDA(cudaMemcpyAsync(&host, device, sizeof host, cudaMemcpyDeviceToHost, stream));
    ASSERT_CUDA(cudaMemcpyAsync(device, &host, sizeof host, cudaMemcpyHostToDevice, stream));
    ASSERT_CUDA(stream.synchronize());
    const Counters counted = counters();
    EXPECT_EQ(counted.kernels, 2);
    EXPECT_EQ(counted.copies_to_host, 1);
    EXPECT_EQ(counted.synchronizations, 1);
    EXPECT_EQ(counted.graph_launches, 0);
    EXPECT_EQ(counted.allocations, 0);
}

} // namespace
} // namespace mezzo::cuda_sim::testing
