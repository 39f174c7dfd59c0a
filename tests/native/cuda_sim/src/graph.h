// SPDX-License-Identifier: MIT
// Graphs: what a capture records and a replay runs.
#pragma once

#include "arena.h"
#include "stream.h"

#include <set>
#include <thread>

namespace mezzo::cuda_sim {

struct GraphNode {
    int device;
    std::shared_ptr<const Work> work;
    std::vector<size_t> after; // indices of earlier nodes
};

/// The nodes, in an order in which they could run. Shared by a graph, its executables and their runs.
struct GraphBody {
    GraphBody() = default;
    ~GraphBody();
    GraphBody(const GraphBody &) = delete;
    GraphBody &operator=(const GraphBody &) = delete;

    /// All nodes that come before one of `nodes`, and these.
    std::set<size_t> reached_from(const std::vector<size_t> &nodes) const;

    std::vector<GraphNode> nodes;
    std::vector<std::pair<Arena *, void *>> memory; // places reserved by captured allocations
};

/// One replay: any node whose predecessors are done may be the next.
struct GraphRun {
    explicit GraphRun(std::shared_ptr<const GraphBody> graph_body);

    bool is_done() const { return ready.empty(); }
    /// Takes a random ready node out; finish() it when it has been run.
    size_t take();
    void finish(size_t node);

    std::shared_ptr<const GraphBody> body;
    std::vector<size_t> missing; // predecessors that are not done, by node
    std::vector<std::vector<size_t>> followers;
    std::vector<size_t> ready;
};

struct Graph {
    std::shared_ptr<const GraphBody> body;
};

struct GraphExecutable {
    std::shared_ptr<const GraphBody> body;
    CompletionPtr last_launch; // an executable does not overlap with itself
};

/// A capture in progress.
struct Capture {
    cudaStreamCaptureMode mode;
    std::thread::id thread;
    Stream *origin;
    std::set<Stream *> streams; // origin, and those that joined by waiting for an event
    std::shared_ptr<GraphBody> body = std::make_shared<GraphBody>();
    bool invalidated = false;
};

/// Records work instead of doing it.
void capture_work(Stream &stream, std::shared_ptr<const Work> work);

/// The capture will answer cudaErrorStreamCaptureInvalidated from now on.
void invalidate(Capture &capture);

/// Leaves all streams of a capture uncaptured.
void end_capture(Capture &capture);

} // namespace mezzo::cuda_sim
