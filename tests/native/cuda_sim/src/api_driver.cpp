// SPDX-License-Identifier: MIT
// The driver's functions for virtual memory, and how the runtime finds them.
#include "cuda_sim/runtime_api.h"

#include "runtime.h"

#include <cuda.h>

#include <cstdint>
#include <cstring>

using namespace mezzo::cuda_sim;

namespace {

/// The body of a driver call that needs a working device. It leaves the runtime's last error alone.
template <class Body>
CUresult driver_call(const Body &body) {
    const Session session;
    cudaError_t error = driver_error(*session);
    if (error == cudaSuccess) error = session->current_device().fault;
    return error == cudaSuccess ? body(*session) : static_cast<CUresult>(error);
}

/// The same of a call that CUDA calls unsafe while a capture other than a relaxed one is in progress.
template <class Body>
CUresult unsafe_driver_call(const Body &body) {
    return driver_call([&](Runtime &runtime) {
        const cudaError_t refused = refuse_while_capturing(runtime);
        return refused == cudaSuccess ? body(runtime) : static_cast<CUresult>(refused);
    });
}

bool is_of_granularity(size_t value) {
    return value % VirtualMemory::kGranularity == 0;
}

/// The device that memory is asked of, null when it is no such device or no such memory.
Device *device_of(Runtime &runtime, const CUmemAllocationProp *properties) {
    if (properties == nullptr || properties->type != CU_MEM_ALLOCATION_TYPE_PINNED ||
        properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE) {
        return nullptr;
    }
    return runtime.device(properties->location.id);
}

Device *owner_of(Runtime &runtime, CUdeviceptr pointer) {
    return runtime.owner_of(reinterpret_cast<const void *>(static_cast<uintptr_t>(pointer)));
}

struct EntryPoint {
    const char *name;
    void *function;
};

template <class Function>
EntryPoint entry(const char *name, Function *function) {
    return {name, reinterpret_cast<void *>(function)};
}

} // namespace

cudaError_t cudaGetDriverEntryPoint(const char *symbol, void **function, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult *result) {
    static const EntryPoint kEntries[] = {
        entry("cuDeviceGet", cuDeviceGet),
        entry("cuDeviceGetAttribute", cuDeviceGetAttribute),
        entry("cuMemGetAllocationGranularity", cuMemGetAllocationGranularity),
        entry("cuMemAddressReserve", cuMemAddressReserve),
        entry("cuMemAddressFree", cuMemAddressFree),
        entry("cuMemCreate", cuMemCreate),
        entry("cuMemRelease", cuMemRelease),
        entry("cuMemMap", cuMemMap),
        entry("cuMemUnmap", cuMemUnmap),
        entry("cuMemSetAccess", cuMemSetAccess),
    };
    return api_call([&](Runtime &) {
        if (symbol == nullptr || function == nullptr || flags != cudaEnableDefault) return cudaErrorInvalidValue;
        *function = nullptr;
        for (const EntryPoint &candidate : kEntries) {
            if (std::strcmp(symbol, candidate.name) == 0) *function = candidate.function;
        }
        if (result != nullptr) {
            *result = *function != nullptr ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
        }
        return cudaSuccess;
    });
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    return driver_call([&](Runtime &runtime) {
        if (runtime.device(ordinal) == nullptr) return CUDA_ERROR_INVALID_DEVICE;
        *device = ordinal;
        return CUDA_SUCCESS;
    });
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice ordinal) {
    return driver_call([&](Runtime &runtime) {
        if (runtime.device(ordinal) == nullptr) return CUDA_ERROR_INVALID_DEVICE;
        if (attribute != CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) return CUDA_ERROR_INVALID_VALUE;
        *value = runtime.machine.virtual_memory ? 1 : 0;
        return CUDA_SUCCESS;
    });
}

CUresult cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *properties,
                                       CUmemAllocationGranularity_flags) {
    return driver_call([&](Runtime &runtime) {
        if (device_of(runtime, properties) == nullptr) return CUDA_ERROR_INVALID_VALUE;
        *granularity = VirtualMemory::kGranularity;
        return CUDA_SUCCESS;
    });
}

CUresult cuMemAddressReserve(CUdeviceptr *pointer, size_t bytes, size_t alignment, CUdeviceptr hint,
                             unsigned long long flags) {
    return unsafe_driver_call([&](Runtime &runtime) {
        if (!runtime.machine.virtual_memory) return CUDA_ERROR_NOT_SUPPORTED;
        if (alignment != 0 || hint != 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
        return runtime.current_device().arena.virtual_memory().reserve(*pointer, bytes);
    });
}

CUresult cuMemAddressFree(CUdeviceptr pointer, size_t bytes) {
    return unsafe_driver_call([&](Runtime &runtime) {
        Device *device = owner_of(runtime, pointer);
        return device == nullptr ? CUDA_ERROR_INVALID_VALUE
                                 : device->arena.virtual_memory().free_addresses(pointer, bytes);
    });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *properties,
                     unsigned long long flags) {
    return unsafe_driver_call([&](Runtime &runtime) {
        Device *device = device_of(runtime, properties);
        if (device == nullptr || flags != 0 || bytes == 0 || !is_of_granularity(bytes)) return CUDA_ERROR_INVALID_VALUE;
        if (const cudaError_t error = take_injected(runtime, Call::kAllocation); error != cudaSuccess) {
            return static_cast<CUresult>(error);
        }
        const auto has_room = [&] { return bytes <= device->arena.total_bytes() - device->arena.used_bytes(); };
        if (!has_room()) drain(runtime); // what streams have yet to free
        if (!has_room()) return CUDA_ERROR_OUT_OF_MEMORY;
        *handle = device->arena.virtual_memory().create(bytes);
        ++runtime.counters.allocations;
        return CUDA_SUCCESS;
    });
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
    return unsafe_driver_call(
        [&](Runtime &runtime) { return runtime.current_device().arena.virtual_memory().release(handle); });
}

CUresult cuMemMap(CUdeviceptr pointer, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
    return unsafe_driver_call([&](Runtime &runtime) {
        Device *device = owner_of(runtime, pointer);
        if (device == nullptr || offset != 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
        return device->arena.virtual_memory().map(pointer, bytes, handle);
    });
}

CUresult cuMemUnmap(CUdeviceptr pointer, size_t bytes) {
    return unsafe_driver_call([&](Runtime &runtime) {
        Device *device = owner_of(runtime, pointer);
        return device == nullptr ? CUDA_ERROR_INVALID_VALUE : device->arena.virtual_memory().unmap(pointer, bytes);
    });
}

CUresult cuMemSetAccess(CUdeviceptr pointer, size_t bytes, const CUmemAccessDesc *access, size_t count) {
    return unsafe_driver_call([&](Runtime &runtime) {
        Device *device = owner_of(runtime, pointer);
        // Access of peers is not offered.
        if (device == nullptr || count != 1 || access->location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
            access->location.id != device->ordinal || access->flags == CU_MEM_ACCESS_FLAGS_PROT_READ) {
            return CUDA_ERROR_INVALID_VALUE;
        }
        const bool is_permitted = access->flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
        return device->arena.virtual_memory().permit(pointer, bytes, is_permitted);
    });
}
