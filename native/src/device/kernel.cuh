// SPDX-License-Identifier: MIT
// What every kernel file includes. The same source is compiled by nvcc and, against the headers of
// tests/native/cuda_sim, as ordinary C++ for a simulated device.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#if defined(MEZZO_CUDA_SIM)
#include "cuda_sim/shared.h"
#endif

namespace mezzo {

inline constexpr int kWarpSize = 32;
inline constexpr unsigned kFullMask = 0xffffffffu;

/// Bytes of dynamic shared memory that a launch may ask for without further ado.
inline constexpr size_t kPlainSharedBytes = size_t{48} * 1024;

#if defined(__CUDACC__) || defined(MEZZO_CUDA_SIM)
/// Sets a flag to 1 when `condition` holds in any thread of the grid, else leaves it as it is. All threads of a warp
/// come here together. A plain store: every writer writes the same.
__device__ __forceinline__ void report_any(float *flag, bool condition) {
    if (__any_sync(kFullMask, condition) != 0 && threadIdx.x % kWarpSize == 0) *flag = 1.0F;
}
#endif

} // namespace mezzo

// Shared memory is declared by these two and never by the keyword, so that the simulator can give each block its own:
//
//     MEZZO_SHARED(float[32], partial_sums);        // float (&partial_sums)[32], not initialised
//     MEZZO_DYNAMIC_SHARED(float, tile);            // float *tile, as many bytes as the launch says
//
// A type with a comma in it needs an alias. Static arrays are aligned to their type and no further.
#if defined(MEZZO_CUDA_SIM)
#define MEZZO_SHARED(type, name) \
    std::type_identity_t<type> &name = ::mezzo::cuda_sim::shared<std::type_identity_t<type>>([] {})
#define MEZZO_DYNAMIC_SHARED(type, name) \
    type *const name = static_cast<type *>(::mezzo::cuda_sim::dynamic_shared_storage())
#else
#define MEZZO_SHARED(type, name) __shared__ std::type_identity_t<type> name
#define MEZZO_DYNAMIC_SHARED(type, name)                                   \
    extern __shared__ __align__(128) unsigned char mezzo_dynamic_shared[]; \
    type *const name = reinterpret_cast<type *>(mezzo_dynamic_shared)
#endif
