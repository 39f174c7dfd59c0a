// SPDX-License-Identifier: MIT
// Errors of the CUDA runtime.
#pragma once

#include <cuda_runtime_api.h>

namespace mezzo {

/// Throws unless a call of the runtime has succeeded; `call` is its name. A failure that the device does not
/// recover from, such as a fault in a kernel, makes the current device answer CONTEXT_LOST from then on.
void check_cuda(cudaError_t status, const char *call);

} // namespace mezzo
