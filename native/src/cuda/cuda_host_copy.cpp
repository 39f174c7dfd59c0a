// SPDX-License-Identifier: MIT
#include "cuda/cuda_host_copy.h"

#include "core/system_memory.h"
#include "cuda/check.h"

namespace mezzo {

void *PinnedMemory::allocate_block(int64_t bytes) {
    // What is pinned cannot be paged out: more than is there would have the system end programs.
    const int64_t available = available_system_memory();
    if (available >= 0 && bytes > available) return nullptr;
    device_.make_current();
    void *block = nullptr;
    const cudaError_t status = cudaMallocHost(&block, static_cast<size_t>(bytes));
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return nullptr;
    }
    check_cuda(status, "cudaMallocHost");
    return block;
}

void PinnedMemory::free_block(void *block, int64_t) noexcept {
    cudaSetDevice(ordinal_);
    work_->wait_unless_captured(); // which comes after the copying, as HostCopy sees to
    cudaFreeHost(block);
}

int64_t PinnedMemory::free_bytes() noexcept {
    try {
        return available_system_memory();
    } catch (...) { // no memory to read it with
        return -1;
    }
}

CudaHostTransfer::CudaHostTransfer(const CudaDevice &device, int ordinal)
    : device_(device), ordinal_(ordinal), event_(ordinal) {}

void CudaHostTransfer::begin(void *to, const void *from, int64_t bytes) {
    const cudaStream_t work = device_.stream();
    const cudaStream_t copies = device_.copy_stream();
    check_cuda(cudaEventRecord(event_.get(), work), "cudaEventRecord");
    check_cuda(cudaStreamWaitEvent(copies, event_.get(), 0), "cudaStreamWaitEvent");
    check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, copies), "cudaMemcpyAsync");
    check_cuda(cudaEventRecord(event_.get(), copies), "cudaEventRecord");
}

void CudaHostTransfer::order_work_after() {
    check_cuda(cudaStreamWaitEvent(device_.stream(), event_.get(), 0), "cudaStreamWaitEvent");
}

void CudaHostTransfer::finish() noexcept {
    cudaSetDevice(ordinal_);
    cudaEventSynchronize(event_.get());
}

} // namespace mezzo
