// SPDX-License-Identifier: MIT
#include "virtual_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <iterator>

namespace mezzo::cuda_sim {
namespace {

constexpr int kPoison = 0xff;

char *memory_at(CUdeviceptr pointer) {
    return reinterpret_cast<char *>(static_cast<uintptr_t>(pointer));
}

CUdeviceptr address_of(const void *pointer) {
    return reinterpret_cast<uintptr_t>(pointer);
}

} // namespace

VirtualMemory::~VirtualMemory() {
    for (const auto &[pointer, bytes] : reserved_) munmap(memory_at(pointer), bytes);
}

CUresult VirtualMemory::reserve(CUdeviceptr &pointer, size_t bytes) {
    if (bytes == 0 || bytes % kGranularity != 0) return CUDA_ERROR_INVALID_VALUE;
    // With what it takes to begin at a multiple of the granularity.
    void *memory = mmap(nullptr, bytes + kGranularity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
    const size_t skipped = kGranularity - address_of(memory) % kGranularity;
    pointer = address_of(memory) + skipped;
    munmap(memory, skipped);
    if (skipped != kGranularity) munmap(memory_at(pointer + bytes), kGranularity - skipped);
    reserved_[pointer] = bytes;
    return CUDA_SUCCESS;
}

CUresult VirtualMemory::free_addresses(CUdeviceptr pointer, size_t bytes) {
    const auto entry = reserved_.find(pointer);
    if (entry == reserved_.end() || entry->second != bytes) return CUDA_ERROR_INVALID_VALUE;
    const auto mapping = mapped_.lower_bound(pointer);
    if (mapping != mapped_.end() && mapping->first < pointer + bytes) return CUDA_ERROR_INVALID_VALUE;
    munmap(memory_at(pointer), bytes);
    reserved_.erase(entry);
    return CUDA_SUCCESS;
}

CUmemGenericAllocationHandle VirtualMemory::create(size_t bytes) {
    created_[next_handle_] = {bytes, false, false};
    created_bytes_ += bytes;
    return next_handle_++;
}

CUresult VirtualMemory::release(CUmemGenericAllocationHandle handle) {
    const auto memory = created_.find(handle);
    if (memory == created_.end() || memory->second.is_released) return CUDA_ERROR_INVALID_VALUE;
    memory->second.is_released = true;
    if (!memory->second.is_mapped) destroy(memory);
    return CUDA_SUCCESS;
}

void VirtualMemory::destroy(std::map<CUmemGenericAllocationHandle, Physical>::iterator memory) {
    created_bytes_ -= memory->second.bytes;
    created_.erase(memory);
}

CUresult VirtualMemory::map(CUdeviceptr pointer, size_t bytes, CUmemGenericAllocationHandle handle) {
    const auto memory = created_.find(handle);
    if (memory == created_.end() || memory->second.is_released || memory->second.bytes != bytes) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (memory->second.is_mapped) return CUDA_ERROR_NOT_SUPPORTED; // CUDA can do that
    if (pointer % kGranularity != 0 || !is_reserved(pointer, bytes)) return CUDA_ERROR_INVALID_VALUE;
    const auto next = mapped_.lower_bound(pointer);
    if (next != mapped_.end() && next->first < pointer + bytes) return CUDA_ERROR_INVALID_VALUE;
    if (next != mapped_.begin()) {
        const auto previous = std::prev(next);
        if (previous->first + previous->second.bytes > pointer) return CUDA_ERROR_INVALID_VALUE;
    }
    memory->second.is_mapped = true;
    access_.permit(memory_at(pointer), bytes);
    access_.open();
    std::memset(memory_at(pointer), kPoison, bytes);
    access_.forbid(memory_at(pointer), bytes);
    mapped_[pointer] = {bytes, handle, false};
    return CUDA_SUCCESS;
}

CUresult VirtualMemory::unmap(CUdeviceptr pointer, size_t bytes) {
    const bool done = change_all(pointer, bytes, [&](CUdeviceptr begin, Mapping &mapping) {
        access_.forbid(memory_at(begin), mapping.bytes);
        madvise(memory_at(begin), mapping.bytes, MADV_DONTNEED);
        const auto memory = created_.find(mapping.memory);
        memory->second.is_mapped = false;
        if (memory->second.is_released) destroy(memory);
    });
    if (!done) return CUDA_ERROR_INVALID_VALUE;
    mapped_.erase(mapped_.find(pointer), mapped_.lower_bound(pointer + bytes));
    return CUDA_SUCCESS;
}

CUresult VirtualMemory::permit(CUdeviceptr pointer, size_t bytes, bool is_permitted) {
    const bool done = change_all(pointer, bytes, [&](CUdeviceptr begin, Mapping &mapping) {
        mapping.is_permitted = is_permitted;
        if (is_permitted) {
            access_.permit(memory_at(begin), mapping.bytes);
        } else {
            access_.forbid(memory_at(begin), mapping.bytes);
        }
    });
    return done ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

template <class Change>
bool VirtualMemory::change_all(CUdeviceptr pointer, size_t bytes, const Change &change) {
    const auto first = mapped_.find(pointer);
    CUdeviceptr end = pointer;
    auto last = first;
    for (; last != mapped_.end() && last->first == end && end < pointer + bytes; ++last) end += last->second.bytes;
    if (bytes == 0 || end != pointer + bytes) return false;
    for (auto mapping = first; mapping != last; ++mapping) change(mapping->first, mapping->second);
    return true;
}

bool VirtualMemory::is_reserved(CUdeviceptr pointer, size_t bytes) const {
    auto entry = reserved_.upper_bound(pointer);
    if (entry == reserved_.begin()) return false;
    --entry;
    const size_t inside = pointer - entry->first;
    return inside <= entry->second && bytes <= entry->second - inside;
}

bool VirtualMemory::covers(const void *pointer) const {
    return is_reserved(address_of(pointer), 1);
}

bool VirtualMemory::holds(const void *pointer, size_t bytes) const {
    const CUdeviceptr begin = address_of(pointer);
    auto mapping = mapped_.upper_bound(begin);
    if (mapping == mapped_.begin()) return false;
    --mapping;
    CUdeviceptr end = mapping->first;
    for (; mapping != mapped_.end() && mapping->first == end && mapping->second.is_permitted; ++mapping) {
        end += mapping->second.bytes;
        if (end >= begin && end - begin >= bytes) return true;
    }
    return false;
}

} // namespace mezzo::cuda_sim
