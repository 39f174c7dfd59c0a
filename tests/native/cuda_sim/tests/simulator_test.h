// SPDX-License-Identifier: MIT
// What the simulator's own tests share: a machine for each test, arrays on it, repetition under many seeds.
#pragma once

#include "device/launch.cuh"

#include <cuda_sim/control.h>

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace mezzo::cuda_sim::testing {

#define EXPECT_CUDA(expected, call) EXPECT_STREQ(cudaGetErrorName(expected), cudaGetErrorName(call))
#define ASSERT_CUDA(call) ASSERT_STREQ("cudaSuccess", cudaGetErrorName(call))

/// Runs a body under several seeds, the same ones on every run of the test.
inline void for_seeds(int count, const std::function<void()> &body) {
    for (int i = 1; i <= count; ++i) {
        set_seed(static_cast<uint64_t>(i));
        SCOPED_TRACE("seed " + std::to_string(i));
        body();
    }
}

/// A stream that does not wait for the legacy stream.
class TestStream {
  public:
    explicit TestStream(unsigned int flags = cudaStreamNonBlocking) {
        EXPECT_CUDA(cudaSuccess, cudaStreamCreateWithFlags(&stream_, flags));
    }
    ~TestStream() { cudaStreamDestroy(stream_); }
    TestStream(const TestStream &) = delete;
    TestStream &operator=(const TestStream &) = delete;

    operator cudaStream_t() const { return stream_; }
    cudaError_t synchronize() const { return cudaStreamSynchronize(stream_); }

  private:
    cudaStream_t stream_ = nullptr;
};

class TestEvent {
  public:
    explicit TestEvent(unsigned int flags = cudaEventDefault) {
        EXPECT_CUDA(cudaSuccess, cudaEventCreateWithFlags(&event_, flags));
    }
    ~TestEvent() { cudaEventDestroy(event_); }
    TestEvent(const TestEvent &) = delete;
    TestEvent &operator=(const TestEvent &) = delete;

    operator cudaEvent_t() const { return event_; }

  private:
    cudaEvent_t event_ = nullptr;
};

/// Elements in device memory, freed with their scope.
template <class T>
class DeviceArray {
  public:
    explicit DeviceArray(size_t count) : count_(count) { EXPECT_CUDA(cudaSuccess, cudaMalloc(&data_, bytes())); }
    explicit DeviceArray(const std::vector<T> &values) : DeviceArray(values.size()) {
        EXPECT_CUDA(cudaSuccess, cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice));
    }
    ~DeviceArray() { cudaFree(data_); }
    DeviceArray(const DeviceArray &) = delete;
    DeviceArray &operator=(const DeviceArray &) = delete;

    T *data() const { return data_; }
    operator T *() const { return data_; }
    size_t bytes() const { return count_ * sizeof(T); }

    /// The elements, once the device has done what it was asked for.
    std::vector<T> values() const {
        std::vector<T> result(count_);
        EXPECT_CUDA(cudaSuccess, cudaDeviceSynchronize());
        EXPECT_CUDA(cudaSuccess, cudaMemcpy(result.data(), data_, bytes(), cudaMemcpyDeviceToHost));
        return result;
    }

  private:
    T *data_ = nullptr;
    size_t count_;
};

/// Each test has a machine of its own: one device unless it configures another.
class SimulatorTest : public ::testing::Test {
  protected:
    /// Launches on a stream of its own and waits. Answers what the wait answers.
    template <class... Params, class... Args>
    cudaError_t run(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes, Args &&...arguments) {
        const TestStream stream;
        launch(kernel, grid, block, shared_bytes, stream, std::forward<Args>(arguments)...);
        return stream.synchronize();
    }

    /// Expects the launch to fail, and the report to hold a text. The machine works again afterwards.
    template <class... Params, class... Args>
    void expect_fault(const std::string &text, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                      Args &&...arguments) {
        ::testing::internal::CaptureStderr();
        const cudaError_t error = run_refused(kernel, grid, block, shared_bytes, std::forward<Args>(arguments)...);
        const std::string report = ::testing::internal::GetCapturedStderr();
        EXPECT_CUDA(cudaErrorLaunchFailure, error);
        EXPECT_NE(report.find(text), std::string::npos) << "expected \"" << text << "\" in:\n" << report;
        EXPECT_NE(report.find("MEZZO_SIM_SEED="), std::string::npos) << report;
        reset();
    }

  private:
    /// run() without exceptions: a fault may show at the launch or at the wait.
    template <class... Params, class... Args>
    cudaError_t run_refused(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                            Args &&...arguments) {
        const TestStream stream;
        const cudaError_t error =
            launch_detail::start(kernel, grid, block, shared_bytes, stream, std::forward<Args>(arguments)...);
        return error != cudaSuccess ? error : stream.synchronize();
    }

    MachineScope machine_;
};

} // namespace mezzo::cuda_sim::testing
