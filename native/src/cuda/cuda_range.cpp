// SPDX-License-Identifier: MIT
#include "cuda/cuda_range.h"

#include "cuda/check.h"

#include <algorithm>
#include <vector>

namespace mezzo {
namespace {

/// A range asks for at least this part of what it has already, so that one of many GB is made of hundreds of pieces,
/// not of thousands. Larger pieces than so many granules, mostly of 2 MiB, would go back too late: a tensor that
/// outlives its graph keeps the pieces that it lies in.
constexpr int64_t kLeastPart = 256;
constexpr int64_t kMostGranules = 16;

template <class Function>
bool find(Function &function, const char *name) {
    void *found = nullptr;
    cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    constexpr unsigned int kSince = 11000; // version of the functions' present form
#if CUDART_VERSION >= 12050
    const cudaError_t status = cudaGetDriverEntryPointByVersion(name, &found, kSince, cudaEnableDefault, &result);
#else
    static_cast<void>(kSince);
    const cudaError_t status = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result);
#endif
    if (status != cudaSuccess) {
        cudaGetLastError();
        return false;
    }
    function = reinterpret_cast<Function>(found);
    return result == cudaDriverEntryPointSuccess && found != nullptr;
}

bool find_all(DriverFunctions &driver) {
    return find(driver.device, "cuDeviceGet") && find(driver.device_attribute, "cuDeviceGetAttribute") &&
           find(driver.granularity, "cuMemGetAllocationGranularity") && find(driver.reserve, "cuMemAddressReserve") &&
           find(driver.free_addresses, "cuMemAddressFree") && find(driver.create, "cuMemCreate") &&
           find(driver.release, "cuMemRelease") && find(driver.map, "cuMemMap") && find(driver.unmap, "cuMemUnmap") &&
           find(driver.set_access, "cuMemSetAccess");
}

/// The driver's errors have the numbers of the runtime's.
void check_driver(CUresult result, const char *call) {
    check_cuda(static_cast<cudaError_t>(result), call);
}

int64_t round_up(int64_t bytes, int64_t multiple) {
    return (bytes + multiple - 1) / multiple * multiple;
}

class CudaRange final : public MemoryRange {
  public:
    CudaRange(const CudaRanges &ranges, CUdeviceptr base, int64_t bytes)
        : MemoryRange(reinterpret_cast<char *>(base), bytes), ranges_(ranges) {}
    ~CudaRange() override {
        if (!pieces_.empty()) discard(0, mapped_bytes_);
        ranges_.driver().free_addresses(address(0), static_cast<size_t>(bytes()));
    }

    bool back(int64_t bytes) override {
        if (bytes <= mapped_bytes_) return true;
        if (bytes > this->bytes()) return false;
        ranges_.device().make_current();
        const int64_t before = mapped_bytes_;
        try {
            if (map_up_to(bytes)) return true;
        } catch (...) {
            take_back(before);
            throw;
        }
        take_back(before);
        return false;
    }

    void discard(int64_t begin, int64_t end) noexcept override {
        cudaSetDevice(ranges_.ordinal());
        ranges_.work().wait_unless_captured(); // the work that used them may not have run yet
        unmap(begin, end);
    }

  private:
    struct Piece {
        int64_t offset;
        int64_t bytes;
    };

    CUdeviceptr address(int64_t offset) const { return reinterpret_cast<CUdeviceptr>(base() + offset); }

    bool map_up_to(int64_t bytes) {
        const int64_t granularity = ranges_.granularity();
        while (mapped_bytes_ < bytes) {
            const int64_t needed = round_up(bytes - mapped_bytes_, granularity);
            const int64_t wanted = std::min({std::max(needed, round_up(mapped_bytes_ / kLeastPart, granularity)),
                                             kMostGranules * granularity, this->bytes() - mapped_bytes_});
            if (!map(wanted) && (wanted <= needed || !map(needed))) return false;
        }
        return true;
    }

    /// Gives back what was mapped for tensors that have not come to be, so that others may have it.
    void take_back(int64_t bytes) noexcept {
        unmap(bytes, mapped_bytes_);
        mapped_bytes_ = bytes;
    }

    /// Puts memory behind the next addresses; false when there is none.
    bool map(int64_t bytes) {
        const DriverFunctions &driver = ranges_.driver();
        const auto size = static_cast<size_t>(bytes);
        const CUmemAllocationProp properties = ranges_.properties();
        pieces_.reserve(pieces_.size() + 1);
        CUmemGenericAllocationHandle memory = 0;
        const CUresult created = driver.create(&memory, size, &properties, 0);
        if (created == CUDA_ERROR_OUT_OF_MEMORY) return false;
        check_driver(created, "cuMemCreate");
        const CUdeviceptr begin = address(mapped_bytes_);
        const CUresult mapped = driver.map(begin, size, 0, memory, 0);
        driver.release(memory); // it lives as long as it is mapped
        if (mapped == CUDA_ERROR_OUT_OF_MEMORY) return false;
        check_driver(mapped, "cuMemMap");
        const CUmemAccessDesc access = {properties.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
        if (const CUresult permitted = driver.set_access(begin, size, &access, 1); permitted != CUDA_SUCCESS) {
            driver.unmap(begin, size);
            if (permitted == CUDA_ERROR_OUT_OF_MEMORY) return false; // for its tables
            check_driver(permitted, "cuMemSetAccess");
        }
        pieces_.push_back({mapped_bytes_, bytes});
        mapped_bytes_ += bytes;
        return true;
    }

    /// Gives back the pieces that lie within a part.
    void unmap(int64_t begin, int64_t end) noexcept {
        std::erase_if(pieces_, [&](const Piece &piece) {
            const bool is_within = piece.offset >= begin && piece.offset + piece.bytes <= end;
            if (is_within) ranges_.driver().unmap(address(piece.offset), static_cast<size_t>(piece.bytes));
            return is_within;
        });
    }

    const CudaRanges &ranges_;
    std::vector<Piece> pieces_;
    int64_t mapped_bytes_ = 0; // ever, from the base
};

} // namespace

CudaRanges::CudaRanges(const CudaDevice &device, int ordinal, std::shared_ptr<CudaStream> work)
    : device_(device), ordinal_(ordinal), work_(std::move(work)) {
    if (!find_all(driver_)) return;
    CUdevice handle = 0;
    int is_supported = 0;
    constexpr CUdevice_attribute kSupported = CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED;
    if (driver_.device(&handle, ordinal_) != CUDA_SUCCESS) return;
    if (driver_.device_attribute(&is_supported, kSupported, handle) != CUDA_SUCCESS || is_supported == 0) return;
    size_t granularity = 0;
    size_t free = 0;
    size_t total = 0;
    const CUmemAllocationProp wanted = properties();
    if (driver_.granularity(&granularity, &wanted, CU_MEM_ALLOC_GRANULARITY_MINIMUM) != CUDA_SUCCESS) return;
    check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    granularity_ = static_cast<int64_t>(granularity);
    bytes_ = round_up(static_cast<int64_t>(total), granularity_);
}

CUmemAllocationProp CudaRanges::properties() const {
    CUmemAllocationProp properties{};
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    properties.location.id = ordinal_;
    return properties;
}

std::unique_ptr<MemoryRange> CudaRanges::reserve() const {
    if (granularity_ == 0) return nullptr;
    device_.make_current();
    CUdeviceptr base = 0;
    if (driver_.reserve(&base, static_cast<size_t>(bytes_), 0, 0, 0) != CUDA_SUCCESS) return nullptr;
    return std::make_unique<CudaRange>(*this, base, bytes_);
}

} // namespace mezzo
