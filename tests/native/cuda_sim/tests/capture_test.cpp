// SPDX-License-Identifier: MIT
// What a capture refuses. Each call that invalidates it makes the rest fail and the end answer no graph.
#include "simulator_test.h"

#include <thread>

namespace mezzo::cuda_sim::testing {
namespace {

__global__ void add_value(int *out, int value) {
    *out += value;
}

class CaptureTest : public SimulatorTest {
  protected:
    void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal) {
        ASSERT_CUDA(cudaStreamBeginCapture(stream_, mode));
        launch(add_value, 1, 1, 0, stream_, value_.data(), 1);
    }

    void expect_invalidated() {
        cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
        ASSERT_CUDA(cudaStreamIsCapturing(stream_, &status));
        EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
        EXPECT_THROW(launch(add_value, 1, 1, 0, stream_, value_.data(), 1), std::exception);
        end_with(cudaErrorStreamCaptureInvalidated);
    }

    void end_with(cudaError_t error) {
        cudaGraph_t graph = reinterpret_cast<cudaGraph_t>(this);
        EXPECT_CUDA(error, cudaStreamEndCapture(stream_, &graph));
        EXPECT_EQ(graph == nullptr, error != cudaSuccess);
        if (graph != nullptr) cudaGraphDestroy(graph);
        EXPECT_EQ(value_.values()[0], 0) << "captured work does not run";
        launch(add_value, 1, 1, 0, stream_, value_.data(), 0); // the stream works again
        EXPECT_CUDA(cudaSuccess, stream_.synchronize());
    }

    TestStream stream_;
    DeviceArray<int> value_{std::vector<int>{0}};
};

TEST_F(CaptureTest, WaitingForTheStreamInvalidates) {
    begin(cudaStreamCaptureModeRelaxed);
    EXPECT_CUDA(cudaErrorStreamCaptureUnsupported, stream_.synchronize());
    expect_invalidated();
    begin();
    EXPECT_CUDA(cudaErrorStreamCaptureUnsupported, cudaStreamQuery(stream_));
    expect_invalidated();
    begin();
    EXPECT_CUDA(cudaErrorStreamCaptureUnsupported, cudaDeviceSynchronize());
    expect_invalidated();
}

TEST_F(CaptureTest, UnsafeCallsInvalidateAGlobalCapture) {
    void *pointer = nullptr;
    void *host = nullptr;
    int number = 0;
    const TestEvent event;
    begin();
    EXPECT_CUDA(cudaErrorStreamCaptureUnsupported, cudaMalloc(&pointer, 16));
    expect_invalidated();
    begin();
    EXPECT_CUDA(cudaErrorStreamCaptureUnsupported, cudaMallocHost(&host, 16));
    expect_invalidated();
    begin();
    EXPECT_CUDA(cudaErrorStreamCaptureUnsupported, cudaMemcpy(value_, &number, 4, cudaMemcpyHostToDevice));
    expect_invalidated();
    begin();
    EXPECT_CUDA(cudaErrorStreamCaptureUnsupported, cudaEventQuery(event));
    expect_invalidated();
    begin();
    std::thread([&] { EXPECT_CUDA(cudaErrorStreamCaptureUnsupported, cudaMalloc(&pointer, 16)); }).join();
    expect_invalidated();
}

TEST_F(CaptureTest, OtherModesRefuseLess) {
    void *pointer = nullptr;
    begin(cudaStreamCaptureModeRelaxed);
    EXPECT_CUDA(cudaSuccess, cudaMalloc(&pointer, 16));
    EXPECT_CUDA(cudaSuccess, cudaFree(pointer));
    end_with(cudaSuccess);
    begin(cudaStreamCaptureModeThreadLocal);
    std::thread([&] {
        EXPECT_CUDA(cudaSuccess, cudaMalloc(&pointer, 16));
        EXPECT_CUDA(cudaSuccess, cudaFree(pointer));
    }).join();
    EXPECT_CUDA(cudaErrorStreamCaptureUnsupported, cudaMalloc(&pointer, 16));
    expect_invalidated();
}

TEST_F(CaptureTest, OtherStreamsWorkMeanwhile) {
    const TestStream other;
    const DeviceArray<int> of_other(std::vector<int>{0});
    int host = 0;
    begin();
    launch(add_value, 1, 1, 0, other, of_other.data(), 5);
    EXPECT_CUDA(cudaSuccess, cudaMemcpyAsync(&host, of_other, sizeof host, cudaMemcpyDeviceToHost, other));
    EXPECT_CUDA(cudaSuccess, other.synchronize());
    EXPECT_EQ(host, 5);
    end_with(cudaSuccess);
}

TEST_F(CaptureTest, UncapturedWorkCannotBeWaitedFor) {
    const TestStream other;
    const TestEvent event;
    ASSERT_CUDA(cudaEventRecord(event, other));
    begin();
    EXPECT_CUDA(cudaErrorStreamCaptureIsolation, cudaStreamWaitEvent(stream_, event));
    expect_invalidated();
}

TEST_F(CaptureTest, ACapturedEventServesItsCaptureAlone) {
    const TestStream other;
    const TestEvent event;
    begin();
    ASSERT_CUDA(cudaEventRecord(event, stream_));
    EXPECT_CUDA(cudaErrorCapturedEvent, cudaEventSynchronize(event));
    EXPECT_CUDA(cudaErrorCapturedEvent, cudaEventQuery(event));
    end_with(cudaSuccess);
    EXPECT_CUDA(cudaErrorCapturedEvent, cudaStreamWaitEvent(other, event));
    ASSERT_CUDA(cudaEventRecord(event, stream_));
    EXPECT_CUDA(cudaSuccess, cudaStreamWaitEvent(other, event));
}

TEST_F(CaptureTest, CapturesDoNotMerge) {
    const TestStream other;
    const TestEvent event;
    ASSERT_CUDA(cudaStreamBeginCapture(other, cudaStreamCaptureModeRelaxed));
    ASSERT_CUDA(cudaEventRecord(event, other));
    begin(cudaStreamCaptureModeRelaxed);
    EXPECT_CUDA(cudaErrorStreamCaptureMerge, cudaStreamWaitEvent(stream_, event));
    cudaGraph_t graph = nullptr;
    ASSERT_CUDA(cudaStreamEndCapture(other, &graph));
    ASSERT_CUDA(cudaGraphDestroy(graph));
    expect_invalidated();
}

TEST_F(CaptureTest, EveryBranchMustBeJoined) {
    const TestStream branch;
    const TestEvent event;
    begin();
    ASSERT_CUDA(cudaEventRecord(event, stream_));
    ASSERT_CUDA(cudaStreamWaitEvent(branch, event));
    launch(add_value, 1, 1, 0, branch, value_.data(), 1);
    end_with(cudaErrorStreamCaptureUnjoined);
}

TEST_F(CaptureTest, ACaptureEndsWhereItBegan) {
    const TestStream branch;
    const TestEvent event;
    cudaGraph_t graph = nullptr;
    EXPECT_CUDA(cudaErrorIllegalState, cudaStreamEndCapture(stream_, &graph));
    begin();
    EXPECT_CUDA(cudaErrorIllegalState, cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal));
    ASSERT_CUDA(cudaEventRecord(event, stream_));
    ASSERT_CUDA(cudaStreamWaitEvent(branch, event));
    EXPECT_CUDA(cudaErrorStreamCaptureUnmatched, cudaStreamEndCapture(branch, &graph));
    expect_invalidated();
    begin();
    std::thread([&] { EXPECT_CUDA(cudaErrorStreamCaptureWrongThread, cudaStreamEndCapture(stream_, &graph)); }).join();
    end_with(cudaSuccess);
}

TEST_F(CaptureTest, TheLegacyStreamCannotBeCapturedNorWaitForACapture) {
    EXPECT_CUDA(cudaErrorStreamCaptureUnsupported, cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal));
    const TestStream blocking(cudaStreamDefault);
    ASSERT_CUDA(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed));
    EXPECT_CUDA(cudaErrorStreamCaptureImplicit, launch_detail::start(add_value, 1, 1, 0, nullptr, value_.data(), 1));
    cudaGraph_t graph = nullptr;
    EXPECT_CUDA(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(blocking, &graph));
    // A stream that does not block does not mind.
    begin(cudaStreamCaptureModeRelaxed);
    launch(add_value, 1, 1, 0, nullptr, value_.data(), 0);
    end_with(cudaSuccess);
}

TEST_F(CaptureTest, VoidGraphsAreRefused) {
    begin();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    ASSERT_CUDA(cudaStreamEndCapture(stream_, &graph));
    ASSERT_CUDA(cudaGraphInstantiate(&executable, graph, 0));
    ASSERT_CUDA(cudaGraphDestroy(graph));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaGraphDestroy(graph));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaGraphInstantiate(&executable, graph, 0));
    ASSERT_CUDA(cudaGraphExecDestroy(executable));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaGraphExecDestroy(executable));
    EXPECT_CUDA(cudaErrorInvalidValue, cudaGraphLaunch(executable, stream_));
}

} // namespace
} // namespace mezzo::cuda_sim::testing
