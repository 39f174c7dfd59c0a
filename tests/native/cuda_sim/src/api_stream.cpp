// SPDX-License-Identifier: MIT
// Streams and events.
#include "cuda_sim/runtime_api.h"

#include "runtime.h"

#include <algorithm>

using namespace mezzo::cuda_sim;

namespace {

/// A call that may not be made on a capturing stream.
cudaError_t refuse_capturing(const Stream &stream) {
    if (stream.capture == nullptr) return cudaSuccess;
    invalidate(*stream.capture);
    return cudaErrorStreamCaptureUnsupported;
}

/// Waits of an event that was recorded in a capture, by a stream that may join it.
cudaError_t wait_in_capture(Stream &stream, const Event &event) {
    Capture *capture = stream.capture.get();
    if (event.capture == nullptr) {
        // Uncaptured work from before.
        invalidate(*capture);
        return cudaErrorStreamCaptureIsolation;
    }
    if (capture == nullptr) {
        if (event.capture->streams.empty()) return cudaErrorCapturedEvent; // that capture has ended
        stream.capture = event.capture;
        stream.capture->streams.insert(&stream);
        stream.frontier = event.frontier;
        return cudaSuccess;
    }
    if (event.capture.get() != capture) {
        invalidate(*capture);
        return cudaErrorStreamCaptureMerge;
    }
    for (const size_t node : event.frontier) {
        if (std::find(stream.frontier.begin(), stream.frontier.end(), node) == stream.frontier.end()) {
            stream.frontier.push_back(node);
        }
    }
    return cudaSuccess;
}

} // namespace

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *handle, unsigned int flags) {
    return api_call([&](Runtime &runtime) {
        if (flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
        runtime.streams.push_back(new Stream(runtime.current_device().ordinal, flags != cudaStreamNonBlocking));
        *handle = reinterpret_cast<cudaStream_t>(runtime.streams.back());
        return cudaSuccess;
    });
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    // Also after a fault: who cleans up then must not be stopped.
    const Session session;
    Stream *stream = handle != nullptr ? session->stream(handle) : nullptr;
    if (stream == nullptr) return note_error(cudaErrorInvalidResourceHandle);
    if (stream->capture != nullptr) {
        const std::shared_ptr<Capture> capture = stream->capture;
        end_capture(*capture);
        session->captures.erase(capture);
    }
    // CUDA returns at once and lets pending work finish; here it is done now.
    wait_for(*session, stream->last);
    session->streams.erase(std::find(session->streams.begin(), session->streams.end(), stream));
    const cudaError_t fault = session->device(stream->device)->fault;
    delete stream;
    return note_error(fault);
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    return api_call([&](Runtime &runtime) {
        Stream *stream = runtime.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        cudaError_t error = refuse_capturing(*stream);
        if (error == cudaSuccess) error = refuse_on_legacy(runtime, *stream);
        if (error != cudaSuccess) return error;
        ++runtime.counters.synchronizations;
        error = take_injected(runtime, Call::kSynchronization);
        return error != cudaSuccess ? error : wait_for_stream(runtime, *stream);
    });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
    return api_call([&](Runtime &runtime) {
        Stream *stream = runtime.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        cudaError_t error = refuse_capturing(*stream);
        if (error == cudaSuccess) error = refuse_on_legacy(runtime, *stream);
        if (error != cudaSuccess) return error;
        run_some(runtime);
        if (runtime.current_device().fault != cudaSuccess) return runtime.current_device().fault;
        return stream->is_idle() ? cudaSuccess : cudaErrorNotReady;
    });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned int flags) {
    return api_call([&](Runtime &runtime) {
        Stream *stream = runtime.stream(handle);
        const Event *event = runtime.event(event_handle);
        if (stream == nullptr || event == nullptr) return cudaErrorInvalidResourceHandle;
        if (flags != 0) return cudaErrorInvalidValue;
        const cudaError_t refused = refuse_on_legacy(runtime, *stream);
        if (refused != cudaSuccess) return refused;
        if (stream->capture != nullptr || event->capture != nullptr) {
            if (stream->capture != nullptr && stream->capture->invalidated) return cudaErrorStreamCaptureInvalidated;
            return wait_in_capture(*stream, *event);
        }
        if (event->recorded == nullptr || event->recorded->done) return cudaSuccess;
        enqueue(runtime, *stream, {nullptr, nullptr, {event->recorded}, nullptr});
        return cudaSuccess;
    });
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *handle, unsigned int flags) {
    return api_call([&](Runtime &runtime) {
        if ((flags & ~(cudaEventBlockingSync | cudaEventDisableTiming)) != 0) return cudaErrorInvalidValue;
        auto *event =
            new Event{runtime.current_device().ordinal, (flags & cudaEventDisableTiming) == 0, nullptr, nullptr, {}};
        runtime.events.insert(event);
        *handle = reinterpret_cast<cudaEvent_t>(event);
        return cudaSuccess;
    });
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
    const Session session;
    Event *event = session->event(handle);
    if (event == nullptr) return note_error(cudaErrorInvalidResourceHandle);
    session->events.erase(event);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t handle) {
    return api_call([&](Runtime &runtime) {
        Stream *stream = runtime.stream(handle);
        Event *event = runtime.event(event_handle);
        if (stream == nullptr || event == nullptr) return cudaErrorInvalidResourceHandle;
        if (event->device != stream->device) return cudaErrorInvalidResourceHandle;
        const cudaError_t refused = refuse_on_legacy(runtime, *stream);
        if (refused != cudaSuccess) return refused;
        if (stream->capture != nullptr) {
            if (stream->capture->invalidated) return cudaErrorStreamCaptureInvalidated;
            event->capture = stream->capture;
            event->frontier = stream->frontier;
            return cudaSuccess;
        }
        event->capture = nullptr;
        event->recorded = enqueue(runtime, *stream, {nullptr, nullptr, {}, nullptr});
        return runtime.device(stream->device)->fault;
    });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    return api_call([&](Runtime &runtime) {
        const Event *event = runtime.event(handle);
        if (event == nullptr) return cudaErrorInvalidResourceHandle;
        if (event->capture != nullptr) return cudaErrorCapturedEvent;
        ++runtime.counters.synchronizations;
        const cudaError_t error = take_injected(runtime, Call::kSynchronization);
        return error != cudaSuccess ? error : wait_for(runtime, event->recorded);
    });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
    return api_call([&](Runtime &runtime) {
        const Event *event = runtime.event(handle);
        if (event == nullptr) return cudaErrorInvalidResourceHandle;
        if (event->capture != nullptr) return cudaErrorCapturedEvent;
        const cudaError_t refused = refuse_while_capturing(runtime);
        if (refused != cudaSuccess) return refused;
        run_some(runtime);
        if (runtime.current_device().fault != cudaSuccess) return runtime.current_device().fault;
        return event->recorded == nullptr || event->recorded->done ? cudaSuccess : cudaErrorNotReady;
    });
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start_handle, cudaEvent_t end_handle) {
    return api_call([&](Runtime &runtime) {
        const Event *start = runtime.event(start_handle);
        const Event *end = runtime.event(end_handle);
        if (start == nullptr || end == nullptr) return cudaErrorInvalidResourceHandle;
        if (!start->timing || !end->timing) return cudaErrorInvalidResourceHandle;
        if (start->recorded == nullptr || end->recorded == nullptr) return cudaErrorInvalidResourceHandle;
        if (!start->recorded->done || !end->recorded->done) return cudaErrorNotReady;
        *milliseconds = std::chrono::duration<float, std::milli>(end->recorded->time - start->recorded->time).count();
        return cudaSuccess;
    });
}
