// SPDX-License-Identifier: MIT
// Launches of kernels: the simulator's cudaLaunchKernel(), called by launch() of device/launch.cuh.
#pragma once

#include "cuda_sim/api_types.h"

#include <memory>
#include <tuple>

namespace mezzo::cuda_sim {

/// A kernel with its arguments, kept until it runs and, in a graph, as long as the graph.
struct Kernel {
    const void *function;
    std::shared_ptr<const void> arguments;
    void (*run_thread)(const void *arguments); // calls the kernel once, with copies of the arguments
};

cudaError_t launch_kernel(const Kernel &kernel, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream);

template <class... Params>
Kernel bind_kernel(void (*function)(Params...), Params... arguments) {
    struct BoundKernel {
        void (*function)(Params...);
        std::tuple<Params...> arguments;
    };
    return {reinterpret_cast<const void *>(function),
            std::make_shared<const BoundKernel>(BoundKernel{function, std::tuple<Params...>(arguments...)}),
            [](const void *call_pointer) {
                const auto &call = *static_cast<const BoundKernel *>(call_pointer);
                std::apply(call.function, call.arguments);
            }};
}

} // namespace mezzo::cuda_sim
