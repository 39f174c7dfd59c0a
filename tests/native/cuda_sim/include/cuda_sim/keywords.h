// SPDX-License-Identifier: MIT
// CUDA's keywords, empty here. __shared__ is left out on purpose: shared memory is declared by MEZZO_SHARED
// (device/kernel.cuh), which the simulator can make fresh for each block.
#pragma once

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
