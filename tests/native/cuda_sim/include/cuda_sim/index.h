// SPDX-License-Identifier: MIT
// The built-in variables of device code. The scheduler writes them whenever it turns to another thread; only one
// simulated thread runs at a time, so plain variables serve. Kernels only read them: nvcc refuses the rest.
#pragma once

#include "cuda_sim/vector_types.h"

extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
