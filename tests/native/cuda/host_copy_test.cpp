// SPDX-License-Identifier: MIT
// Copies in host memory as CUDA has them: pinned, on a stream of their own, and lost with their device.
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

mezzo_host_copy copy_of(const TestTensor &tensor) {
    mezzo_host_copy copy{};
    EXPECT_OK(mezzo_host_copy_create(&copy, tensor));
    return copy;
}

TEST(CudaHostCopy, HasTheDeviceWaitAndNotTheHost) {
    on_machine(cuda_sim::machine_from_environment(), [] {
        const TestTensor tensor = tensor_on(kFirst, {100}), back = tensor_on(kFirst, {100});
        const auto round_trip = [&] {
            const mezzo_host_copy copy = copy_of(tensor);
            EXPECT_OK(mezzo_host_copy_wait(copy));
            EXPECT_OK(mezzo_host_copy_restore(back, copy));
            EXPECT_OK(mezzo_host_copy_wait(copy));
            EXPECT_OK(mezzo_host_copy_destroy(copy));
        };
        round_trip(); // which pins the memory
        EXPECT_OK(mezzo_fill(tensor, 3));
        cuda_sim::mark();
        round_trip();
        EXPECT_EQ(cuda_sim::counters().synchronizations, 0);
        EXPECT_EQ(cuda_sim::counters().copies_to_host, 1);
        EXPECT_EQ(cuda_sim::counters().allocations, 0);
        EXPECT_TRUE(is_identical(back.values(), std::vector<double>(100, 3)));
    });
}

TEST(CudaHostCopy, DeviceSynchronize_WaitsForTheCopyingToo) {
    on_machine(cuda_sim::machine_from_environment(), [] {
        const TestTensor tensor = tensor_on(kFirst, {4});
        for (int round = 0; round < 20; ++round) {
            EXPECT_OK(mezzo_fill(tensor, 3));
            const mezzo_host_copy copy = copy_of(tensor);
            EXPECT_OK(mezzo_device_synchronize(kFirst));
            EXPECT_EQ(cudaStreamQuery(cuda_device(require_device(kFirst)).copy_stream()), cudaSuccess);
            EXPECT_OK(mezzo_host_copy_destroy(copy));
        }
    });
}

TEST(CudaHostCopy, IntoATensorOfAnotherDevice_IsRejected) {
    on_machine({.devices = 2}, [] {
        const TestTensor first = tensor_on(kFirst, {3}), second = tensor_on(kSecond, {3});
        const TestTensor host = tensor_on({MEZZO_DEVICE_TYPE_CPU, 0}, {3});
        first.write({1, 2, 3});
        const mezzo_host_copy copy = copy_of(first);
        EXPECT_FAILS(mezzo_host_copy_restore(second, copy), DEVICE_MISMATCH,
                     "host_copy_restore: out_tensor is on cuda:1, expected cuda:0 as copy");
        EXPECT_FAILS(mezzo_host_copy_restore(host, copy), DEVICE_MISMATCH,
                     "host_copy_restore: out_tensor is on cpu, expected cuda:0 as copy");
        EXPECT_OK(mezzo_fill(second, 5)); // makes the other device current
        EXPECT_OK(mezzo_host_copy_wait(copy));
        EXPECT_OK(mezzo_fill(first, 0));
        EXPECT_OK(mezzo_host_copy_restore(first, copy));
        EXPECT_OK(mezzo_fill(second, 6));
        EXPECT_OK(mezzo_host_copy_wait(copy));
        EXPECT_TRUE(is_identical(first.values(), {1, 2, 3}));
        EXPECT_OK(mezzo_host_copy_destroy(copy));
    });
}

TEST(CudaHostCopy, WithoutMemoryToPin_SaysHowMuchWasAskedFor) {
    on_machine({}, [] {
        const TestTensor tensor = tensor_on(kFirst, {1000});
        EXPECT_OK(mezzo_fill(tensor, 2));
        cuda_sim::inject(cudaErrorMemoryAllocation, Call::kAllocation);
        mezzo_host_copy copy{};
        EXPECT_EQ(mezzo_host_copy_create(&copy, tensor), MEZZO_STATUS_OUT_OF_MEMORY);
        EXPECT_EQ(copy.id, 0u);
        const std::string text = mezzo_last_error();
        EXPECT_EQ(text.find("host_copy_create: 4032 bytes were asked for, which the host cannot pin; "), 0u) << text;
        EXPECT_NE(text.find(" are free, 0 are in use"), std::string::npos) << text;
        copy = copy_of(tensor); // goes on working
        EXPECT_OK(mezzo_host_copy_wait(copy));
        EXPECT_OK(mezzo_host_copy_destroy(copy));
    });
}

TEST(CudaHostCopy, OfALostDevice_LetsItselfBeDestroyed) {
    on_machine({}, [] {
        const TestTensor tensor = tensor_on(kFirst, {4});
        const mezzo_host_copy under_way = copy_of(tensor), waited_for = copy_of(tensor);
        EXPECT_OK(mezzo_host_copy_wait(waited_for));
        cuda_sim::inject(cudaErrorIllegalAddress, Call::kLaunch);
        EXPECT_EQ(mezzo_fill(tensor, 1), MEZZO_STATUS_CONTEXT_LOST);
        mezzo_host_copy copy{};
        EXPECT_EQ(mezzo_host_copy_create(&copy, tensor), MEZZO_STATUS_CONTEXT_LOST);
        EXPECT_EQ(mezzo_host_copy_wait(under_way), MEZZO_STATUS_CONTEXT_LOST);
        EXPECT_EQ(mezzo_host_copy_restore(tensor, under_way), MEZZO_STATUS_CONTEXT_LOST);
        EXPECT_OK(mezzo_host_copy_destroy(under_way));
        EXPECT_OK(mezzo_host_copy_destroy(waited_for));
    });
}

TEST(CudaHostCopy, LostInACapture_LetsItBeAborted) {
    on_machine({}, [] {
        const TestTensor tensor = tensor_on(kFirst, {4});
        ASSERT_OK(mezzo_graph_capture_begin(kFirst));
        const mezzo_host_copy copy = copy_of(tensor);
        cuda_sim::inject(cudaErrorIllegalAddress, Call::kLaunch);
        EXPECT_EQ(mezzo_fill(tensor, 1), MEZZO_STATUS_CONTEXT_LOST);
        EXPECT_EQ(mezzo_host_copy_wait(copy), MEZZO_STATUS_CONTEXT_LOST);
        mezzo_graph graph{};
        EXPECT_EQ(mezzo_graph_capture_end(&graph, kFirst), MEZZO_STATUS_CONTEXT_LOST);
        EXPECT_OK(mezzo_graph_capture_abort(kFirst));
        EXPECT_OK(mezzo_host_copy_destroy(copy));
    });
}

TEST(CudaHostCopy, InACaptureThatCudaBreaks_LetsItBeAborted) {
    on_machine({}, [] {
        const TestTensor tensor = tensor_on(kFirst, {4}), back = tensor_on(kFirst, {4});
        ASSERT_OK(mezzo_graph_capture_begin(kFirst));
        const mezzo_host_copy broken = copy_of(tensor);
        cuda_sim::inject(cudaErrorStreamCaptureInvalidated, Call::kLaunch);
        EXPECT_EQ(mezzo_relu_forward(back, tensor), MEZZO_STATUS_CAPTURE_INVALID);
        EXPECT_OK(mezzo_graph_capture_abort(kFirst));
        EXPECT_OK(mezzo_host_copy_destroy(broken));
        EXPECT_OK(mezzo_fill(tensor, 3)); // both streams work again
        const mezzo_host_copy copy = copy_of(tensor);
        EXPECT_OK(mezzo_host_copy_wait(copy));
        EXPECT_OK(mezzo_host_copy_restore(back, copy));
        EXPECT_OK(mezzo_host_copy_wait(copy));
        EXPECT_TRUE(is_identical(back.values(), {3, 3, 3, 3}));
        EXPECT_OK(mezzo_host_copy_destroy(copy));
    });
}

} // namespace
} // namespace mezzo::testing

#endif
