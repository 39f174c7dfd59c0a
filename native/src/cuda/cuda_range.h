// SPDX-License-Identifier: MIT
// Ranges of device addresses, by the driver's virtual memory management.
#pragma once

#include "core/memory_range.h"
#include "cuda/cuda_device.h"

#include <cuda.h>

#include <memory>

namespace mezzo {

/// The functions that ranges need. libcuda is not linked, so that the library loads where no driver is: the runtime
/// finds them.
struct DriverFunctions {
    decltype(&cuDeviceGet) device = nullptr;
    decltype(&cuDeviceGetAttribute) device_attribute = nullptr;
    decltype(&cuMemGetAllocationGranularity) granularity = nullptr;
    decltype(&cuMemAddressReserve) reserve = nullptr;
    decltype(&cuMemAddressFree) free_addresses = nullptr;
    decltype(&cuMemCreate) create = nullptr;
    decltype(&cuMemRelease) release = nullptr;
    decltype(&cuMemMap) map = nullptr;
    decltype(&cuMemUnmap) unmap = nullptr;
    decltype(&cuMemSetAccess) set_access = nullptr;
};

/// Makes ranges of one device. None of the calls is one of a stream's, and all of them are allowed while a stream is
/// captured in relaxed mode: memory has to be there when a graph is launched, not when it is captured.
class CudaRanges {
  public:
    CudaRanges(const CudaDevice &device, int ordinal, std::shared_ptr<CudaStream> work);

    /// Null where the device or the driver has no virtual memory management, or no addresses are left.
    std::unique_ptr<MemoryRange> reserve() const;

    const CudaDevice &device() const { return device_; }
    int ordinal() const { return ordinal_; }
    CudaStream &work() const { return *work_; }
    const DriverFunctions &driver() const { return driver_; }
    int64_t granularity() const { return granularity_; }

    /// What memory of the device is asked for with.
    CUmemAllocationProp properties() const;

  private:
    const CudaDevice &device_;
    int ordinal_;
    std::shared_ptr<CudaStream> work_; // of the device
    DriverFunctions driver_;
    int64_t granularity_ = 0; // 0 where there are no ranges
    int64_t bytes_ = 0;       // of a range: the device's memory
};

} // namespace mezzo
