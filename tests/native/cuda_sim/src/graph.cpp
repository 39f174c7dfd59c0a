// SPDX-License-Identifier: MIT
#include "graph.h"

#include "block.h"
#include "runtime.h"

#include <utility>

namespace mezzo::cuda_sim {

GraphBody::~GraphBody() {
    for (const auto &[arena, pointer] : memory) arena->release(pointer);
}

GraphRun::GraphRun(std::shared_ptr<const GraphBody> graph_body)
    : body(std::move(graph_body)), missing(body->nodes.size()), followers(body->nodes.size()) {
    for (size_t i = 0; i < body->nodes.size(); ++i) {
        missing[i] = body->nodes[i].after.size();
        for (const size_t before : body->nodes[i].after) followers[before].push_back(i);
        if (missing[i] == 0) ready.push_back(i);
    }
}

size_t GraphRun::take() {
    std::swap(ready[randomness.below(ready.size())], ready.back());
    const size_t node = ready.back();
    ready.pop_back();
    return node;
}

void GraphRun::finish(size_t node) {
    for (const size_t follower : followers[node]) {
        if (--missing[follower] == 0) ready.push_back(follower);
    }
}

std::set<size_t> GraphBody::reached_from(const std::vector<size_t> &from) const {
    std::set<size_t> reached;
    std::vector<size_t> open = from;
    while (!open.empty()) {
        const size_t node = open.back();
        open.pop_back();
        if (!reached.insert(node).second) continue;
        open.insert(open.end(), nodes[node].after.begin(), nodes[node].after.end());
    }
    return reached;
}

void capture_work(Stream &stream, std::shared_ptr<const Work> work) {
    GraphBody &body = *stream.capture->body;
    body.nodes.push_back({stream.device, std::move(work), stream.frontier});
    stream.frontier = {body.nodes.size() - 1};
}

void invalidate(Capture &capture) {
    capture.invalidated = true;
}

void end_capture(Capture &capture) {
    for (Stream *stream : capture.streams) {
        stream->capture = nullptr;
        stream->frontier.clear();
    }
    capture.streams.clear();
}

} // namespace mezzo::cuda_sim
