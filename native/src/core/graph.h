// SPDX-License-Identifier: MIT
// Captured work: what a device's ops are recorded into, and what is run again and again afterwards.
#pragma once

#include "core/memory.h"

#include <functional>
#include <memory>
#include <string_view>
#include <unordered_set>

namespace mezzo {

class Device;
class HostCopy;
class Storage;

/// Work that can be run again.
class Recording {
  public:
    virtual ~Recording() = default;
    virtual void replay() = 0;
};

/// What a device records with, from its start to finish(). Destroyed before that, it drops everything.
class Recorder {
  public:
    virtual ~Recorder() = default;
    virtual void add(const std::function<void()> &work) = 0;
    virtual std::unique_ptr<Recording> finish() = 0;
};

/// A capture under way. Only the thread that began it touches it.
class Capture {
  public:
    explicit Capture(Device &device);
    ~Capture();
    Capture(const Capture &) = delete;
    Capture &operator=(const Capture &) = delete;

    /// Records an op's work; `op` is a text that tells it from others.
    void add(std::string_view op, const std::function<void()> &work);

    /// Notes that an op uses elements at `offset` of a storage. One from outside is kept for the graph's life.
    void use(const std::shared_ptr<Storage> &storage, int64_t offset);

    /// Notes that copying to or from host memory is recorded, which is under way until forget() or the end. A copy from
    /// outside is kept for the graph's life.
    void use(const std::shared_ptr<const HostCopy> &copy);
    void forget(const std::shared_ptr<const HostCopy> &copy);

    /// Number of ops recorded.
    int64_t ops() const { return ops_; }

    /// The handle of the finished graph; the capture is of no use afterwards.
    mezzo_graph finish();

  private:
    void mix(uint64_t value);
    void leave_pools(bool finished) noexcept;

    Device &device_;
    std::shared_ptr<MemoryPool> pool_;
    std::shared_ptr<MemoryPool> host_pool_; // of host memory, for copies
    std::unique_ptr<Recorder> recorder_;
    std::unordered_set<std::shared_ptr<Storage>> outside_;
    std::unordered_set<std::shared_ptr<const HostCopy>> outside_copies_;
    std::unordered_set<std::shared_ptr<const HostCopy>> copies_under_way_;
    int64_t ops_ = 0;
    uint64_t signature_ = 0;
};

} // namespace mezzo
