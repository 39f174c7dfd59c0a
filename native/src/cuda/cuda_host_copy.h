// SPDX-License-Identifier: MIT
#pragma once

#include "core/memory.h"
#include "cuda/cuda_device.h"

namespace mezzo {

/// Pinned host memory, which the GPU reads and writes by itself.
class PinnedMemory final : public MemorySource {
  public:
    PinnedMemory(const CudaDevice &device, int ordinal, std::shared_ptr<CudaStream> work)
        : device_(device), ordinal_(ordinal), work_(std::move(work)) {}

    void *allocate_block(int64_t bytes) override;
    void free_block(void *block, int64_t bytes) noexcept override;
    int64_t free_bytes() noexcept override;
    const char *lack() const noexcept override { return "the host cannot pin"; }

  private:
    const CudaDevice &device_;
    int ordinal_;
    std::shared_ptr<CudaStream> work_; // of the device
};

/// Copying on the device's second stream. The event is recorded on the work's stream first, so that the copying comes
/// after it, and on the second stream behind the copying. In a capture both become edges of the graph.
class CudaHostTransfer final : public HostTransfer {
  public:
    CudaHostTransfer(const CudaDevice &device, int ordinal);

    void begin(void *to, const void *from, int64_t bytes) override;
    void order_work_after() override;
    void finish() noexcept override;

  private:
    const CudaDevice &device_;
    int ordinal_;
    CudaEvent event_;
};

} // namespace mezzo
