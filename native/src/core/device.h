// SPDX-License-Identifier: MIT
// Devices. A kind of device is one subclass of Device and one DeviceKind object in the file that
// implements it; nothing else knows the list.
#pragma once

#include "core/graph.h"
#include "core/memory.h"
#include "core/thread_number.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace mezzo {

inline constexpr size_t kDeviceTypes = 2; // values of mezzo_device_type

/// Copying between elements and a block of host_memory(), beside the work that is issued meanwhile. One instance has
/// it begun again and again; what is asked of it holds for the last time.
class HostTransfer {
  public:
    virtual ~HostTransfer() = default;

    /// After the work issued before and all copying begun before. One side is the host's.
    virtual void begin(void *to, const void *from, int64_t bytes) = 0;

    /// What is issued from now on comes after it.
    virtual void order_work_after() = 0;

    /// Waits for it, where it was not begun in a capture.
    virtual void finish() noexcept = 0;
};

class Device {
  public:
    /// `host_source` is of the host memory that tensors are copied to.
    Device(mezzo_device id, std::string name, std::unique_ptr<MemorySource> source,
           std::unique_ptr<MemorySource> host_source)
        : id_(id),
          name_(std::move(name)),
          source_(std::move(source)),
          host_source_(std::move(host_source)),
          memory_(*source_),
          host_memory_(*host_source_) {}
    virtual ~Device() = default;
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    mezzo_device id() const { return id_; }
    const std::string &name() const { return name_; }
    Allocator &memory() { return memory_; }

    /// For copies of tensors. A block may rest while a copying that work has been ordered after still uses it: to use
    /// it again by another HostTransfer is safe, by the host it is not.
    Allocator &host_memory() { return host_memory_; }
    virtual std::shared_ptr<HostTransfer> host_transfer() = 0;

    virtual mezzo_dtype fast_dtype() const = 0;
    virtual void synchronize() = 0;

    /// Starts to record what the calling thread issues.
    virtual std::unique_ptr<Recorder> record() = 0;

    /// Throws unless the device can still be used.
    virtual void expect_alive() const {}

    // Ordered after the work issued before; copy_to_host and copy_from_host have finished when they return.
    virtual void copy_from_host(void *to, const void *from, int64_t bytes) = 0;
    virtual void copy_to_host(void *to, const void *from, int64_t bytes) = 0;
    virtual void copy_within(void *to, const void *from, int64_t bytes) = 0;

    /// The capture that the calling thread's ops go into, null for none; CAPTURE_INVALID when another thread's
    /// capture is under way.
    Capture *capture() const {
        const uint64_t thread = capturing_thread_.load();
        if (thread == 0) return nullptr;
        if (thread != this_thread_number()) fail_captured_elsewhere();
        return capture_.get();
    }

    /// A call that issues work to the device. It cannot come between another thread's capture and what that records:
    /// a capture begins when no such call is under way, and until it is over they answer CAPTURE_INVALID.
    class Work {
      public:
        explicit Work(Device &device);
        /// Of a call that cannot be recorded either: CAPTURE_INVALID in this thread's own capture; `reason` says why.
        Work(Device &device, const char *reason);
        ~Work() { device_.under_way_.leave(); }
        Work(const Work &) = delete;
        Work &operator=(const Work &) = delete;

        /// The capture that the work goes into, null for none.
        Capture *capture() const { return capture_; }

      private:
        Device &device_;
        Capture *capture_;
    };

    /// Begins a capture by this thread; CAPTURE_INVALID when one is under way.
    void begin_capture();

    /// Ends this thread's capture, dropping what it holds where finish() was not called. False when there is none;
    /// CAPTURE_INVALID when it is another thread's.
    bool end_capture(const std::function<void(Capture &)> &finish);

  private:
    [[noreturn]] void fail_captured_elsewhere() const;

    mezzo_device id_;
    std::string name_;
    std::unique_ptr<MemorySource> source_;
    std::unique_ptr<MemorySource> host_source_;
    Allocator memory_;                          // gives its cache back to source_
    Allocator host_memory_;                     // and to host_source_
    ForkCounter under_way_;                     // calls that issue work
    std::atomic<uint64_t> capturing_thread_{0}; // 0 for none
    std::unique_ptr<Capture> capture_;          // touched by that thread alone
};

/// What a search for the devices of one kind has found.
struct DeviceSearch {
    std::vector<std::function<std::unique_ptr<Device>()>> devices; // each opens one, when it is first used
    std::string missing_reason;                                    // one sentence when there is none
};

/// Declares a kind of device; `search` runs once, when the kind is first asked for. A search opens nothing: a GPU that
/// is only counted is left alone, memory included.
class DeviceKind {
  public:
    DeviceKind(mezzo_device_type type, DeviceSearch (*search)());
};

/// The device of an id; DEVICE_UNAVAILABLE when it does not exist. CONTEXT_LOST when it is of no more use, unless it
/// is only to be tidied up.
Device &require_device(mezzo_device id);
Device &require_device_even_if_lost(mezzo_device id);

/// "cpu", "cuda:1".
std::string device_text(mezzo_device id);

} // namespace mezzo
