// SPDX-License-Identifier: MIT
// Memory that the driver maps into reserved addresses. What is mapped lives where it is mapped, so that memory can be
// mapped once; the host, and kernels where nothing is mapped or permitted, fault.
#pragma once

#include "access.h"

#include <cuda.h>

#include <cstddef>
#include <map>

namespace mezzo::cuda_sim {

class VirtualMemory {
  public:
    /// Less than a device's 2 MiB, so that small tests have several pieces.
    static constexpr size_t kGranularity = size_t{64} << 10;

    explicit VirtualMemory(Access &access) : access_(access) {}
    ~VirtualMemory();
    VirtualMemory(const VirtualMemory &) = delete;
    VirtualMemory &operator=(const VirtualMemory &) = delete;

    CUresult reserve(CUdeviceptr &pointer, size_t bytes);
    CUresult free_addresses(CUdeviceptr pointer, size_t bytes);
    CUmemGenericAllocationHandle create(size_t bytes);
    CUresult release(CUmemGenericAllocationHandle handle);
    CUresult map(CUdeviceptr pointer, size_t bytes, CUmemGenericAllocationHandle handle);
    CUresult unmap(CUdeviceptr pointer, size_t bytes);
    CUresult permit(CUdeviceptr pointer, size_t bytes, bool is_permitted);

    /// Whether the address is a reserved one.
    bool covers(const void *pointer) const;
    /// Whether all these bytes are mapped and permitted.
    bool holds(const void *pointer, size_t bytes) const;

    size_t created_bytes() const { return created_bytes_; }

  private:
    struct Physical {
        size_t bytes;
        bool is_mapped;
        bool is_released; // gone once it is unmapped
    };
    struct Mapping {
        size_t bytes;
        CUmemGenericAllocationHandle memory;
        bool is_permitted;
    };

    /// Calls `change` with the mappings that together are exactly these addresses; false when there are none.
    template <class Change>
    bool change_all(CUdeviceptr pointer, size_t bytes, const Change &change);
    bool is_reserved(CUdeviceptr pointer, size_t bytes) const;
    void destroy(std::map<CUmemGenericAllocationHandle, Physical>::iterator memory);

    Access &access_;
    std::map<CUdeviceptr, size_t> reserved_; // bytes by address
    std::map<CUdeviceptr, Mapping> mapped_;
    std::map<CUmemGenericAllocationHandle, Physical> created_;
    CUmemGenericAllocationHandle next_handle_ = 1;
    size_t created_bytes_ = 0;
};

} // namespace mezzo::cuda_sim
