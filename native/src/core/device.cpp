// SPDX-License-Identifier: MIT
#include "core/device.h"

#include <mutex>

namespace mezzo {
namespace {

struct Kind {
    const char *name;
    const char *absent; // what to say when the build does not have it
    DeviceSearch (*search)() = nullptr;
    std::once_flag searched{};
    DeviceSearch found{};
};

// Devices are never destroyed: tensors and threads of the program may outlive the library's statics.
Kind &kind_of(mezzo_device_type type) {
    static Kind &cpu = *new Kind{"cpu", "this build of libmezzo has no CPU device"};
    static Kind &cuda = *new Kind{"cuda", "this build of libmezzo has no CUDA kernels"};
    switch (type) {
        case MEZZO_DEVICE_TYPE_CPU:
            return cpu;
        case MEZZO_DEVICE_TYPE_CUDA:
            return cuda;
    }
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "device type is %d, expected 0 (cpu) or 1 (cuda)", static_cast<int>(type));
}

} // namespace

DeviceKind::DeviceKind(mezzo_device_type type, DeviceSearch (*search)()) {
    kind_of(type).search = search;
}

const DeviceSearch &find_devices(mezzo_device_type type) {
    Kind &kind = kind_of(type);
    std::call_once(kind.searched, [&] {
        if (kind.search != nullptr) {
            kind.found = kind.search();
        } else {
            kind.found.missing_reason = kind.absent;
        }
    });
    return kind.found;
}

Device &require_device(mezzo_device id) {
    const DeviceSearch &found = find_devices(id.type);
    const auto count = static_cast<int32_t>(found.devices.size());
    if (count == 0) {
        fail(MEZZO_STATUS_DEVICE_UNAVAILABLE, "there is no device %s: %s", device_text(id).c_str(),
             found.missing_reason.c_str());
    }
    if (id.index < 0 || id.index >= count) {
        fail(MEZZO_STATUS_DEVICE_UNAVAILABLE, "there is no device %s: indices of this kind go from 0 to %d",
             device_text(id).c_str(), count - 1);
    }
    Device &device = *found.devices[static_cast<size_t>(id.index)];
    device.expect_alive();
    return device;
}

void Device::fail_captured_elsewhere() const {
    fail(MEZZO_STATUS_CAPTURE_INVALID, "%s is being captured by another thread", device_text(id()).c_str());
}

void Device::expect_no_capture(const char *reason) const {
    if (capture() == nullptr) return;
    fail(MEZZO_STATUS_CAPTURE_INVALID, "cannot be captured into a graph: %s", reason);
}

void Device::begin_capture() {
    const std::lock_guard<ForkMutex> lock(begin_mutex_);
    if (capture() != nullptr)
        fail(MEZZO_STATUS_CAPTURE_INVALID, "a capture of %s is under way", device_text(id()).c_str());
    capture_.store(std::make_unique<Capture>(*this).release(), std::memory_order_release);
}

std::unique_ptr<Capture> Device::take_capture() {
    Capture *taken = capture();
    if (taken != nullptr) capture_.store(nullptr, std::memory_order_release);
    return std::unique_ptr<Capture>(taken);
}

std::string device_text(mezzo_device id) {
    const std::string name = kind_of(id.type).name;
    return id.type == MEZZO_DEVICE_TYPE_CPU && id.index == 0 ? name : name + ":" + std::to_string(id.index);
}

} // namespace mezzo

mezzo_status mezzo_device_count(int32_t *out_count, mezzo_device_type type) {
    using namespace mezzo;
    return guard("device_count", [&] {
        int32_t &count = require_pointer(out_count, "out_count");
        count = static_cast<int32_t>(find_devices(type).devices.size());
    });
}

mezzo_status mezzo_device_name(const char **out_name, mezzo_device device) {
    using namespace mezzo;
    return guard("device_name", [&] {
        const char *&name = require_pointer(out_name, "out_name");
        name = require_device(device).name().c_str();
    });
}

mezzo_status mezzo_device_missing_reason(const char **out_reason, mezzo_device_type type) {
    using namespace mezzo;
    return guard("device_missing_reason", [&] {
        const char *&reason = require_pointer(out_reason, "out_reason");
        reason = find_devices(type).missing_reason.c_str();
    });
}

mezzo_status mezzo_device_fast_dtype(mezzo_dtype *out_dtype, mezzo_device device) {
    using namespace mezzo;
    return guard("device_fast_dtype", [&] {
        mezzo_dtype &dtype = require_pointer(out_dtype, "out_dtype");
        dtype = require_device(device).fast_dtype();
    });
}

mezzo_status mezzo_device_synchronize(mezzo_device device) {
    using namespace mezzo;
    return guard("device_synchronize", [&] {
        Device &waited_for = require_device(device);
        waited_for.expect_no_capture("nothing that is recorded has run");
        waited_for.synchronize();
    });
}
