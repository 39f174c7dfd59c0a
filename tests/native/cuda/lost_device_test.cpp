// SPDX-License-Identifier: MIT
// A CUDA device after a kernel has failed on it: whatever is asked of it, the answer is the first cause.
#if defined(MEZZO_CUDA_SIM)

#include "core/op.h"
#include "cuda/cuda_device.h"
#include "device/launch.cuh"

#include <mezzo/ops.h>

#include "support/machine.h"
#include "support/oracle.h"
#include "support/status.h"

#include <functional>
#include <string>
#include <vector>

namespace mezzo::testing {
namespace {

[[maybe_unused]] __global__ void write(float *to) { // not where AddressSanitizer sees it first
    *to = 1;
}

__global__ void trap() {
    __trap();
}

/// Launches a kernel of other code, which shares the device's stream and does not look at what CUDA answers.
template <class... Params>
void launch_other(cudaStream_t stream, void (*kernel)(Params...), Params... arguments) {
    launch_detail::start(kernel, dim3(1), dim3(1), 0, stream, arguments...);
}

cudaStream_t stream_of_device() {
    return cuda_device(require_device(kFirst)).stream();
}

struct Call {
    std::string name;
    std::function<mezzo_status()> make;
};

/// All calls that need a device, with arguments that it takes when it is in order.
class Calls {
  public:
    Calls() {
        EXPECT_OK(mezzo_graph_capture_begin(kFirst));
        EXPECT_OK(mezzo_relu_forward(b_, a_));
        EXPECT_OK(mezzo_graph_capture_end(&graph_, kFirst));
        EXPECT_OK(mezzo_host_copy_create(&copy_, a_));
    }
    ~Calls() {
        EXPECT_OK(mezzo_graph_destroy(graph_));
        EXPECT_OK(mezzo_host_copy_destroy(copy_));
    }
    Calls(const Calls &) = delete;
    Calls &operator=(const Calls &) = delete;

    const std::vector<Call> &all() const { return all_; }

  private:
    static constexpr int64_t kEdge = 4;

    static TestTensor matrix(mezzo_device device) {
        TestTensor tensor = tensor_on(device, {kEdge, kEdge});
        tensor.write(random_values(kEdge * kEdge, 1));
        return tensor;
    }

    mezzo_status create() const {
        mezzo_tensor tensor{};
        const mezzo_status status = mezzo_tensor_create(&tensor, kFirst, MEZZO_DTYPE_F32, &kEdge, 1);
        EXPECT_OK(mezzo_tensor_destroy(tensor));
        return status;
    }

    mezzo_status create_copy() const {
        mezzo_host_copy copy{};
        const mezzo_status status = mezzo_host_copy_create(&copy, a_);
        EXPECT_OK(mezzo_host_copy_destroy(copy));
        return status;
    }

    mezzo_status begin() const {
        const mezzo_status status = mezzo_graph_capture_begin(kFirst);
        EXPECT_OK(mezzo_graph_capture_abort(kFirst));
        return status;
    }

    mezzo_status adam() const {
        const mezzo_tensor param = a_, exp_avg = b_, exp_avg_sq = c_, grad = d_;
        const mezzo_step_inputs inputs = step_inputs();
        return mezzo_adam_step(&param, &exp_avg, &exp_avg_sq, nullptr, &grad, 1, &inputs, nullptr);
    }

    mezzo_status sgd() const {
        const mezzo_tensor param = a_, grad = d_;
        const mezzo_step_inputs inputs = step_inputs();
        return mezzo_sgd_step(&param, nullptr, nullptr, &grad, 1, &inputs, nullptr);
    }

    mezzo_status lamb() const {
        const mezzo_tensor param = a_, exp_avg = b_, exp_avg_sq = c_, grad = d_;
        const mezzo_step_inputs inputs = step_inputs();
        return mezzo_lamb_step(&param, &exp_avg, &exp_avg_sq, nullptr, &grad, 1, &inputs, nullptr);
    }

    mezzo_step_inputs step_inputs() const {
        mezzo_step_inputs inputs{};
        inputs.struct_size = sizeof inputs;
        inputs.step = step_;
        inputs.grad_scale = scale_;
        inputs.found_inf = found_inf_;
        return inputs;
    }

    mezzo_status unscale() const {
        const mezzo_tensor grad = a_;
        return mezzo_unscale(found_inf_, &grad, 1, scale_, nullptr);
    }

    mezzo_status update() const {
        const mezzo_tensor found_inf = found_inf_;
        return mezzo_scale_update(scale_, tracker_, {}, {}, {}, &found_inf, nullptr, 1, nullptr);
    }

    TestTensor a_ = matrix(kFirst), b_ = matrix(kFirst), c_ = matrix(kFirst), d_ = matrix(kFirst);
    TestTensor other_ = matrix(kSecond), host_ = matrix({MEZZO_DEVICE_TYPE_CPU, 0});
    TestTensor half_{MEZZO_DTYPE_F16, {kEdge, kEdge}};
    TestTensor scalar_ = TestTensor::scalar(MEZZO_DTYPE_F32, 1), scale_ = TestTensor::scalar(MEZZO_DTYPE_F32, 1);
    TestTensor found_inf_ = TestTensor::scalar(MEZZO_DTYPE_F32, 0), step_ = TestTensor::scalar(MEZZO_DTYPE_I64, 0);
    TestTensor tracker_ = TestTensor::scalar(MEZZO_DTYPE_I32, 0), checksum_ = TestTensor::scalar(MEZZO_DTYPE_I64, 0);
    mezzo_graph graph_{};
    mezzo_host_copy copy_{};
    int64_t bytes_ = 0;

    const char *name_ = nullptr;
    mezzo_dtype dtype_{};
    mezzo_memory_stats stats_{};
    mezzo_graph_info info_{};
    float data_[kEdge * kEdge] = {};

    const std::vector<Call> all_ = {
        {"device_name", [this] { return mezzo_device_name(&name_, kFirst); }},
        {"device_fast_dtype", [this] { return mezzo_device_fast_dtype(&dtype_, kFirst); }},
        {"device_synchronize", [] { return mezzo_device_synchronize(kFirst); }},
        {"memory_stats_get", [this] { return mezzo_memory_stats_get(&stats_, kFirst); }},
        {"memory_peak_reset", [] { return mezzo_memory_peak_reset(kFirst); }},
        {"memory_available", [this] { return mezzo_memory_available(&bytes_, kFirst); }},
        {"memory_trim", [] { return mezzo_memory_trim(kFirst); }},
        {"memory_limit_set", [] { return mezzo_memory_limit_set(kFirst, 0); }},
        {"tensor_create", [this] { return create(); }},
        {"tensor_write", [this] { return mezzo_tensor_write(a_, data_, sizeof data_); }},
        {"tensor_read", [this] { return mezzo_tensor_read(data_, a_, sizeof data_); }},
        {"tensor_copy", [this] { return mezzo_tensor_copy(a_, b_); }},
        {"tensor_copy", [this] { return mezzo_tensor_copy(a_, host_); }},
        {"tensor_copy", [this] { return mezzo_tensor_copy(host_, a_); }},
        {"tensor_copy", [this] { return mezzo_tensor_copy(a_, other_); }},
        {"tensor_copy", [this] { return mezzo_tensor_copy(other_, a_); }},
        {"host_copy_create", [this] { return create_copy(); }},
        {"host_copy_wait", [this] { return mezzo_host_copy_wait(copy_); }},
        {"host_copy_restore", [this] { return mezzo_host_copy_restore(b_, copy_); }},
        {"graph_capture_begin", [this] { return begin(); }},
        {"graph_launch", [this] { return mezzo_graph_launch(graph_); }},
        {"graph_describe", [this] { return mezzo_graph_describe(&info_, graph_); }},
        {"fill", [this] { return mezzo_fill(a_, 1); }},
        {"random_uniform", [this] { return mezzo_random_uniform(a_, 0, 1, nullptr); }},
        {"random_normal", [this] { return mezzo_random_normal(a_, 0, 1, nullptr); }},
        {"cast_forward", [this] { return mezzo_cast_forward(half_, a_); }},
        {"add_forward", [this] { return mezzo_add_forward(a_, b_, c_); }},
        {"scale_forward", [this] { return mezzo_scale_forward(a_, b_, 2, scale_); }},
        {"sum_forward", [this] { return mezzo_sum_forward(scalar_, a_); }},
        {"sum_backward", [this] { return mezzo_sum_backward(a_, scalar_); }},
        {"mean_forward", [this] { return mezzo_mean_forward(scalar_, a_); }},
        {"mean_backward", [this] { return mezzo_mean_backward(a_, scalar_); }},
        {"checksum", [this] { return mezzo_checksum(checksum_, a_); }},
        {"relu_forward", [this] { return mezzo_relu_forward(a_, b_); }},
        {"relu_backward", [this] { return mezzo_relu_backward(a_, b_, c_); }},
        {"linear_forward", [this] { return mezzo_linear_forward(a_, b_, c_, {}, nullptr); }},
        {"linear_backward",
         [this] { return mezzo_linear_backward(a_, b_, {}, {}, found_inf_, c_, d_, d_, {}, nullptr); }},
        {"mse_loss_forward", [this] { return mezzo_mse_loss_forward(scalar_, a_, b_, c_, scale_, nullptr); }},
        {"unscale", [this] { return unscale(); }},
        {"scale_update", [this] { return update(); }},
        {"adam_step", [this] { return adam(); }},
        {"sgd_step", [this] { return sgd(); }},
        {"lamb_step", [this] { return lamb(); }}};
};

/// Expects a call to fail for a cause, ": cuda:0 is lost since ...".
void expect_lost(mezzo_status status, const std::string &call, const std::string &cause) {
    EXPECT_EQ(status, MEZZO_STATUS_CONTEXT_LOST) << call;
    EXPECT_EQ(mezzo_last_error(), call + cause);
}

/// What a lost device still serves: asks nothing of it, or tidies up.
void expect_tidied_up(mezzo_tensor tensor) {
    const int64_t elements = 1;
    mezzo_tensor_info info{};
    mezzo_tensor view{};
    EXPECT_OK(mezzo_tensor_describe(&info, tensor));
    EXPECT_OK(mezzo_tensor_view(&view, tensor, 0, &elements, 1));
    EXPECT_OK(mezzo_tensor_destroy(view));
    EXPECT_OK(mezzo_graph_capture_abort(kFirst));
    int32_t count = 0;
    EXPECT_OK(mezzo_device_count(&count, MEZZO_DEVICE_TYPE_CUDA));
    EXPECT_EQ(count, 2);
}

/// Makes every call on a device in order, has it broken, and makes them again.
void expect_each_call_lost(const std::function<void()> &break_device, const std::string &error) {
    on_machine({.devices = 2}, [&] {
        const Calls calls;
        const TestTensor tensor = tensor_on(kFirst, {3});
        for (const Call &call : calls.all()) EXPECT_OK(call.make()) << call.name;
        break_device();
        EXPECT_EQ(mezzo_device_synchronize(kFirst), MEZZO_STATUS_CONTEXT_LOST);
        const std::string text = mezzo_last_error();
        const std::string cause = text.substr(text.find(':'));
        EXPECT_EQ(cause.find(": cuda:0 is lost since cuda"), 0u) << text;
        EXPECT_NE(cause.find(" answered " + error + ", "), std::string::npos) << text;
        for (const Call &call : calls.all()) expect_lost(call.make(), call.name, cause);
        expect_tidied_up(tensor);
        EXPECT_OK(mezzo_fill(tensor_on(kSecond, {3}), 2)); // the others are not concerned
    });
}

TEST(LostDevice, AfterATrap_AnswersEachCallWithTheCause) {
    expect_each_call_lost([] { launch_other(stream_of_device(), trap); }, "cudaErrorLaunchFailure");
}

#if !defined(__SANITIZE_ADDRESS__) // which ends the process at the write itself
// The simulated device sees it when the memory is given back, a GPU sooner or later.
TEST(LostDevice, AfterAWriteOutOfBounds_AnswersEachCallWithTheCause) {
    const auto write_behind = [] {
        TestTensor tensor = tensor_on(kFirst, {kMemoryAlignment}); // whose end is that of its memory
        std::byte *const end = TensorData(require_tensor(tensor, "tensor")).data + tensor.info().bytes;
        launch_other(stream_of_device(), write, reinterpret_cast<float *>(end));
        tensor.destroy();
        EXPECT_OK(mezzo_memory_trim(kFirst));
    };
    expect_each_call_lost(write_behind, "cudaErrorIllegalAddress");
}
#endif

// The fault is another stream's, since in a capture the device's own runs nothing.
TEST(LostDevice, InACapture_EndsIt) {
    on_machine({}, [] {
        const TestTensor x = tensor_on(kFirst, {4});
        ASSERT_OK(mezzo_graph_capture_begin(kFirst));
        EXPECT_OK(mezzo_relu_forward(x, x));
        cudaStream_t other = nullptr;
        EXPECT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
        launch_other(other, trap);
        EXPECT_EQ(cudaStreamSynchronize(other), cudaErrorLaunchFailure);
        EXPECT_EQ(mezzo_relu_forward(x, x), MEZZO_STATUS_CONTEXT_LOST);
        const std::string text = mezzo_last_error();
        const std::string cause = text.substr(text.find(':'));
        mezzo_graph graph{};
        expect_lost(mezzo_graph_capture_end(&graph, kFirst), "graph_capture_end", cause);
        EXPECT_EQ(graph.id, 0u);
        EXPECT_FAILS(mezzo_graph_capture_end(&graph, kFirst), CAPTURE_INVALID,
                     "graph_capture_end: no capture of cuda:0 is under way");
        EXPECT_OK(mezzo_graph_capture_abort(kFirst));
        expect_lost(mezzo_relu_forward(x, x), "relu_forward", cause);
    });
}

} // namespace
} // namespace mezzo::testing

#endif
