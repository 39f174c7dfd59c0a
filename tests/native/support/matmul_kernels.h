// SPDX-License-Identifier: MIT
// What tests of every matrix kernel are instantiated with.
#pragma once

#include "cuda/matmul.h"
#include "support/tensor.h"

#include <vector>

namespace mezzo::testing {

/// The kernels that the device of the test can run; none in the CPU's run.
inline std::vector<const MatmulKernel *> kernels_of_device() {
    std::vector<const MatmulKernel *> kernels;
    if (test_device().type != MEZZO_DEVICE_TYPE_CUDA) return kernels;
    const CudaMachine &machine = cuda_device(require_device(test_device())).machine();
    for (const MatmulKernel *kernel : matmul_kernels()) {
        if (runs_on(*kernel, machine)) kernels.push_back(kernel);
    }
    return kernels;
}

} // namespace mezzo::testing
