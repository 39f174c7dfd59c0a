// SPDX-License-Identifier: MIT
#include "cuda/cuda_memory.h"

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

CudaMemory::CudaMemory(int ordinal, std::shared_ptr<CudaStream> work)
    : ordinal_(ordinal), work_(std::move(work)), memory_(ordinal), poison_(poison_is_asked_for()) {}

void *CudaMemory::allocate_block(int64_t bytes) noexcept {
    void *block = nullptr;
    if (cudaSetDevice(ordinal_) != cudaSuccess) return nullptr;
    if (cudaMallocAsync(&block, static_cast<size_t>(bytes), memory_.get()) != cudaSuccess ||
        cudaStreamSynchronize(memory_.get()) != cudaSuccess) {
        cudaGetLastError();
        return nullptr;
    }
    return block;
}

void CudaMemory::free_block(void *block, int64_t) noexcept {
    cudaSetDevice(ordinal_);
    // The work that used the block may not have run yet. While the work's stream is captured this is refused,
    // but nothing has been issued since the wait before the capture.
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    cudaStreamIsCapturing(work_->get(), &status);
    if (status == cudaStreamCaptureStatusNone) cudaStreamSynchronize(work_->get());
    cudaFreeAsync(block, memory_.get());
    cudaStreamSynchronize(memory_.get());
}

int64_t CudaMemory::free_bytes() noexcept {
    size_t free = 0;
    size_t total = 0;
    if (cudaSetDevice(ordinal_) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess) return -1;
    return static_cast<int64_t>(free);
}

void CudaMemory::on_use(void *block, int64_t, int64_t block_bytes) noexcept {
    if (!poison_) return;
    cudaSetDevice(ordinal_);
    cudaMemsetAsync(block, 0xff, static_cast<size_t>(block_bytes), work_->get());
}

} // namespace mezzo
