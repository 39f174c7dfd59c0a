// SPDX-License-Identifier: MIT
// Does the work of streams. What has been asked for may run at once, or at any time until something waits for it: the
// seeded schedule decides, so that host code which relies on either is found out.
#include "runtime.h"

#include "block.h"

#include <cstdlib>

namespace mezzo::cuda_sim {
namespace {

// As on a device, where a launch blocks when too many are pending.
constexpr size_t kMaxPending = 1024;

bool is_ready(const Operation &operation) {
    for (const CompletionPtr &completion : operation.after) {
        if (!completion->done) return false;
    }
    return true;
}

cudaError_t run_work(Runtime &runtime, Device &device, const Work &work) {
    if (!work.run) return cudaSuccess;
    device.arena.open();
    for (const auto &other : runtime.devices) {
        // A kernel sees the memory of its device and of enabled peers alone.
        if (other.get() == &device) continue;
        if (device.peers.contains(other->ordinal)) {
            other->arena.open();
        } else {
            other->arena.close();
        }
    }
    return work.run(device);
}

void fault(Runtime &runtime, Device &device, cudaError_t error) {
    device.fault = error;
    abandon(runtime, device);
}

/// Runs the first operation of a stream, or one node of it if it is a graph.
void step(Runtime &runtime, Stream &stream) {
    Operation &operation = stream.queue.front();
    Device *device = runtime.device(stream.device);
    cudaError_t error = cudaSuccess;
    if (operation.work != nullptr) {
        error = run_work(runtime, *device, *operation.work);
    } else if (operation.graph != nullptr && !operation.graph->is_done()) {
        GraphRun &run = *operation.graph;
        const size_t index = run.take();
        const GraphNode &node = run.body->nodes[index];
        device = runtime.device(node.device);
        error = run_work(runtime, *device, *node.work);
        run.finish(index);
    }
    if (error != cudaSuccess) {
        fault(runtime, *device, error);
        if (device->ordinal != stream.device) abandon(runtime, *runtime.device(stream.device));
        return;
    }
    if (operation.graph != nullptr && !operation.graph->is_done()) return;
    operation.completion->done = true;
    operation.completion->time = std::chrono::steady_clock::now();
    stream.queue.pop_front();
}

/// Runs one step of a random stream that can make one; false when there is none.
bool step_any(Runtime &runtime) {
    Stream *chosen = nullptr;
    uint32_t candidates = 0;
    const auto consider = [&](Stream &stream) {
        if (stream.queue.empty() || !is_ready(stream.queue.front())) return;
        if (randomness.one_in(++candidates)) chosen = &stream;
    };
    for (const auto &device : runtime.devices) consider(device->legacy_stream);
    for (Stream *stream : runtime.streams) consider(*stream);
    if (chosen == nullptr) return false;
    step(runtime, *chosen);
    return true;
}

} // namespace

CompletionPtr enqueue(Runtime &runtime, Stream &stream, Operation operation) {
    Device &device = *runtime.device(stream.device);
    const auto follow = [&](const Stream &other) {
        if (!other.is_idle()) operation.after.push_back(other.last);
    };
    if (&stream == &device.legacy_stream) {
        for (const Stream *other : runtime.streams) {
            if (other->device == stream.device && other->blocking) follow(*other);
        }
    } else if (stream.blocking) {
        follow(device.legacy_stream);
    }
    operation.completion = std::make_shared<Completion>();
    stream.last = operation.completion;
    stream.queue.push_back(std::move(operation));
    CompletionPtr completion = stream.last;
    run_some(runtime);
    return completion;
}

cudaError_t submit(Runtime &runtime, Stream &stream, Work work) {
    if (stream.capture != nullptr) {
        if (stream.capture->invalidated) return cudaErrorStreamCaptureInvalidated;
        capture_work(stream, std::make_shared<const Work>(std::move(work)));
        return cudaSuccess;
    }
    enqueue(runtime, stream, {std::make_shared<const Work>(std::move(work)), nullptr, {}, nullptr});
    return runtime.device(stream.device)->fault;
}

void run_some(Runtime &runtime) {
    size_t pending = 0;
    for (const auto &device : runtime.devices) pending += device->legacy_stream.queue.size();
    for (const Stream *stream : runtime.streams) pending += stream->queue.size();
    if (pending <= kMaxPending && randomness.one_in(2)) return;
    // Half of the time all of it, else a part.
    uint32_t steps = randomness.one_in(2) ? ~0u : randomness.below(pending + 1);
    while (steps-- != 0 && step_any(runtime)) {
    }
}

cudaError_t wait_for(Runtime &runtime, const CompletionPtr &completion) {
    while (completion != nullptr && !completion->done) {
        if (step_any(runtime)) continue;
        report("streams wait for each other");
        std::abort();
    }
    return runtime.current_device().fault;
}

cudaError_t wait_for_stream(Runtime &runtime, Stream &stream) {
    const cudaError_t error = wait_for(runtime, stream.last);
    const cudaError_t own = runtime.device(stream.device)->fault;
    return own != cudaSuccess ? own : error;
}

cudaError_t wait_for_device(Runtime &runtime, Device &device) {
    for (Stream *stream : runtime.streams_of(device.ordinal)) wait_for(runtime, stream->last);
    return device.fault;
}

void drain(Runtime &runtime) {
    while (step_any(runtime)) {
    }
}

void abandon(Runtime &runtime, Device &device) {
    for (Stream *stream : runtime.streams_of(device.ordinal)) {
        for (const Operation &operation : stream->queue) operation.completion->done = true;
        stream->queue.clear();
    }
}

} // namespace mezzo::cuda_sim
