// SPDX-License-Identifier: MIT
// Captures and graphs of mezzo.h. What is particular to a device is behind Recorder and Recording.
#include "core/graph.h"

#include "core/handle_table.h"
#include "core/host_copy.h"
#include "core/memory_pool.h"
#include "core/tensor.h"

#include <utility>

namespace mezzo {
namespace {

class Graph {
  public:
    Graph(Device &device, std::unique_ptr<Recording> recording, std::shared_ptr<MemoryPool> pool,
          std::shared_ptr<MemoryPool> host_pool, std::unordered_set<std::shared_ptr<Storage>> outside,
          std::unordered_set<std::shared_ptr<const HostCopy>> outside_copies, mezzo_graph_info info)
        : device_(device),
          recording_(std::move(recording)),
          pool_(std::move(pool)),
          host_pool_(std::move(host_pool)),
          outside_(std::move(outside)),
          outside_copies_(std::move(outside_copies)),
          info_(info) {}
    ~Graph() {
        recording_.reset();
        device_.memory().drop_pool(*pool_);
        device_.host_memory().drop_pool(*host_pool_);
    }
    Graph(const Graph &) = delete;
    Graph &operator=(const Graph &) = delete;

    Device &device() const { return device_; }
    const mezzo_graph_info &info() const { return info_; }
    void launch() const { recording_->replay(); }

  private:
    Device &device_;
    std::unique_ptr<Recording> recording_;
    std::shared_ptr<MemoryPool> pool_;
    std::shared_ptr<MemoryPool> host_pool_;
    std::unordered_set<std::shared_ptr<Storage>> outside_;
    std::unordered_set<std::shared_ptr<const HostCopy>> outside_copies_;
    mezzo_graph_info info_;
};

// Never destroyed, as the table of tensors.
HandleTable<Graph> &handles() {
    static auto &table = *new HandleTable<Graph>;
    return table;
}

std::shared_ptr<const Graph> require_graph(mezzo_graph handle) {
    if (handle.id == 0) fail(MEZZO_STATUS_INVALID_HANDLE, "graph is the null graph");
    std::shared_ptr<const Graph> graph = handles().find(handle.id);
    if (graph == nullptr) {
        fail(MEZZO_STATUS_INVALID_HANDLE, "graph is 0x%llx, which is not the handle of a live graph",
             static_cast<unsigned long long>(handle.id));
    }
    graph->device().expect_alive();
    return graph;
}

} // namespace

Capture::Capture(Device &device) : device_(device), pool_(device.memory().enter_pool()) {
    try {
        host_pool_ = device.host_memory().enter_pool();
        recorder_ = device.record();
    } catch (...) {
        leave_pools(false);
        throw;
    }
}

Capture::~Capture() {
    recorder_.reset();
    for (const auto &copy : copies_under_way_) copy->end_capture();
    copies_under_way_.clear();
    if (pool_ == nullptr) return;
    leave_pools(false);
    device_.memory().drop_pool(*pool_);
    device_.host_memory().drop_pool(*host_pool_);
}

void Capture::leave_pools(bool finished) noexcept {
    device_.memory().leave_pool(finished);
    device_.host_memory().leave_pool(finished);
}

void Capture::add(std::string_view op, const std::function<void()> &work) {
    recorder_->add(work);
    ops_ += 1;
    mix(std::hash<std::string_view>{}(op));
}

void Capture::use(const std::shared_ptr<Storage> &storage, int64_t offset) {
    if (pool_->owns(storage->data())) return;
    mix(reinterpret_cast<uintptr_t>(storage->data()) + static_cast<uint64_t>(offset));
    outside_.insert(storage);
}

void Capture::use(const std::shared_ptr<const HostCopy> &copy) {
    copies_under_way_.insert(copy);
    if (host_pool_->owns(copy->data())) {
        mix(copy->number());
        return;
    }
    mix(reinterpret_cast<uintptr_t>(copy->data()));
    outside_copies_.insert(copy);
}

void Capture::forget(const std::shared_ptr<const HostCopy> &copy) {
    copies_under_way_.erase(copy);
}

void Capture::mix(uint64_t value) {
    constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15; // 2^64 / golden ratio
    signature_ = ((signature_ ^ value) * kMultiplier);
    signature_ ^= signature_ >> 32;
}

mezzo_graph Capture::finish() {
    std::unique_ptr<Recording> recording = recorder_->finish();
    const mezzo_graph_info info = {device_.id(), ops_, pool_->bytes(), signature_};
    leave_pools(true);
    const auto graph = std::make_shared<const Graph>(device_, std::move(recording), pool_, host_pool_,
                                                     std::move(outside_), std::move(outside_copies_), info);
    pool_ = nullptr; // the graph drops it
    return {handles().insert(graph)};
}

} // namespace mezzo

mezzo_status mezzo_graph_rehearse(mezzo_device device) {
    using namespace mezzo;
    return guard("graph_rehearse", [&] {
        Device &rehearsed = require_device(device);
        const Device::Work work(rehearsed, "it is about a capture to come");
        rehearsed.memory().rehearse();
    });
}

mezzo_status mezzo_graph_capture_begin(mezzo_device device) {
    using namespace mezzo;
    return guard("graph_capture_begin", [&] { require_device(device).begin_capture(); });
}

mezzo_status mezzo_graph_capture_end(mezzo_graph *out_graph, mezzo_device device) {
    using namespace mezzo;
    return guard("graph_capture_end", [&] {
        Device &captured = require_device_even_if_lost(device);
        if (out_graph == nullptr) captured.end_capture(nullptr); // over, too
        mezzo_graph &graph = require_pointer(out_graph, "out_graph");
        const auto finish = [&](Capture &capture) {
            captured.expect_alive();
            naming_holders(captured, [&] { graph = capture.finish(); });
        };
        if (!captured.end_capture(finish)) {
            fail(MEZZO_STATUS_CAPTURE_INVALID, "no capture of %s is under way", device_text(device).c_str());
        }
    });
}

mezzo_status mezzo_graph_capture_abort(mezzo_device device) {
    using namespace mezzo;
    return guard("graph_capture_abort", [&] { require_device_even_if_lost(device).end_capture(nullptr); });
}

mezzo_status mezzo_graph_launch(mezzo_graph graph) {
    using namespace mezzo;
    return guard("graph_launch", [&] {
        const std::shared_ptr<const Graph> launched = require_graph(graph);
        const Device::Work work(launched->device(), "it is a graph itself");
        naming_holders(launched->device(), [&] { launched->launch(); });
    });
}

mezzo_status mezzo_graph_describe(mezzo_graph_info *out_info, mezzo_graph graph) {
    using namespace mezzo;
    return guard("graph_describe", [&] {
        mezzo_graph_info &info = require_pointer(out_info, "out_info");
        info = require_graph(graph)->info();
    });
}

mezzo_status mezzo_graph_destroy(mezzo_graph graph) {
    using namespace mezzo;
    return guard("graph_destroy", [&] {
        if (graph.id == 0) return;
        if (handles().remove(graph.id) == nullptr) {
            fail(MEZZO_STATUS_INVALID_HANDLE, "graph is 0x%llx, which is not the handle of a live graph",
                 static_cast<unsigned long long>(graph.id));
        }
    });
}
