// SPDX-License-Identifier: MIT
#pragma once

#include "core/memory.h"
#include "cuda/cuda_device.h"
#include "cuda/cuda_range.h"

namespace mezzo {

/// Blocks from CUDA's stream-ordered pool. They are asked for on a stream of their own, so that a capture of the
/// work's stream does not record it; the allocator keeps blocks, so it happens rarely. Graphs have ranges of addresses.
class CudaMemory final : public MemorySource {
  public:
    CudaMemory(const CudaDevice &device, int ordinal, std::shared_ptr<CudaStream> work);

    void *allocate_block(int64_t bytes) override;
    void free_block(void *block, int64_t bytes) noexcept override;
    std::unique_ptr<MemoryRange> reserve_range() override { return ranges_.reserve(); }
    int64_t free_bytes() noexcept override;
    void on_use(void *block, int64_t bytes, int64_t block_bytes, bool captured) noexcept override;

  private:
    const CudaDevice &device_;
    int ordinal_;
    std::shared_ptr<CudaStream> work_; // of the device
    CudaStream memory_;
    CudaRanges ranges_;
    bool poison_;
};

} // namespace mezzo
