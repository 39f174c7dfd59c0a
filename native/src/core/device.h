// SPDX-License-Identifier: MIT
// Devices. A kind of device is one subclass of Device and one DeviceKind object in the file that
// implements it; nothing else knows the list.
#pragma once

#include "core/memory.h"

#include <memory>
#include <string>
#include <vector>

namespace mezzo {

class Device {
  public:
    Device(mezzo_device id, std::string name, std::unique_ptr<MemorySource> source)
        : id_(id), name_(std::move(name)), source_(std::move(source)), memory_(*source_) {}
    virtual ~Device() = default;
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    mezzo_device id() const { return id_; }
    const std::string &name() const { return name_; }
    Allocator &memory() { return memory_; }

    virtual mezzo_dtype fast_dtype() const = 0;
    virtual void synchronize() = 0;

    // Ordered after the work issued before; copy_to_host and copy_from_host have finished when they return.
    virtual void copy_from_host(void *to, const void *from, int64_t bytes) = 0;
    virtual void copy_to_host(void *to, const void *from, int64_t bytes) = 0;
    virtual void copy_within(void *to, const void *from, int64_t bytes) = 0;

  private:
    mezzo_device id_;
    std::string name_;
    std::unique_ptr<MemorySource> source_;
    Allocator memory_; // gives its cache back to source_
};

/// What a search for the devices of one kind has found.
struct DeviceSearch {
    std::vector<std::unique_ptr<Device>> devices;
    std::string missing_reason; // one sentence when there is none
};

/// Declares a kind of device; `search` runs once, when the kind is first asked for.
class DeviceKind {
  public:
    DeviceKind(mezzo_device_type type, DeviceSearch (*search)());
};

/// The devices of a kind; INVALID_ARGUMENT when `type` is not a mezzo_device_type.
const DeviceSearch &find_devices(mezzo_device_type type);

/// The device of an id; DEVICE_UNAVAILABLE when it does not exist.
Device &require_device(mezzo_device id);

/// "cpu", "cuda:1".
std::string device_text(mezzo_device id);

} // namespace mezzo
