// SPDX-License-Identifier: MIT
#include "device.h"

#include <algorithm>
#include <cstdio>
#include <iterator>

namespace mezzo::cuda_sim {
namespace {

constexpr Model kModels[] = {
    {75, 65536, 65536, 1024, 16, 4 << 20},    {80, 167936, 166912, 2048, 32, 40 << 20},
    {86, 102400, 101376, 1536, 16, 6 << 20},  {87, 167936, 166912, 1536, 16, 4 << 20},
    {89, 102400, 101376, 1536, 24, 72 << 20}, {90, 233472, 232448, 2048, 32, 50 << 20},
};

// Reserved by the system for each block, from compute capability 8.0 on.
constexpr size_t kSystemSharedBytes = 1024;

} // namespace

Model model_of(const std::string &arch) {
    int major = 0;
    int minor = 0;
    std::sscanf(arch.c_str(), "%d.%d", &major, &minor);
    for (const Model &model : kModels) {
        if (model.arch == 10 * major + minor) return model;
    }
    // One that is older or newer than these has the limits of the last, under its own number.
    Model model = *std::rbegin(kModels);
    if (major > 0) model.arch = 10 * major + minor;
    return model;
}

cudaDeviceProp Device::properties() const {
    cudaDeviceProp properties{};
    std::snprintf(properties.name, sizeof properties.name, "Simulated CUDA device (sm_%d)", model.arch);
    properties.totalGlobalMem = arena.total_bytes();
    properties.sharedMemPerBlock = kSharedPerBlock;
    properties.regsPerBlock = kRegistersPerProcessor;
    properties.warpSize = 32;
    properties.maxThreadsPerBlock = 1024;
    properties.major = model.arch / 10;
    properties.minor = model.arch % 10;
    properties.multiProcessorCount = kProcessors;
    properties.l2CacheSize = model.l2_bytes;
    properties.maxThreadsPerMultiProcessor = model.threads_per_processor;
    properties.sharedMemPerMultiprocessor = model.shared_per_processor;
    properties.regsPerMultiprocessor = kRegistersPerProcessor;
    properties.sharedMemPerBlockOptin = model.shared_per_block_optin;
    return properties;
}

bool Device::attribute(cudaDeviceAttr attribute, int &value) const {
    const std::map<cudaDeviceAttr, int> values = {
        {cudaDevAttrMaxThreadsPerBlock, 1024},
        {cudaDevAttrMaxBlockDimX, 1024},
        {cudaDevAttrMaxBlockDimY, 1024},
        {cudaDevAttrMaxBlockDimZ, 64},
        {cudaDevAttrMaxGridDimX, 2147483647},
        {cudaDevAttrMaxGridDimY, 65535},
        {cudaDevAttrMaxGridDimZ, 65535},
        {cudaDevAttrMaxSharedMemoryPerBlock, static_cast<int>(kSharedPerBlock)},
        {cudaDevAttrWarpSize, 32},
        {cudaDevAttrMaxRegistersPerBlock, kRegistersPerProcessor},
        {cudaDevAttrClockRate, 1000000},
        {cudaDevAttrMultiProcessorCount, kProcessors},
        {cudaDevAttrIntegrated, 0},
        {cudaDevAttrComputeMode, cudaComputeModeDefault},
        {cudaDevAttrConcurrentKernels, 1},
        {cudaDevAttrMemoryClockRate, 1000000},
        {cudaDevAttrGlobalMemoryBusWidth, 1024},
        {cudaDevAttrL2CacheSize, model.l2_bytes},
        {cudaDevAttrMaxThreadsPerMultiProcessor, model.threads_per_processor},
        {cudaDevAttrAsyncEngineCount, 2},
        {cudaDevAttrUnifiedAddressing, 1},
        {cudaDevAttrComputeCapabilityMajor, model.arch / 10},
        {cudaDevAttrComputeCapabilityMinor, model.arch % 10},
        {cudaDevAttrMaxSharedMemoryPerMultiprocessor, static_cast<int>(model.shared_per_processor)},
        {cudaDevAttrMaxRegistersPerMultiprocessor, kRegistersPerProcessor},
        {cudaDevAttrManagedMemory, 0},
        {cudaDevAttrCooperativeLaunch, 0},
        {cudaDevAttrMaxSharedMemoryPerBlockOptin, static_cast<int>(model.shared_per_block_optin)},
        {cudaDevAttrMaxBlocksPerMultiprocessor, model.blocks_per_processor},
        {cudaDevAttrMemoryPoolsSupported, 1},
    };
    const auto entry = values.find(attribute);
    if (entry == values.end()) return false;
    value = entry->second;
    return true;
}

int Device::blocks_per_processor(int block_threads, size_t dynamic_shared_bytes) const {
    const int warps = (block_threads + 31) / 32;
    const size_t shared = dynamic_shared_bytes + (model.arch >= 80 ? kSystemSharedBytes : 0);
    int blocks = std::min(model.blocks_per_processor, model.threads_per_processor / (32 * warps));
    if (shared != 0) blocks = std::min(blocks, static_cast<int>(model.shared_per_processor / shared));
    return blocks;
}

size_t Device::dynamic_shared_limit(const void *function) const {
    const auto entry = dynamic_shared_max.find(function);
    return entry == dynamic_shared_max.end() ? kSharedPerBlock : static_cast<size_t>(entry->second);
}

} // namespace mezzo::cuda_sim
