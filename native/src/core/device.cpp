// SPDX-License-Identifier: MIT
#include "core/device.h"

#include <deque>
#include <mutex>

namespace mezzo {
namespace {

/// A device, opened when it is first used. One that fails to open is tried again.
class FoundDevice {
  public:
    explicit FoundDevice(std::function<std::unique_ptr<Device>()> open) : open_(std::move(open)) {}

    Device &get() {
        std::call_once(opened_, [this] { device_ = open_(); });
        return *device_;
    }

  private:
    std::function<std::unique_ptr<Device>()> open_;
    std::once_flag opened_; // which a fork while another thread opens leaves as it was
    std::unique_ptr<Device> device_;
};

struct Kind {
    const char *name;
    const char *absent; // what to say when the build does not have it
    DeviceSearch (*search)() = nullptr;
    std::once_flag searched{};
    std::deque<FoundDevice> devices{};
    std::string missing_reason{};
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

/// The kind of device, with what this process has of it.
Kind &search(mezzo_device_type type) {
    Kind &kind = kind_of(type);
    std::call_once(kind.searched, [&] {
        DeviceSearch found{.devices = {}, .missing_reason = kind.absent};
        if (kind.search != nullptr) found = kind.search();
        for (auto &open : found.devices) kind.devices.emplace_back(std::move(open));
        kind.missing_reason = std::move(found.missing_reason);
    });
    return kind;
}

} // namespace

DeviceKind::DeviceKind(mezzo_device_type type, DeviceSearch (*search)()) {
    kind_of(type).search = search;
}

Device &require_device(mezzo_device id) {
    Device &device = require_device_even_if_lost(id);
    device.expect_alive();
    return device;
}

Device &require_device_even_if_lost(mezzo_device id) {
    Kind &found = search(id.type);
    const auto count = static_cast<int32_t>(found.devices.size());
    if (count == 0) {
        fail(MEZZO_STATUS_DEVICE_UNAVAILABLE, "there is no device %s: %s", device_text(id).c_str(),
             found.missing_reason.c_str());
    }
    if (id.index < 0 || id.index >= count) {
        fail(MEZZO_STATUS_DEVICE_UNAVAILABLE, "there is no device %s: indices of this kind go from 0 to %d",
             device_text(id).c_str(), count - 1);
    }
    return found.devices[static_cast<size_t>(id.index)].get();
}

void Device::fail_captured_elsewhere() const {
    fail(MEZZO_STATUS_CAPTURE_INVALID, "%s is being captured by another thread", device_text(id()).c_str());
}

Device::Work::Work(Device &device) : device_(device) {
    device.under_way_.enter();
    try {
        capture_ = device.capture(); // after enter(): a capture that this does not see yet waits for the call
    } catch (...) {
        device.under_way_.leave();
        throw;
    }
}

Device::Work::Work(Device &device, const char *reason) : Work(device) {
    if (capture_ == nullptr) return;
    fail(MEZZO_STATUS_CAPTURE_INVALID, "cannot be captured into a graph: %s", reason);
}

void Device::begin_capture() {
    uint64_t thread = 0;
    if (!capturing_thread_.compare_exchange_strong(thread, this_thread_number())) {
        if (thread != this_thread_number()) fail_captured_elsewhere();
        fail(MEZZO_STATUS_CAPTURE_INVALID, "a capture of %s is under way", device_text(id()).c_str());
    }
    try {
        under_way_.wait_for_none();
        capture_ = std::make_unique<Capture>(*this);
    } catch (...) {
        capturing_thread_.store(0);
        throw;
    }
}

bool Device::end_capture(const std::function<void(Capture &)> &finish) {
    if (capture() == nullptr) return false;
    // Only when all is tidied up may another thread issue work.
    const struct Over {
        Device &device;
        ~Over() {
            device.capture_.reset();
            device.capturing_thread_.store(0);
        }
    } over{*this};
    if (finish) finish(*capture_);
    return true;
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
        count = static_cast<int32_t>(search(type).devices.size());
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
        reason = search(type).missing_reason.c_str();
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
        const Device::Work work(waited_for, "nothing that is recorded has run");
        waited_for.synchronize();
    });
}
