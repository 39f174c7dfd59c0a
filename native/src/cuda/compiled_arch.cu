// SPDX-License-Identifier: MIT
// Which compiled kernels run on the current device: those of its own architecture, of an older one that its binary
// code runs on, or such as the driver compiles from PTX. A build for few architectures may have less than the device
// can do, and instructions that were not compiled in are not to be chosen.
#include "cuda/cuda_device.h"

#include "cuda/check.h"
#include "device/kernel.cuh"

namespace mezzo {
namespace {

__global__ void compiled_arch_kernel() {}

} // namespace

int oldest_compiled_arch() {
#ifdef MEZZO_OLDEST_ARCH
    return MEZZO_OLDEST_ARCH; // not __CUDA_ARCH_LIST__, which has those of the PTX on the way
#else
    return 75; // the simulator has no code of its own for an architecture
#endif
}

int compiled_arch() {
    cudaFuncAttributes attributes{};
    const cudaError_t status = cudaFuncGetAttributes(&attributes, compiled_arch_kernel);
    if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction ||
        status == cudaErrorUnsupportedPtxVersion) {
        cudaGetLastError();
        return 0;
    }
    check_cuda(status, "cudaFuncGetAttributes");
    return attributes.ptxVersion;
}

} // namespace mezzo
