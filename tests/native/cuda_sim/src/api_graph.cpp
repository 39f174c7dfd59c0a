// SPDX-License-Identifier: MIT
// Capture and replay.
#include "cuda_sim/runtime_api.h"

#include "runtime.h"

#include <algorithm>

namespace mezzo::cuda_sim {

cudaError_t refuse_while_capturing(Runtime &runtime) {
    for (const auto &capture : runtime.captures) {
        const bool concerns =
            capture->mode == cudaStreamCaptureModeGlobal ||
            (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread == std::this_thread::get_id());
        if (!concerns) continue;
        invalidate(*capture);
        return cudaErrorStreamCaptureUnsupported;
    }
    return cudaSuccess;
}

cudaError_t refuse_on_legacy(Runtime &runtime, const Stream &stream) {
    const Device &device = *runtime.device(stream.device);
    if (&stream != &device.legacy_stream) return cudaSuccess;
    for (const Stream *other : runtime.streams) {
        if (other->device != stream.device || !other->blocking || other->capture == nullptr) continue;
        invalidate(*other->capture);
        return cudaErrorStreamCaptureImplicit;
    }
    return cudaSuccess;
}

namespace {

/// Whether every node of the capture comes before the origin's next one.
bool is_joined(const Capture &capture) {
    const std::set<size_t> joined = capture.body->reached_from(capture.origin->frontier);
    for (const Stream *stream : capture.streams) {
        for (const size_t node : stream->frontier) {
            if (!joined.contains(node)) return false;
        }
    }
    return true;
}

/// An executable launch that frees nothing of what it allocates cannot be repeated, which the allocation finds out.
template <class T>
T *find(const std::set<T *> &handles, const void *handle) {
    auto *object = const_cast<T *>(static_cast<const T *>(handle));
    return handles.contains(object) ? object : nullptr;
}

} // namespace

} // namespace mezzo::cuda_sim

using namespace mezzo::cuda_sim;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
    return api_call([&](Runtime &runtime) {
        Stream *stream = runtime.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        if (handle == nullptr) return cudaErrorStreamCaptureUnsupported;
        if (stream->capture != nullptr) return cudaErrorIllegalState;
        if (mode < cudaStreamCaptureModeGlobal || mode > cudaStreamCaptureModeRelaxed) return cudaErrorInvalidValue;
        auto capture = std::make_shared<Capture>();
        capture->mode = mode;
        capture->thread = std::this_thread::get_id();
        capture->origin = stream;
        capture->streams.insert(stream);
        stream->capture = capture;
        stream->frontier.clear();
        runtime.captures.insert(std::move(capture));
        return cudaSuccess;
    });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph) {
    return api_call([&](Runtime &runtime) {
        *graph = nullptr;
        Stream *stream = runtime.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        const std::shared_ptr<Capture> capture = stream->capture;
        if (capture == nullptr) return cudaErrorIllegalState;
        if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
            return cudaErrorStreamCaptureWrongThread;
        }
        if (capture->origin != stream) {
            invalidate(*capture);
            return cudaErrorStreamCaptureUnmatched;
        }
        const bool joined = is_joined(*capture);
        end_capture(*capture);
        runtime.captures.erase(capture);
        if (capture->invalidated) return cudaErrorStreamCaptureInvalidated;
        if (!joined) return cudaErrorStreamCaptureUnjoined;
        auto *result = new Graph{capture->body};
        runtime.graphs.insert(result);
        *graph = reinterpret_cast<cudaGraph_t>(result);
        return cudaSuccess;
    });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus *status) {
    return api_call([&](Runtime &runtime) {
        const Stream *stream = runtime.stream(handle);
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        *status = stream->capture == nullptr     ? cudaStreamCaptureStatusNone
                  : stream->capture->invalidated ? cudaStreamCaptureStatusInvalidated
                                                 : cudaStreamCaptureStatusActive;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t handle, unsigned long long flags) {
    return api_call([&](Runtime &runtime) {
        const Graph *graph = find(runtime.graphs, handle);
        if (graph == nullptr || flags != 0) return cudaErrorInvalidValue;
        if (const cudaError_t error = take_injected(runtime, Call::kAllocation); error != cudaSuccess) return error;
        auto *result = new GraphExecutable{graph->body, nullptr};
        runtime.executables.insert(result);
        *executable = reinterpret_cast<cudaGraphExec_t>(result);
        return cudaSuccess;
    });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
    return api_call([&](Runtime &runtime) {
        GraphExecutable *executable = find(runtime.executables, handle);
        Stream *stream = runtime.stream(stream_handle);
        if (executable == nullptr) return cudaErrorInvalidValue;
        if (stream == nullptr) return cudaErrorInvalidResourceHandle;
        cudaError_t error = refuse_on_legacy(runtime, *stream);
        if (error == cudaSuccess && stream->capture != nullptr) {
            // CUDA would record a child graph, which the project has no use for.
            invalidate(*stream->capture);
            error = cudaErrorStreamCaptureUnsupported;
        }
        if (error == cudaSuccess) error = take_injected(runtime, Call::kLaunch);
        if (error != cudaSuccess) return error;
        ++runtime.counters.graph_launches;
        Operation operation = {nullptr, std::make_shared<GraphRun>(executable->body), {}, nullptr};
        if (executable->last_launch != nullptr) operation.after.push_back(executable->last_launch);
        executable->last_launch = enqueue(runtime, *stream, std::move(operation));
        return runtime.device(stream->device)->fault;
    });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t *nodes, size_t *count) {
    return api_call([&](Runtime &runtime) {
        const Graph *graph = find(runtime.graphs, handle);
        if (graph == nullptr || count == nullptr) return cudaErrorInvalidValue;
        // Handles of nodes are not offered, only their number.
        if (nodes != nullptr) return cudaErrorNotSupported;
        *count = graph->body->nodes.size();
        return cudaSuccess;
    });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
    const Session session;
    GraphExecutable *executable = find(session->executables, handle);
    if (executable == nullptr) return note_error(cudaErrorInvalidValue);
    // A launch that is pending keeps the nodes.
    session->executables.erase(executable);
    delete executable;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
    const Session session;
    Graph *graph = find(session->graphs, handle);
    if (graph == nullptr) return note_error(cudaErrorInvalidValue);
    session->graphs.erase(graph);
    delete graph;
    return cudaSuccess;
}
