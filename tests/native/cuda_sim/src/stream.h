// SPDX-License-Identifier: MIT
// Streams and events: queues of work that has been asked for and not yet been done.
#pragma once

#include "cuda_sim/api_types.h"

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace mezzo::cuda_sim {

struct Capture;
struct Device;
struct GraphRun;

/// What a stream or a node of a graph does, on one device. It may be run many times.
struct Work {
    std::function<cudaError_t(Device &device)> run; // empty: does nothing
};

/// Whether an operation of a stream is done, for those who wait for it.
struct Completion {
    bool done = false;
    std::chrono::steady_clock::time_point time;
};

using CompletionPtr = std::shared_ptr<Completion>;

/// One element of a stream's queue.
struct Operation {
    std::shared_ptr<const Work> work; // or
    std::shared_ptr<GraphRun> graph;  // a graph, run node by node
    std::vector<CompletionPtr> after; // of other streams
    CompletionPtr completion;
};

struct Stream {
    Stream(int device_ordinal, bool is_blocking) : device(device_ordinal), blocking(is_blocking) {}

    int device;
    bool blocking; // waits for the legacy stream, and that one for it
    std::deque<Operation> queue;
    CompletionPtr last; // of the operation issued last, null when there is none

    std::shared_ptr<Capture> capture; // the one it takes part in
    std::vector<size_t> frontier;     // nodes that the next captured one comes after

    bool is_idle() const { return last == nullptr || last->done; }
};

struct Event {
    int device;
    bool timing;
    CompletionPtr recorded; // null until recorded outside of a capture

    std::shared_ptr<Capture> capture; // the one it was last recorded in, null after a record outside
    std::vector<size_t> frontier;
};

} // namespace mezzo::cuda_sim
