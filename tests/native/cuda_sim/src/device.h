// SPDX-License-Identifier: MIT
// A simulated device: what it is like, its memory, its legacy stream and what became of it.
#pragma once

#include "arena.h"
#include "stream.h"

#include "cuda_sim/api_types.h"

#include <map>
#include <set>
#include <string>

namespace mezzo::cuda_sim {

/// Limits that follow from the compute capability.
/// Source: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
struct Model {
    int arch; // as in 90
    size_t shared_per_processor;
    size_t shared_per_block_optin;
    int threads_per_processor;
    int blocks_per_processor;
    int l2_bytes;
};

/// The model of a compute capability like "9.0"; that of 9.0 when it is not known.
Model model_of(const std::string &arch);

// Few, so that grids sized by the number of processors still make each block do several tiles.
inline constexpr int kProcessors = 8;
inline constexpr size_t kSharedPerBlock = size_t{48} * 1024;
inline constexpr int kRegistersPerProcessor = 65536;

struct Device {
    Device(int device_ordinal, const Model &device_model, size_t memory)
        : ordinal(device_ordinal), model(device_model), arena(memory), legacy_stream(device_ordinal, true) {}

    int ordinal;
    Model model;
    Arena arena;
    Stream legacy_stream;
    bool has_context = false;
    cudaError_t fault = cudaSuccess;                // sticks: every later call answers it
    std::set<int> peers;                            // devices whose memory its kernels may use
    std::map<const void *, int> dynamic_shared_max; // by kernel, as set by cudaFuncSetAttribute()

    cudaDeviceProp properties() const;
    /// False when the attribute is not known.
    bool attribute(cudaDeviceAttr attribute, int &value) const;
    int blocks_per_processor(int block_threads, size_t dynamic_shared_bytes) const;
    size_t dynamic_shared_limit(const void *function) const;
};

} // namespace mezzo::cuda_sim
