// SPDX-License-Identifier: MIT
// Memory: allocations, copies, fills.
#include "cuda_sim/runtime_api.h"

#include "block.h"
#include "runtime.h"

#include <cstdlib>
#include <cstring>
#include <optional>

using namespace mezzo::cuda_sim;

namespace {

constexpr size_t kPinnedAlignment = 256;

cudaError_t report_overrun(const void *pointer) {
    report("something was written behind the end of the allocation at %p", pointer);
    return cudaErrorIllegalAddress;
}

cudaError_t report_freed(const void *pointer) {
    report("a copy or fill at %p comes after the memory has been freed", pointer);
    return cudaErrorIllegalAddress;
}

/// Memory of the current device. What streams have yet to free may make room.
void *allocate(Runtime &runtime, Device &device, size_t bytes) {
    void *pointer = device.arena.allocate(bytes, AllocationState::kLive);
    if (pointer == nullptr) {
        drain(runtime);
        pointer = device.arena.allocate(bytes, AllocationState::kLive);
    }
    if (pointer != nullptr) ++runtime.counters.allocations;
    return pointer;
}

/// Takes an allocation's memory back, now that nothing uses it any more.
cudaError_t release(Runtime &, Device &device, void *pointer) {
    const bool intact =
        device.arena.find(pointer)->owned_by_graph ? device.arena.deactivate(pointer) : device.arena.release(pointer);
    return intact ? cudaSuccess : report_overrun(pointer);
}

/// Where one side of a copy lies.
struct Place {
    Device *device; // null: host
    bool valid;
};

Place place_of(Runtime &runtime, const void *pointer, size_t bytes) {
    Device *device = runtime.owner_of(pointer);
    if (device == nullptr) return {nullptr, pointer != nullptr};
    const Allocation *allocation = device->arena.holding(pointer, bytes);
    return {device, allocation != nullptr && allocation->state != AllocationState::kFreePending};
}

bool is_live(const Device &device, const void *pointer, size_t bytes) {
    const Allocation *allocation = device.arena.holding(pointer, bytes);
    return allocation != nullptr && allocation->state != AllocationState::kReserved;
}

bool is_device_memory(const void *pointer) {
    const Session session;
    return session->owner_of(pointer) != nullptr;
}

cudaError_t check_kind(const Place &to, const Place &from, cudaMemcpyKind kind) {
    bool to_device = to.device != nullptr;
    bool from_device = from.device != nullptr;
    switch (kind) {
        case cudaMemcpyHostToHost:
            to_device = from_device = false;
            break;
        case cudaMemcpyHostToDevice:
            to_device = true;
            from_device = false;
            break;
        case cudaMemcpyDeviceToHost:
            to_device = false;
            from_device = true;
            break;
        case cudaMemcpyDeviceToDevice:
            to_device = from_device = true;
            break;
        case cudaMemcpyDefault:
            break;
        default:
            return cudaErrorInvalidMemcpyDirection;
    }
    const bool fits = to_device == (to.device != nullptr) && from_device == (from.device != nullptr);
    return fits && to.valid && from.valid ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t copy(Runtime &runtime, void *to, const void *from, size_t bytes, cudaMemcpyKind kind, Stream &stream) {
    if (bytes == 0) return cudaSuccess;
    const Place target = place_of(runtime, to, bytes);
    const Place source = place_of(runtime, from, bytes);
    const cudaError_t error = check_kind(target, source, kind);
    if (error != cudaSuccess) return error;
    if (target.device == nullptr && source.device != nullptr && stream.capture == nullptr) {
        ++runtime.counters.copies_to_host;
    }
    return submit(runtime, stream, {[=](Device &) {
                      for (const auto &[device, pointer] :
                           {std::pair<Device *, const void *>{target.device, to}, {source.device, from}}) {
                          if (device == nullptr) continue;
                          if (!is_live(*device, pointer, bytes)) return report_freed(pointer);
                          device->arena.open();
                      }
                      std::memmove(to, from, bytes);
                      return cudaSuccess;
                  }});
}

cudaError_t fill(Runtime &runtime, void *pointer, int value, size_t bytes, Stream &stream) {
    if (bytes == 0) return cudaSuccess;
    const Place place = place_of(runtime, pointer, bytes);
    if (place.device == nullptr || !place.valid) return cudaErrorInvalidValue;
    Device *device = place.device;
    return submit(runtime, stream, {[=](Device &) {
                      if (!is_live(*device, pointer, bytes)) return report_freed(pointer);
                      device->arena.open();
                      std::memset(pointer, value, bytes);
                      return cudaSuccess;
                  }});
}

/// The rest of a call that does its work on the legacy stream and, where it concerns host memory, waits for it.
template <class Issue>
cudaError_t on_legacy_stream(bool wait, const Issue &issue) {
    return api_call([&](Runtime &runtime) {
        cudaError_t error = refuse_while_capturing(runtime);
        if (error == cudaSuccess) error = refuse_on_legacy(runtime, runtime.current_device().legacy_stream);
        if (error == cudaSuccess) error = take_injected(runtime, Call::kSynchronization);
        if (error != cudaSuccess) return error;
        Stream &stream = runtime.current_device().legacy_stream;
        error = issue(runtime, stream);
        if (error != cudaSuccess || !wait) return error;
        ++runtime.counters.synchronizations;
        return wait_for_stream(runtime, stream);
    });
}

} // namespace

cudaError_t cudaMalloc(void **pointer, size_t bytes) {
    return api_call([&](Runtime &runtime) {
        cudaError_t error = refuse_while_capturing(runtime);
        if (error == cudaSuccess) error = take_injected(runtime, Call::kAllocation);
        if (error != cudaSuccess) return error;
        *pointer = nullptr;
        if (bytes == 0) return cudaSuccess;
        *pointer = allocate(runtime, runtime.current_device(), bytes);
        return *pointer != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
    });
}

cudaError_t cudaFree(void *pointer) {
    return api_call([&](Runtime &runtime) {
        const cudaError_t refused = refuse_while_capturing(runtime);
        if (refused != cudaSuccess) return refused;
        if (pointer == nullptr) return cudaSuccess;
        Device *device = runtime.owner_of(pointer);
        const Allocation *allocation = device != nullptr ? device->arena.find(pointer) : nullptr;
        if (allocation == nullptr || allocation->state != AllocationState::kLive) return cudaErrorInvalidValue;
        // The device may still be using it.
        const cudaError_t error = wait_for_device(runtime, *device);
        if (error != cudaSuccess) return error;
        const cudaError_t overrun = release(runtime, *device, pointer);
        if (overrun != cudaSuccess) device->fault = overrun;
        return overrun;
    });
}

cudaError_t cudaMallocAsync(void **pointer, size_t bytes, cudaStream_t handle) {
    return api_call([&](Runtime &runtime) {
        Stream *stream = runtime.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        if (bytes == 0) return cudaErrorInvalidValue;
        cudaError_t error = refuse_on_legacy(runtime, *stream);
        if (error == cudaSuccess) error = take_injected(runtime, Call::kAllocation);
        if (error != cudaSuccess) return error;
        Device &device = *runtime.device(stream->device);
        if (stream->capture == nullptr) {
            *pointer = allocate(runtime, device, bytes);
            return *pointer != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
        }
        // A place of the graph's own, which holds something while the graph runs.
        void *place = device.arena.allocate(bytes, AllocationState::kReserved);
        if (place == nullptr) return cudaErrorMemoryAllocation;
        device.arena.find(place)->owned_by_graph = true;
        stream->capture->body->memory.emplace_back(&device.arena, place);
        *pointer = place;
        return submit(runtime, *stream, {[place](Device &owner) {
                          if (owner.arena.find(place)->state != AllocationState::kReserved) {
                              report("a graph allocates memory that has not been freed since its last launch");
                              return cudaErrorLaunchFailure;
                          }
                          owner.arena.activate(place);
                          return cudaSuccess;
                      }});
    });
}

cudaError_t cudaFreeAsync(void *pointer, cudaStream_t handle) {
    return api_call([&](Runtime &runtime) {
        Stream *stream = runtime.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        const cudaError_t refused = refuse_on_legacy(runtime, *stream);
        if (refused != cudaSuccess) return refused;
        Device *device = runtime.owner_of(pointer);
        Allocation *allocation = device != nullptr ? device->arena.find(pointer) : nullptr;
        if (allocation == nullptr || allocation->state == AllocationState::kFreePending) return cudaErrorInvalidValue;
        if (stream->capture != nullptr) {
            if (!allocation->owned_by_graph) return cudaErrorInvalidValue;
        } else {
            if (allocation->state != AllocationState::kLive) return cudaErrorInvalidValue;
            allocation->state = AllocationState::kFreePending;
        }
        return submit(runtime, *stream,
                      {[device, pointer](Device &) { return release(open_runtime(), *device, pointer); }});
    });
}

cudaError_t cudaMallocHost(void **pointer, size_t bytes) {
    return api_call([&](Runtime &runtime) {
        cudaError_t error = refuse_while_capturing(runtime);
        if (error == cudaSuccess) error = take_injected(runtime, Call::kAllocation);
        if (error != cudaSuccess) return error;
        if (posix_memalign(pointer, kPinnedAlignment, bytes != 0 ? bytes : 1) != 0) return cudaErrorMemoryAllocation;
        std::memset(*pointer, 0xff, bytes);
        runtime.pinned[*pointer] = bytes;
        return cudaSuccess;
    });
}

cudaError_t cudaFreeHost(void *pointer) {
    return api_call([&](Runtime &runtime) {
        if (pointer == nullptr) return cudaSuccess;
        const auto entry = runtime.pinned.find(pointer);
        if (entry == runtime.pinned.end()) return cudaErrorInvalidValue;
        // Pending copies are not waited for: who frees too early finds NaN, or AddressSanitizer's report.
        std::memset(pointer, 0xff, entry->second);
        runtime.pinned.erase(entry);
        std::free(pointer);
        return cudaSuccess;
    });
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
    return api_call([&](Runtime &runtime) {
        const Arena &arena = runtime.current_device().arena;
        *total = arena.total_bytes();
        *free = arena.total_bytes() - arena.used_bytes();
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int ordinal) {
    return api_call([&](Runtime &runtime) {
        Device *device = runtime.device(ordinal);
        if (device == nullptr) return cudaErrorInvalidDevice;
        *pool = reinterpret_cast<cudaMemPool_t>(device);
        return cudaSuccess;
    });
}

// A pool here keeps nothing back, so there is nothing to set or to trim.
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr, void *value) {
    return api_call(
        [&](Runtime &) { return pool != nullptr && value != nullptr ? cudaSuccess : cudaErrorInvalidValue; });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t) {
    return api_call([&](Runtime &) { return pool != nullptr ? cudaSuccess : cudaErrorInvalidValue; });
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    const bool within_device = is_device_memory(to) && is_device_memory(from);
    return on_legacy_stream(
        !within_device, [&](Runtime &runtime, Stream &stream) { return copy(runtime, to, from, bytes, kind, stream); });
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
    return api_call([&](Runtime &runtime) {
        Stream *stream = runtime.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        const cudaError_t refused = refuse_on_legacy(runtime, *stream);
        return refused != cudaSuccess ? refused : copy(runtime, to, from, bytes, kind, *stream);
    });
}

cudaError_t cudaMemset(void *pointer, int value, size_t bytes) {
    return on_legacy_stream(
        false, [&](Runtime &runtime, Stream &stream) { return fill(runtime, pointer, value, bytes, stream); });
}

cudaError_t cudaMemsetAsync(void *pointer, int value, size_t bytes, cudaStream_t handle) {
    return api_call([&](Runtime &runtime) {
        Stream *stream = runtime.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        const cudaError_t refused = refuse_on_legacy(runtime, *stream);
        return refused != cudaSuccess ? refused : fill(runtime, pointer, value, bytes, *stream);
    });
}
