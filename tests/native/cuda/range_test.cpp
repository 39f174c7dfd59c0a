// SPDX-License-Identifier: MIT
// The memory of graphs on CUDA devices: behind one range of addresses, and on machines that have no such thing.
#if defined(MEZZO_CUDA_SIM)

#include <mezzo/ops.h>

#include "support/graph.h"
#include "support/machine.h"
#include "support/status.h"

#include <cuda_runtime_api.h>

#include <string>
#include <vector>

namespace mezzo::testing {
namespace {

using cuda_sim::Call;

constexpr int64_t kMegabyte = 1 << 20;

size_t free_bytes() {
    size_t free = 0;
    size_t total = 0;
    EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    return free;
}

mezzo_status create_bytes(mezzo_tensor &tensor, int64_t bytes) {
    return mezzo_tensor_create(&tensor, kFirst, MEZZO_DTYPE_U8, &bytes, 1);
}

/// Bytes of a graph whose tensors are a, b, both freed, and their sum; x is doubled twice by way of them.
int64_t capture_neighbours(const TestTensor &out, const TestTensor &x) {
    const TestGraph graph(
        [&] {
            {
                TestTensor first = tensor_on(kFirst, {1000}), second = tensor_on(kFirst, {3000}),
                           last = tensor_on(kFirst, {8});
                EXPECT_OK(mezzo_add_forward(first, x, x));
                const TestTensor part = second.view(500, {1000});
                EXPECT_OK(mezzo_add_forward(part, first, first));
                first.destroy();
                EXPECT_OK(mezzo_add_forward(out, part, x));
            }
            const TestTensor sum = tensor_on(kFirst, {4000});
            EXPECT_OK(mezzo_fill(sum, 1));
            EXPECT_OK(mezzo_add_forward(out, out, sum.view(3000, {1000})));
        },
        kFirst);
    for (int launch = 0; launch < 2; ++launch) {
        EXPECT_OK(mezzo_fill(out, 0));
        graph.launch();
        EXPECT_EQ(out.values(), std::vector<double>(1000, 16));
    }
    return graph.info().memory_bytes;
}

TEST(CudaRange, WithoutVirtualMemory_GraphsHaveBlocks) {
    static constexpr int64_t kBlocks = 4032 + 12032 + 64; // rounded up to 64
    on_machine({}, [] {
        const TestTensor x(MEZZO_DTYPE_F32, {1000}, std::vector<double>(1000, 3)), out = tensor_on(kFirst, {1000});
        EXPECT_EQ(capture_neighbours(out, x), kBlocks);
    });
    on_machine({.virtual_memory = false}, [] {
        const TestTensor x(MEZZO_DTYPE_F32, {1000}, std::vector<double>(1000, 3)), out = tensor_on(kFirst, {1000});
        EXPECT_EQ(capture_neighbours(out, x), kBlocks + 16000) << "a block for the sum, too";
    });
}

TEST(CudaRange, CapturesOfChangingSizes_LeakNeitherMemoryNorAddresses) {
    for (const bool has_ranges : {true, false}) {
        on_machine({.memory = size_t{64} << 20, .virtual_memory = has_ranges}, [] {
            const TestTensor x = tensor_on(kFirst, {16});
            EXPECT_OK(mezzo_fill(x, 1));
            EXPECT_OK(mezzo_device_synchronize(kFirst));
            const size_t before = free_bytes();
            for (int64_t i = 0; i < 200; ++i) {
                EXPECT_OK(mezzo_graph_capture_begin(kFirst));
                mezzo_tensor large{}, kept{};
                EXPECT_OK(create_bytes(large, 40 * kMegabyte + 4096 * i)); // one at a time has room
                EXPECT_OK(create_bytes(kept, 4096));
                EXPECT_OK(mezzo_fill(kept, 1));
                EXPECT_OK(mezzo_tensor_destroy(large));
                if (i % 4 == 0) {
                    EXPECT_OK(mezzo_graph_capture_abort(kFirst));
                } else {
                    mezzo_graph graph{};
                    EXPECT_OK(mezzo_graph_capture_end(&graph, kFirst));
                    EXPECT_OK(mezzo_graph_launch(graph));
                    EXPECT_OK(mezzo_graph_destroy(graph));
                }
                EXPECT_GE(free_bytes(), before - (size_t{2} << 20)) << "the large one is gone";
                EXPECT_OK(mezzo_tensor_destroy(kept));
                if (::testing::Test::HasFailure()) return;
            }
            EXPECT_OK(mezzo_memory_trim(kFirst));
            EXPECT_EQ(free_bytes(), before);
        });
    }
}

TEST(CudaRange, WithoutMemory_ACaptureFails_AndTheNextOneSucceeds) {
    for (const bool has_ranges : {true, false}) {
        on_machine({.memory = size_t{64} << 20, .virtual_memory = has_ranges}, [] {
            mezzo_tensor tensor{};
            EXPECT_OK(mezzo_graph_capture_begin(kFirst));
            const TestTensor small = tensor_on(kFirst, {16});
            EXPECT_OK(mezzo_fill(small, 1));
            EXPECT_EQ(create_bytes(tensor, 64 * kMegabyte), MEZZO_STATUS_OUT_OF_MEMORY);
            const std::string text = mezzo_last_error();
            EXPECT_EQ(text.find("tensor_create: 67108864 bytes were asked for, which the device does not have; "), 0u)
                << text;
            EXPECT_NE(text.find(" are free, 64 are in use; "), std::string::npos) << text;
            EXPECT_OK(mezzo_graph_capture_abort(kFirst));

            // What steps that ran op by op have left makes room.
            EXPECT_OK(create_bytes(tensor, 36 * kMegabyte));
            EXPECT_OK(mezzo_tensor_destroy(tensor));
            EXPECT_OK(mezzo_graph_capture_begin(kFirst));
            EXPECT_OK(create_bytes(tensor, 35 * kMegabyte));
            EXPECT_OK(mezzo_fill(tensor, 1));
            EXPECT_OK(mezzo_tensor_destroy(tensor));
            mezzo_graph graph{};
            EXPECT_OK(mezzo_graph_capture_end(&graph, kFirst));
            EXPECT_OK(mezzo_graph_launch(graph));
            EXPECT_OK(mezzo_graph_destroy(graph));
        });
    }
}

TEST(CudaRange, WhatTheDriverRefuses_IsAnError) {
    on_machine({}, [] {
        mezzo_tensor tensor{};
        EXPECT_OK(mezzo_graph_capture_begin(kFirst));
        cuda_sim::inject(cudaErrorNotPermitted, Call::kAllocation);
        EXPECT_FAILS(create_bytes(tensor, 64), INTERNAL,
                     "tensor_create: cuMemCreate answered cudaErrorNotPermitted, operation not permitted");
        EXPECT_OK(create_bytes(tensor, 64));
        EXPECT_OK(mezzo_tensor_destroy(tensor));
        EXPECT_OK(mezzo_graph_capture_abort(kFirst));
    });
}

} // namespace
} // namespace mezzo::testing

#endif
