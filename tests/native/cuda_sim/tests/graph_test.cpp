// SPDX-License-Identifier: MIT
// Capture and replay. What a capture refuses is in capture_test.cpp.
#include "simulator_test.h"

#include <set>

namespace mezzo::cuda_sim::testing {
namespace {

using GraphTest = SimulatorTest;

__global__ void add_value(int *out, int value) {
    *out += value;
}

__global__ void multiply_value(int *out, int value) {
    *out *= value;
}

__global__ void append(int *log, int value) {
    log[++log[0]] = value;
}

__global__ void sum_two(int *out, const int *a, const int *b) {
    *out = *a + *b;
}

/// A graph and its executable, destroyed with their scope.
class TestGraph {
  public:
    template <class Body>
    TestGraph(cudaStream_t stream, const Body &body, cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal) {
        EXPECT_CUDA(cudaSuccess, cudaStreamBeginCapture(stream, mode));
        body();
        EXPECT_CUDA(cudaSuccess, cudaStreamEndCapture(stream, &graph_));
        EXPECT_CUDA(cudaSuccess, cudaGraphInstantiate(&executable_, graph_, 0));
    }
    ~TestGraph() {
        cudaGraphExecDestroy(executable_);
        cudaGraphDestroy(graph_);
    }
    TestGraph(const TestGraph &) = delete;
    TestGraph &operator=(const TestGraph &) = delete;

    cudaError_t replay(cudaStream_t stream) const { return cudaGraphLaunch(executable_, stream); }
    size_t nodes() const {
        size_t count = 0;
        EXPECT_CUDA(cudaSuccess, cudaGraphGetNodes(graph_, nullptr, &count));
        return count;
    }

  private:
    cudaGraph_t graph_ = nullptr;
    cudaGraphExec_t executable_ = nullptr;
};

TEST_F(GraphTest, AReplayRunsWhatWasCapturedInOrder) {
    for_seeds(10, [] {
        const DeviceArray<int> value(std::vector<int>{1});
        const DeviceArray<int> copy(std::vector<int>{0});
        const TestStream stream;
        mark();
        const TestGraph graph(stream, [&] {
            launch(add_value, 1, 1, 0, stream, value.data(), 2);
            launch(multiply_value, 1, 1, 0, stream, value.data(), 3);
            ASSERT_CUDA(cudaMemcpyAsync(copy, value, sizeof(int), cudaMemcpyDeviceToDevice, stream));
            ASSERT_CUDA(cudaMemsetAsync(copy.data(), 0, 1, stream));
        });
        EXPECT_EQ(graph.nodes(), 4u);
        EXPECT_EQ(value.values()[0], 1) << "nothing runs while it is captured";
        EXPECT_EQ(counters().kernels, 0);
        for (int i = 0; i < 3; ++i) ASSERT_CUDA(graph.replay(stream));
        EXPECT_EQ(value.values()[0], ((1 * 3 + 6) * 3 + 6) * 3 + 6);
        EXPECT_EQ(copy.values()[0], 105 & ~0xff);
        EXPECT_EQ(counters().graph_launches, 3);
    });
}

TEST_F(GraphTest, AReplayReadsMemoryAsItIsThen) {
    const DeviceArray<int> value(std::vector<int>{0});
    const TestStream stream;
    int *host = nullptr;
    ASSERT_CUDA(cudaMallocHost(&host, sizeof *host));
    const TestGraph graph(
        stream, [&] { ASSERT_CUDA(cudaMemcpyAsync(value, host, sizeof *host, cudaMemcpyHostToDevice, stream)); });
    for (int i = 0; i < 3; ++i) {
        *host = i;
        ASSERT_CUDA(graph.replay(stream));
        ASSERT_CUDA(stream.synchronize());
        EXPECT_EQ(value.values()[0], i);
    }
    ASSERT_CUDA(cudaFreeHost(host));
}

TEST_F(GraphTest, ReplaysKeepTheOrderOfTheirStreamAndOfThemselves) {
    for_seeds(20, [] {
        const DeviceArray<int> log(std::vector<int>(20, 0));
        const TestStream first, second;
        const TestGraph graph(first, [&] {
            launch(append, 1, 1, 0, first, log.data(), 1);
            launch(append, 1, 1, 0, first, log.data(), 2);
        });
        ASSERT_CUDA(graph.replay(first));
        launch(append, 1, 1, 0, first, log.data(), 3);
        ASSERT_CUDA(first.synchronize());
        // On two streams: an executable does not overlap with itself.
        ASSERT_CUDA(graph.replay(first));
        ASSERT_CUDA(graph.replay(second));
        const std::vector<int> values = log.values();
        EXPECT_EQ(std::vector<int>(values.begin(), values.begin() + 8), (std::vector<int>{7, 1, 2, 3, 1, 2, 1, 2}));
    });
}

TEST_F(GraphTest, StreamsForkAndJoinThroughEvents) {
    std::set<std::vector<int>> orders;
    for_seeds(40, [&] {
        const DeviceArray<int> a(std::vector<int>{0});
        const DeviceArray<int> b(std::vector<int>{0});
        const DeviceArray<int> sum(std::vector<int>{0});
        const DeviceArray<int> log(std::vector<int>(9, 0));
        const TestStream origin, branch;
        const TestEvent forked, joined;
        const TestGraph graph(origin, [&] {
            launch(add_value, 1, 1, 0, origin, a.data(), 1);
            ASSERT_CUDA(cudaEventRecord(forked, origin));
            ASSERT_CUDA(cudaStreamWaitEvent(branch, forked));
            cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
            ASSERT_CUDA(cudaStreamIsCapturing(branch, &status));
            EXPECT_EQ(status, cudaStreamCaptureStatusActive);
            ASSERT_CUDA(cudaMemcpyAsync(b, a, sizeof(int), cudaMemcpyDeviceToDevice, branch));
            launch(append, 1, 1, 0, branch, log.data(), 2);
            launch(append, 1, 1, 0, origin, log.data(), 1);
            ASSERT_CUDA(cudaEventRecord(joined, branch));
            ASSERT_CUDA(cudaStreamWaitEvent(origin, joined));
            launch(sum_two, 1, 1, 0, origin, sum.data(), a.data(), b.data());
        });
        cudaStreamCaptureStatus status = cudaStreamCaptureStatusActive;
        ASSERT_CUDA(cudaStreamIsCapturing(branch, &status));
        EXPECT_EQ(status, cudaStreamCaptureStatusNone);
        EXPECT_EQ(graph.nodes(), 5u);
        for (int i = 1; i <= 2; ++i) {
            ASSERT_CUDA(graph.replay(branch));
            ASSERT_CUDA(branch.synchronize());
            EXPECT_EQ(sum.values()[0], 2 * i);
        }
        orders.insert(log.values());
    });
    EXPECT_EQ(orders.size(), 4u) << "branches of a graph run in any order";
}

/// Saves a value in pinned memory by a branch, overwrites it, and copies it back: how often that is right.
int right_round_trips(bool waits) {
    int right = 0;
    for_seeds(40, [&] {
        const DeviceArray<int> value(std::vector<int>{0});
        const DeviceArray<int> other(std::vector<int>{0});
        const TestStream stream, branch;
        const TestEvent event(cudaEventDisableTiming);
        int *host = nullptr;
        ASSERT_CUDA(cudaMallocHost(&host, sizeof *host));
        launch(add_value, 1, 1, 0, branch, other.data(), 1); // pending as the branch joins, and no part of the graph
        const TestGraph graph(stream, [&] {
            launch(add_value, 1, 1, 0, stream, value.data(), 5);
            ASSERT_CUDA(cudaEventRecord(event, stream));
            ASSERT_CUDA(cudaStreamWaitEvent(branch, event));
            ASSERT_CUDA(cudaMemcpyAsync(host, value, sizeof *host, cudaMemcpyDefault, branch));
            ASSERT_CUDA(cudaEventRecord(event, branch));
            if (waits) {
                ASSERT_CUDA(cudaStreamWaitEvent(stream, event));
            }
            ASSERT_CUDA(cudaMemsetAsync(value, 0, sizeof *host, stream));
            ASSERT_CUDA(cudaStreamWaitEvent(stream, event));
            ASSERT_CUDA(cudaMemcpyAsync(value, host, sizeof *host, cudaMemcpyDefault, stream));
        });
        EXPECT_EQ(graph.nodes(), 4u);
        for (int i = 0; i < 3; ++i) ASSERT_CUDA(graph.replay(stream));
        right += value.values()[0] == 15 && other.values()[0] == 1;
        ASSERT_CUDA(cudaFreeHost(host));
    });
    return right;
}

TEST_F(GraphTest, ABranchCopiesToPinnedMemoryAndMustBeWaitedFor) {
    EXPECT_EQ(right_round_trips(true), 40);
    EXPECT_LE(right_round_trips(false), 20);
}

TEST_F(GraphTest, AGraphsExecutableOutlivesItAndPendingLaunchesOutliveTheExecutable) {
    for_seeds(10, [] {
        const DeviceArray<int> value(std::vector<int>{0});
        const TestStream stream;
        {
            const TestGraph graph(stream, [&] { launch(add_value, 1, 1, 0, stream, value.data(), 2); });
            ASSERT_CUDA(graph.replay(stream));
        }
        EXPECT_EQ(value.values()[0], 2);
    });
}

TEST_F(GraphTest, CapturedAllocationsLiveDuringAReplay) {
    for_seeds(10, [] {
        const DeviceArray<int> result(std::vector<int>{0});
        const TestStream stream;
        size_t before = 0;
        size_t total = 0;
        ASSERT_CUDA(cudaMemGetInfo(&before, &total));
        {
            const TestGraph graph(stream, [&] {
                void *pointer = nullptr;
                ASSERT_CUDA(cudaMallocAsync(&pointer, sizeof(int), stream));
                ASSERT_CUDA(cudaMemsetAsync(pointer, 1, sizeof(int), stream));
                launch(sum_two, 1, 1, 0, stream, result.data(), static_cast<int *>(pointer),
                       static_cast<int *>(pointer));
                ASSERT_CUDA(cudaFreeAsync(pointer, stream));
            });
            EXPECT_EQ(graph.nodes(), 4u);
            for (int i = 0; i < 3; ++i) {
                ASSERT_CUDA(graph.replay(stream));
                ASSERT_CUDA(stream.synchronize());
                EXPECT_EQ(result.values()[0], 2 * 0x01010101);
            }
        }
        size_t after = 0;
        ASSERT_CUDA(cudaMemGetInfo(&after, &total));
        EXPECT_EQ(before, after);
    });
}

TEST_F(GraphTest, AReplayMustNotAllocateAnewWhatIsStillThere) {
    const TestStream stream;
    void *pointer = nullptr;
    const TestGraph graph(stream, [&] { ASSERT_CUDA(cudaMallocAsync(&pointer, 64, stream)); });
    ASSERT_CUDA(graph.replay(stream));
    ASSERT_CUDA(stream.synchronize());
    ASSERT_CUDA(cudaFreeAsync(pointer, stream));
    ASSERT_CUDA(graph.replay(stream));
    ASSERT_CUDA(stream.synchronize());
    ::testing::internal::CaptureStderr();
    graph.replay(stream);
    EXPECT_CUDA(cudaErrorLaunchFailure, stream.synchronize());
    EXPECT_NE(::testing::internal::GetCapturedStderr().find("has not been freed since its last launch"),
              std::string::npos);
}

} // namespace
} // namespace mezzo::cuda_sim::testing
