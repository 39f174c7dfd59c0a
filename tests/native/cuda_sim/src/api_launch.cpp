// SPDX-License-Identifier: MIT
// Launches of kernels, and what is asked about kernels.
#include "cuda_sim/launch.h"
#include "cuda_sim/runtime_api.h"

#include "block.h"
#include "runtime.h"

namespace mezzo::cuda_sim {
namespace {

bool is_legal(const dim3 &grid, const dim3 &block) {
    return grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.x <= 2147483647u && grid.y <= 65535 && grid.z <= 65535 &&
           block.x >= 1 && block.y >= 1 && block.z >= 1 && block.x <= 1024 && block.y <= 1024 && block.z <= 64 &&
           block.x * block.y * block.z <= static_cast<unsigned int>(kMaxThreads);
}

} // namespace

cudaError_t launch_kernel(const Kernel &kernel, dim3 grid, dim3 block_extent, size_t shared_bytes,
                          cudaStream_t handle) {
    return api_call([&](Runtime &runtime) {
        Stream *stream = runtime.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        const Device &current = runtime.current_device();
        if (stream->device != current.ordinal) return cudaErrorInvalidResourceHandle;
        cudaError_t error = refuse_on_legacy(runtime, *stream);
        if (error == cudaSuccess) error = take_injected(runtime, Call::kLaunch);
        if (error != cudaSuccess) return error;
        if (!is_legal(grid, block_extent)) return cudaErrorInvalidConfiguration;
        if (shared_bytes > current.dynamic_shared_limit(kernel.function)) return cudaErrorInvalidValue;
        if (stream->capture == nullptr) ++runtime.counters.kernels;
        const Grid launch = {
            kernel, grid, block_extent, shared_bytes, current.model.arch, current.model.shared_per_block_optin};
        return submit(runtime, *stream, {[launch](Device &) { return run_grid(launch); }});
    });
}

} // namespace mezzo::cuda_sim

using namespace mezzo::cuda_sim;

cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute attribute, int value) {
    return api_call([&](Runtime &runtime) {
        Device &device = runtime.current_device();
        if (function == nullptr) return cudaErrorInvalidDeviceFunction;
        if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
        if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0) return cudaErrorInvalidValue;
        if (static_cast<size_t>(value) > device.model.shared_per_block_optin) return cudaErrorInvalidValue;
        device.dynamic_shared_max[function] = value;
        return cudaSuccess;
    });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *function) {
    return api_call([&](Runtime &runtime) {
        if (function == nullptr) return cudaErrorInvalidDeviceFunction;
        const int arch = runtime.current_device().model.arch;
        const std::string &code = runtime.machine.code_arch;
        *attributes = {};
        attributes->binaryVersion = arch;
        attributes->ptxVersion = code.empty() ? arch : model_of(code).arch;
        return attributes->ptxVersion <= arch ? cudaSuccess : cudaErrorNoKernelImageForDevice;
    });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function, int block_threads,
                                                          size_t dynamic_shared_bytes) {
    return api_call([&](Runtime &runtime) {
        if (function == nullptr) return cudaErrorInvalidDeviceFunction;
        if (block_threads < 1 || block_threads > kMaxThreads) return cudaErrorInvalidValue;
        *blocks = runtime.current_device().blocks_per_processor(block_threads, dynamic_shared_bytes);
        return cudaSuccess;
    });
}
