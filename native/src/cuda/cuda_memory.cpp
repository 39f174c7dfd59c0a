// SPDX-License-Identifier: MIT
#include "cuda/cuda_memory.h"

#include "cuda/check.h"

#include <cstdlib>
#include <string_view>

namespace mezzo {
namespace {

/// Whether MEZZO_POISON_MEMORY asks for fresh memory to be filled with NaN, which makes reading before writing show.
bool poison_is_asked_for() {
    const char *value = std::getenv("MEZZO_POISON_MEMORY");
    return value != nullptr && std::string_view(value) == "1";
}

} // namespace

CudaMemory::CudaMemory(const CudaDevice &device, int ordinal, std::shared_ptr<CudaStream> work)
    : device_(device),
      ordinal_(ordinal),
      work_(std::move(work)),
      memory_(ordinal),
      ranges_(device, ordinal, work_),
      poison_(poison_is_asked_for()) {}

void *CudaMemory::allocate_block(int64_t bytes) {
    device_.make_current();
    void *block = nullptr;
    const cudaError_t status = cudaMallocAsync(&block, static_cast<size_t>(bytes), memory_.get());
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return nullptr;
    }
    check_cuda(status, "cudaMallocAsync");
    memory_.synchronize();
    return block;
}

void CudaMemory::free_block(void *block, int64_t) noexcept {
    cudaSetDevice(ordinal_);
    work_->wait_unless_captured(); // the work that used the block may not have run yet
    cudaFreeAsync(block, memory_.get());
    cudaStreamSynchronize(memory_.get());
}

int64_t CudaMemory::free_bytes() noexcept {
    size_t free = 0;
    size_t total = 0;
    if (cudaSetDevice(ordinal_) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess) return -1;
    return static_cast<int64_t>(free);
}

void CudaMemory::on_use(void *block, int64_t, int64_t block_bytes, bool captured) noexcept {
    if (!poison_) return;
    cudaSetDevice(ordinal_);
    // The work that used the block before comes first, and another thread's capture must not record this.
    if (!captured) work_->wait_unless_captured();
    cudaMemsetAsync(block, 0xff, static_cast<size_t>(block_bytes), captured ? work_->get() : memory_.get());
    if (!captured) cudaStreamSynchronize(memory_.get());
}

} // namespace mezzo
