// SPDX-License-Identifier: MIT
// The CUDA device on machines that a test can only have simulated: none, old, small, broken.
#if defined(MEZZO_CUDA_SIM)

#include "cuda/cuda_device.h"

#include <mezzo/ops.h>

#include "support/machine.h"
#include "support/oracle.h"
#include "support/status.h"

#include <string>

namespace mezzo::testing {
namespace {

using cuda_sim::Call;
using cuda_sim::Machine;

std::string missing_reason() {
    const char *reason = nullptr;
    EXPECT_OK(mezzo_device_missing_reason(&reason, MEZZO_DEVICE_TYPE_CUDA));
    return reason;
}

int32_t device_count() {
    int32_t count = -1;
    EXPECT_OK(mezzo_device_count(&count, MEZZO_DEVICE_TYPE_CUDA));
    return count;
}

/// What a search finds on a machine, as "count: reason". The process's own devices are of no use afterwards.
void expect_search(const Machine &machine, const std::string &expected) {
    on_machine({}, [&] {
        cuda_sim::configure(machine);
        const DeviceSearch found = find_cuda_devices();
        EXPECT_EQ(std::to_string(found.devices.size()) + ": " + found.missing_reason, expected);
    });
}

TEST(CudaDevice, WithoutADriver_IsMissingAndSaysSo) {
    expect_search({.driver = 0}, "0: no NVIDIA driver is installed (libcuda.so.1 was not found)");
}

TEST(CudaDevice, WithAnOldDriver_NamesBothVersions) {
    expect_search({.driver = 11080}, "0: the NVIDIA driver is too old: it serves CUDA 11.8, expected 12.0 or newer");
}

TEST(CudaDevice, WithoutAGpu_IsMissingAndSaysSo) {
    expect_search({.devices = 0}, "0: the NVIDIA driver sees no GPU");
}

TEST(CudaDevice, OfAnOldArchitecture_IsNamedWithWhatIsExpected) {
    expect_search({.arch = "6.1"},
                  "0: GPU 0: Simulated CUDA device (sm_61) has compute capability 6.1, expected 7.5 or newer");
}

TEST(CudaDevice, ThatTheBuildHasNoKernelsFor_DoesNotOpenAndSaysSo) {
    on_machine({}, [] {
        cuda_sim::configure({.arch = "7.5", .code_arch = "8.0"});
        const DeviceSearch found = find_cuda_devices();
        ASSERT_EQ(found.devices.size(), 1u);
        try {
            found.devices[0]();
            FAIL() << "the device opened";
        } catch (const Error &error) {
            EXPECT_EQ(error.status(), MEZZO_STATUS_DEVICE_UNAVAILABLE);
            EXPECT_STREQ(error.what(),
                         "cuda:0 cannot be opened: Simulated CUDA device (sm_75) has compute capability 7.5, for which "
                         "this build of libmezzo has no kernels");
        }
    });
}

TEST(CudaDevice, ThatIsOnlyCounted_IsNotOpened) {
    on_machine({.devices = 3}, [] {
        cuda_sim::mark();
        EXPECT_EQ(device_count(), 3);
        EXPECT_EQ(cuda_sim::counters().contexts, 0);
        EXPECT_OK(mezzo_fill(tensor_on(kSecond, {3}), 2));
        EXPECT_EQ(cuda_sim::counters().contexts, 1);
        EXPECT_OK(mezzo_fill(tensor_on(kSecond, {3}), 2));
        EXPECT_EQ(cuda_sim::counters().contexts, 1);
        EXPECT_OK(mezzo_fill(tensor_on({MEZZO_DEVICE_TYPE_CUDA, 2}, {3}), 2));
        EXPECT_EQ(cuda_sim::counters().contexts, 2);
    });
}

TEST(CudaDevice, BesideOneThatCannotBeUsed_IsTheFirst) {
    expect_search({.devices = 2, .arch = "6.1,9.0"}, "1: ");
    on_machine({.devices = 3, .arch = "6.1,8.6,9.0"}, [] {
        EXPECT_EQ(device_count(), 2);
        EXPECT_EQ(missing_reason(), "");
        const char *name = nullptr;
        EXPECT_OK(mezzo_device_name(&name, kFirst));
        EXPECT_STREQ(name, "Simulated CUDA device (sm_86)");
        const TestTensor tensor = tensor_on(kSecond, {3});
        mezzo_tensor_info info{};
        EXPECT_OK(mezzo_tensor_describe(&info, tensor));
        EXPECT_EQ(info.device.index, 1);
        EXPECT_OK(mezzo_fill(tensor, 2)); // on the third GPU, where its memory is
        EXPECT_TRUE(is_identical(tensor.values(), {2, 2, 2}));
    });
}

TEST(CudaDevice, AFaultAsItOpens_IsNotAnothersLoss) {
    on_machine({.devices = 2}, [] {
        EXPECT_OK(mezzo_fill(tensor_on(kFirst, {3}), 2));
        cuda_sim::inject(cudaErrorECCUncorrectable, Call::kContext);
        mezzo_tensor tensor{};
        EXPECT_FAILS(mezzo_tensor_create(&tensor, kSecond, MEZZO_DTYPE_F32, nullptr, 0), DEVICE_UNAVAILABLE,
                     "tensor_create: cuda:1 cannot be opened: cudaSetDevice answered cudaErrorECCUncorrectable, "
                     "uncorrectable ECC error encountered");
        EXPECT_OK(mezzo_fill(tensor_on(kFirst, {3}), 2));
    });
}

TEST(CudaDevice, AFaultThatAnAllocationSees_LosesTheDevice) {
    on_machine({}, [] {
        cuda_sim::inject(cudaErrorIllegalAddress, Call::kAllocation);
        mezzo_tensor tensor{};
        const int64_t elements = 12345;
        EXPECT_EQ(mezzo_tensor_create(&tensor, kFirst, MEZZO_DTYPE_F32, &elements, 1), MEZZO_STATUS_CONTEXT_LOST);
        EXPECT_EQ(mezzo_device_synchronize(kFirst), MEZZO_STATUS_CONTEXT_LOST);
    });
}

TEST(CudaDevice, LostInACapture_LetsItBeAborted) {
    on_machine({}, [] {
        const TestTensor x = tensor_on(kFirst, {4});
        ASSERT_OK(mezzo_graph_capture_begin(kFirst));
        cuda_sim::inject(cudaErrorIllegalAddress, Call::kLaunch);
        EXPECT_EQ(mezzo_relu_forward(x, x), MEZZO_STATUS_CONTEXT_LOST);
        mezzo_graph graph{};
        EXPECT_EQ(mezzo_graph_capture_end(&graph, kFirst), MEZZO_STATUS_CONTEXT_LOST);
        EXPECT_OK(mezzo_graph_capture_abort(kFirst));
    });
}

TEST(CudaDevice, ACaptureThatCudaBreaks_IsInvalid) {
    on_machine({}, [] {
        const TestTensor x = tensor_on(kFirst, {4});
        ASSERT_OK(mezzo_graph_capture_begin(kFirst));
        cuda_sim::inject(cudaErrorStreamCaptureInvalidated, Call::kLaunch);
        EXPECT_EQ(mezzo_relu_forward(x, x), MEZZO_STATUS_CAPTURE_INVALID);
        EXPECT_OK(mezzo_graph_capture_abort(kFirst));
        EXPECT_OK(mezzo_relu_forward(x, x));
    });
}

TEST(CudaDevice, OfABadOrdinal_SaysWhichThereAre) {
    on_machine({.devices = 2}, [] {
        EXPECT_EQ(device_count(), 2);
        EXPECT_EQ(missing_reason(), "");
        mezzo_tensor tensor{};
        EXPECT_FAILS(mezzo_tensor_create(&tensor, {MEZZO_DEVICE_TYPE_CUDA, 2}, MEZZO_DTYPE_F32, nullptr, 0),
                     DEVICE_UNAVAILABLE,
                     "tensor_create: there is no device cuda:2: indices of this kind go from 0 to 1");
    });
}

TEST(CudaDevice, TensorsOfTwoDevices_DoNotMixButCopy) {
    on_machine({.devices = 2}, [] {
        const TestTensor first = tensor_on(kFirst, {3});
        const TestTensor second = tensor_on(kSecond, {3});
        first.write({1, -2, 3});
        EXPECT_FAILS(mezzo_relu_forward(second, first), DEVICE_MISMATCH,
                     "relu_forward: out is on cuda:1, expected cuda:0 as input");
        EXPECT_OK(mezzo_tensor_copy(second, first));
        EXPECT_OK(mezzo_relu_forward(second, second));
        EXPECT_TRUE(is_identical(second.values(), {1, 0, 3}));
        EXPECT_TRUE(is_identical(first.values(), {1, -2, 3}));
    });
}

TEST(CudaDevice, OutOfMemory_NamesBytesFreeInUseAndTheLargest) {
    on_machine({.memory = size_t{64} << 20}, [] {
        const TestTensor large = tensor_on(kFirst, {8, 1 << 20}); // 32 MiB
        const TestTensor small_a = tensor_on(kFirst, {1 << 20});
        const TestTensor small_b = tensor_on(kFirst, {1 << 20});
        mezzo_tensor tensor{};
        const int64_t elements = 16 << 20;
        EXPECT_EQ(mezzo_tensor_create(&tensor, kFirst, MEZZO_DTYPE_F32, &elements, 1), MEZZO_STATUS_OUT_OF_MEMORY);
        const std::string text = mezzo_last_error();
        EXPECT_EQ(text.find("tensor_create: 67108864 bytes were asked for, which the device does not have; "), 0u)
            << text;
        EXPECT_NE(
            text.find(" are free, 41943040 are in use; the largest tensors are f32[8,1048576] x 1 (33554432 bytes), "
                      "f32[1048576] x 2 (8388608 bytes)"),
            std::string::npos)
            << text;
        EXPECT_OK(mezzo_fill(large, 1)); // the device goes on working
        EXPECT_EQ(large.values().back(), 1);
    });
}

TEST(CudaDevice, MemoryAvailable_IsThatOfTheGpuAndOfTheCache) {
    constexpr int64_t kTotal = int64_t{64} << 20, kTensor = int64_t{4} << 20;
    on_machine({.memory = size_t{kTotal}}, [&] {
        const auto available = [] {
            int64_t bytes = -1;
            EXPECT_OK(mezzo_memory_available(&bytes, kFirst));
            return bytes;
        };
        EXPECT_EQ(available(), kTotal);
        {
            const TestTensor tensor = tensor_on(kFirst, {kTensor / 4});
            EXPECT_EQ(available(), kTotal - kTensor);
            ASSERT_OK(mezzo_memory_limit_set(kFirst, 3 * kTensor));
            EXPECT_EQ(available(), 2 * kTensor);
            ASSERT_OK(mezzo_memory_limit_set(kFirst, 2 * kTotal));
            EXPECT_EQ(available(), kTotal - kTensor) << "no more than the GPU has";
        }
        EXPECT_EQ(available(), kTotal) << "with what is cached";
        ASSERT_OK(mezzo_memory_trim(kFirst));
        EXPECT_EQ(available(), kTotal);
    });
}

// For the partial sums of a product whose k is split, and for a graph.
TEST(CudaDevice, OutOfMemory_InAnOp_NamesTheLargestToo) {
    on_machine({.memory = size_t{64} << 20}, [] {
        const TestTensor rows = tensor_on(kFirst, {2000, 150});
        const TestTensor weight = tensor_on(kFirst, {150, 150});
        const TestTensor out = tensor_on(kFirst, {150, 150});
        for (const TestTensor *tensor : {&rows, &weight}) EXPECT_OK(mezzo_fill(*tensor, 1));
        const std::string large = "the largest tensors are f32[2000,150] x 1 (1200000 bytes), f32[150,150] x 2 (";
        const auto backward = [&] {
            return mezzo_linear_backward({}, out, {}, {}, {}, rows, rows, weight, {}, nullptr);
        };
        mezzo_memory_stats stats{};
        ASSERT_OK(mezzo_memory_stats_get(&stats, kFirst));
        ASSERT_OK(mezzo_memory_limit_set(kFirst, stats.current_bytes + 64));
        EXPECT_EQ(backward(), MEZZO_STATUS_OUT_OF_MEMORY);
        std::string text = mezzo_last_error();
        EXPECT_EQ(text.find("linear_backward: "), 0u) << text;
        EXPECT_NE(text.find(" bytes were asked for, "), std::string::npos) << text;
        EXPECT_NE(text.find(large), std::string::npos) << text;
        ASSERT_OK(mezzo_memory_limit_set(kFirst, 0));
        EXPECT_OK(backward());

        ASSERT_OK(mezzo_graph_capture_begin(kFirst));
        EXPECT_OK(mezzo_fill(out, 2));
        cuda_sim::inject(cudaErrorMemoryAllocation, Call::kAllocation);
        mezzo_graph graph{};
        EXPECT_EQ(mezzo_graph_capture_end(&graph, kFirst), MEZZO_STATUS_OUT_OF_MEMORY);
        text = mezzo_last_error();
        EXPECT_EQ(text.find("graph_capture_end: cudaGraphInstantiate found no memory for the captured ops; "), 0u)
            << text;
        EXPECT_NE(text.find(" are in use; " + large), std::string::npos) << text;
        EXPECT_OK(mezzo_fill(out, 2));
    });
}

TEST(CudaDevice, AKernelsFault_LosesTheDeviceForGoodAndNamesTheFirstCause) {
    on_machine({.devices = 2}, [] {
        const TestTensor lost = tensor_on(kFirst, {4});
        const TestTensor other = tensor_on(kSecond, {4});
        const TestTensor host = tensor_on({MEZZO_DEVICE_TYPE_CPU, 0}, {4});
        host.write({1, 2, 3, 4});
        cuda_sim::inject(cudaErrorIllegalAddress, Call::kLaunch);
        EXPECT_EQ(mezzo_fill(lost, 1), MEZZO_STATUS_CONTEXT_LOST);
        const std::string cause = mezzo_last_error();
        EXPECT_EQ(cause.find("fill: cuda:0 is lost since cudaLaunchKernel answered cudaErrorIllegalAddress, "), 0u)
            << cause;
        float data[4] = {};
        const auto expect_lost = [&](mezzo_status status, const std::string &call) {
            EXPECT_EQ(status, MEZZO_STATUS_CONTEXT_LOST);
            EXPECT_EQ(mezzo_last_error(), call + cause.substr(cause.find(':')));
        };
        expect_lost(mezzo_relu_forward(lost, lost), "relu_forward");
        expect_lost(mezzo_tensor_read(data, lost, sizeof(data)), "tensor_read");
        expect_lost(mezzo_device_synchronize(kFirst), "device_synchronize");
        expect_lost(mezzo_graph_capture_begin(kFirst), "graph_capture_begin");
        EXPECT_OK(mezzo_relu_forward(host, host)); // the CPU is not concerned
        EXPECT_TRUE(is_identical(host.values(), {1, 2, 3, 4}));
    });
}

TEST(CudaDevice, AFaultSeenLate_LosesTheDevice) {
    on_machine({}, [] {
        const TestTensor tensor = tensor_on(kFirst, {4});
        EXPECT_OK(mezzo_fill(tensor, 1));
        cuda_sim::inject(cudaErrorLaunchFailure, Call::kSynchronization);
        EXPECT_EQ(mezzo_device_synchronize(kFirst), MEZZO_STATUS_CONTEXT_LOST);
        EXPECT_EQ(mezzo_fill(tensor, 1), MEZZO_STATUS_CONTEXT_LOST);
    });
}

TEST(CudaDevice, ARefusedLaunch_IsAnErrorOfThatCallAlone) {
    on_machine({}, [] {
        const TestTensor tensor = tensor_on(kFirst, {4});
        cuda_sim::inject(cudaErrorInvalidConfiguration, Call::kLaunch);
        EXPECT_EQ(mezzo_fill(tensor, 1), MEZZO_STATUS_INTERNAL);
        EXPECT_OK(mezzo_fill(tensor, 2));
        EXPECT_TRUE(is_identical(tensor.values(), {2, 2, 2, 2}));
    });
}

TEST(CudaDevice, ALaunchThatFailsInACapture_FailsTheOpAndTheCaptureCanBeAborted) {
    on_machine({}, [] {
        const TestTensor x = tensor_on(kFirst, {4});
        x.write({1, -2, 3, -4});
        ASSERT_OK(mezzo_graph_capture_begin(kFirst));
        cuda_sim::inject(cudaErrorInvalidConfiguration, Call::kLaunch);
        EXPECT_EQ(mezzo_relu_forward(x, x), MEZZO_STATUS_INTERNAL);
        EXPECT_OK(mezzo_graph_capture_abort(kFirst));
        EXPECT_OK(mezzo_relu_forward(x, x));
        EXPECT_TRUE(is_identical(x.values(), {1, 0, 3, 0}));
    });
}

} // namespace
} // namespace mezzo::testing

#endif
