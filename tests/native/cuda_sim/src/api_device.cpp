// SPDX-License-Identifier: MIT
// Devices and errors.
#include "cuda_sim/runtime_api.h"

#include "runtime.h"

namespace mezzo::cuda_sim {
namespace {

constexpr int kRuntimeVersion = 12040;

cudaError_t &last_error() {
    thread_local cudaError_t error = cudaSuccess;
    return error;
}

/// The error that every call of this thread answers, or success.
cudaError_t standing_error() {
    const Session session;
    const cudaError_t error = driver_error(*session);
    return error != cudaSuccess ? error : session->current_device().fault;
}

} // namespace

cudaError_t note_error(cudaError_t error) {
    if (error != cudaSuccess) last_error() = error;
    return error;
}

void forget_error() {
    last_error() = cudaSuccess;
}

} // namespace mezzo::cuda_sim

using namespace mezzo::cuda_sim;

cudaError_t cudaGetDeviceCount(int *count) {
    const Session session;
    const cudaError_t error = driver_error(*session);
    *count = error == cudaSuccess ? static_cast<int>(session->devices.size()) : 0;
    return note_error(error);
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = Session()->machine.driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = kRuntimeVersion;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int ordinal) {
    return api_call([&](Runtime &runtime) {
        const Device *device = runtime.device(ordinal);
        if (device == nullptr) return cudaErrorInvalidDevice;
        *properties = device->properties();
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int ordinal) {
    return api_call([&](Runtime &runtime) {
        const Device *device = runtime.device(ordinal);
        if (device == nullptr) return cudaErrorInvalidDevice;
        return device->attribute(attribute, *value) ? cudaSuccess : cudaErrorInvalidValue;
    });
}

cudaError_t cudaSetDevice(int ordinal) {
    Session session;
    if (const cudaError_t error = driver_error(*session); error != cudaSuccess) return note_error(error);
    Device *device = session->device(ordinal);
    if (device == nullptr) return note_error(cudaErrorInvalidDevice);
    current_ordinal() = ordinal;
    if (!device->has_context) {
        if (const cudaError_t error = take_injected(*session, Call::kContext); error != cudaSuccess) {
            return note_error(error);
        }
        device->has_context = true;
        ++session->counters.contexts;
    }
    return note_error(device->fault);
}

cudaError_t cudaGetDevice(int *ordinal) {
    return api_call([&](Runtime &runtime) {
        *ordinal = runtime.current_device().ordinal;
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceSynchronize() {
    return api_call([&](Runtime &runtime) {
        Device &device = runtime.current_device();
        for (Stream *stream : runtime.streams_of(device.ordinal)) {
            if (stream->capture == nullptr) continue;
            invalidate(*stream->capture);
            return cudaErrorStreamCaptureUnsupported;
        }
        ++runtime.counters.synchronizations;
        const cudaError_t error = take_injected(runtime, Call::kSynchronization);
        return error != cudaSuccess ? error : wait_for_device(runtime, device);
    });
}

cudaError_t cudaDeviceCanAccessPeer(int *can_access, int ordinal, int peer) {
    return api_call([&](Runtime &runtime) {
        if (runtime.device(ordinal) == nullptr || runtime.device(peer) == nullptr) return cudaErrorInvalidDevice;
        *can_access = ordinal != peer;
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned int flags) {
    return api_call([&](Runtime &runtime) {
        Device &device = runtime.current_device();
        if (flags != 0) return cudaErrorInvalidValue;
        if (runtime.device(peer) == nullptr || peer == device.ordinal) return cudaErrorInvalidDevice;
        return device.peers.insert(peer).second ? cudaSuccess : cudaErrorPeerAccessAlreadyEnabled;
    });
}

cudaError_t cudaGetLastError() {
    const cudaError_t error = cudaPeekAtLastError();
    last_error() = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError() {
    const cudaError_t standing = standing_error();
    return standing != cudaSuccess ? standing : last_error();
}

const char *cudaGetErrorName(cudaError_t error) {
    switch (error) {
#define CUDA_SIM_NAME(name, value, text) \
    case name:                           \
        return #name;
        CUDA_SIM_ERRORS(CUDA_SIM_NAME)
#undef CUDA_SIM_NAME
    }
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error) {
    switch (error) {
#define CUDA_SIM_TEXT(name, value, text) \
    case name:                           \
        return text;
        CUDA_SIM_ERRORS(CUDA_SIM_TEXT)
#undef CUDA_SIM_TEXT
    }
    return "unrecognized error code";
}
