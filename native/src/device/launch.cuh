// SPDX-License-Identifier: MIT
// launch(): the one way to start a kernel, the same for CUDA and for the simulated device.
#pragma once

#include "cuda/check.h"
#include "device/kernel.cuh"

#if defined(MEZZO_CUDA_SIM)
#include "cuda_sim/launch.h"
#endif

namespace mezzo {
namespace launch_detail {

template <class... Params>
cudaError_t start(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                  std::type_identity_t<Params>... arguments) {
#if defined(MEZZO_CUDA_SIM)
    return cuda_sim::launch_kernel(cuda_sim::bind_kernel(kernel, arguments...), grid, block, shared_bytes, stream);
#else
    // One more element, because an array cannot be empty.
    void *pointers[] = {const_cast<void *>(static_cast<const void *>(&arguments))..., nullptr};
    return cudaLaunchKernel(reinterpret_cast<const void *>(kernel), grid, block, pointers, shared_bytes, stream);
#endif
}

} // namespace launch_detail

/// Launches `kernel` with the arguments converted to its parameters; throws when the launch is refused. Inside a
/// capture the launch is recorded.
template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            Args &&...arguments) {
    static_assert((std::is_trivially_copyable_v<Params> && ...), "a kernel's parameters are copied as bytes");
    static_assert(sizeof...(Params) == sizeof...(Args));
    if (shared_bytes > kPlainSharedBytes) {
        check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                        cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
                   "cudaFuncSetAttribute");
    }
    check_cuda(launch_detail::start(kernel, grid, block, shared_bytes, stream, std::forward<Args>(arguments)...),
               "cudaLaunchKernel");
}

} // namespace mezzo
