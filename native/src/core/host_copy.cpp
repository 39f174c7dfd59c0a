// SPDX-License-Identifier: MIT
// Copies in host memory of mezzo.h. What is particular to a device is behind HostTransfer.
#include "core/host_copy.h"

#include "core/handle_table.h"

#include <mutex>

namespace mezzo {
namespace {

// Never destroyed, as the table of tensors.
HandleTable<HostCopy> &handles() {
    static auto &table = *new HandleTable<HostCopy>;
    return table;
}

[[noreturn]] void fail_handle(mezzo_host_copy handle) {
    fail(MEZZO_STATUS_INVALID_HANDLE, "copy is 0x%llx, which is not the handle of a live copy",
         static_cast<unsigned long long>(handle.id));
}

std::shared_ptr<const HostCopy> require_copy(mezzo_host_copy handle) {
    if (handle.id == 0) fail(MEZZO_STATUS_INVALID_HANDLE, "copy is the null copy");
    std::shared_ptr<const HostCopy> copy = handles().find(handle.id);
    if (copy == nullptr) fail_handle(handle);
    copy->device().expect_alive();
    return copy;
}

} // namespace

HostCopy::HostCopy(const TensorRef &tensor, const Capture *capture)
    : device_(tensor.device()),
      dtype_(tensor.dtype()),
      elements_(tensor.elements()),
      bytes_(tensor.bytes()),
      number_(capture != nullptr ? static_cast<uint64_t>(capture->ops()) : 0),
      transfer_(device_.host_transfer()),
      data_(device_.host_memory().allocate(bytes_)) {}

HostCopy::~HostCopy() {
    if (!under_way_.empty()) transfer_->finish();
    device_.host_memory().release(data_, bytes_);
}

void HostCopy::expect_fits(const TensorRef &out_tensor) const {
    if (&out_tensor.device() != &device_) {
        fail(MEZZO_STATUS_DEVICE_MISMATCH, "%s is on %s, expected %s as copy", out_tensor.name().c_str(),
             device_text(out_tensor.device().id()).c_str(), device_text(device_.id()).c_str());
    }
    if (out_tensor.dtype() != dtype_) {
        fail(MEZZO_STATUS_DTYPE_MISMATCH, "%s is %s, expected dtype %s as copy", out_tensor.name().c_str(),
             out_tensor.text().c_str(), dtype_name(dtype_));
    }
    if (out_tensor.elements() != elements_) {
        fail(MEZZO_STATUS_SHAPE_MISMATCH, "%s is %s with %lld elements, expected %lld as in copy",
             out_tensor.name().c_str(), out_tensor.text().c_str(), static_cast<long long>(out_tensor.elements()),
             static_cast<long long>(elements_));
    }
}

void HostCopy::copy_from(const TensorRef &tensor, Capture *capture) const {
    begin(tensor, data_, tensor.bytes_data(), "host_copy_create", capture);
}

void HostCopy::copy_to(const TensorRef &tensor, Capture *capture) const {
    begin(tensor, tensor.bytes_data(), data_, "host_copy_restore", capture);
}

void HostCopy::begin(const TensorRef &tensor, void *to, const void *from, const char *op, Capture *capture) const {
    const std::lock_guard<ForkMutex> lock(mutex_);
    under_way_.push_back(tensor.tensor());
    captured_ = capture != nullptr;
    if (capture == nullptr) {
        transfer_->begin(to, from, bytes_);
        return;
    }
    capture->use(shared_from_this());
    capture->add(op, [transfer = transfer_, to, from, bytes = bytes_] { transfer->begin(to, from, bytes); });
}

void HostCopy::wait(Capture *capture) const {
    std::vector<std::shared_ptr<const Tensor>> waited_for; // freed when the lock, which allows no other, is gone
    const std::lock_guard<ForkMutex> lock(mutex_);
    if (under_way_.empty()) return;
    if (capture == nullptr) {
        transfer_->order_work_after();
    } else if (captured_) {
        capture->add("host_copy_wait", [transfer = transfer_] { transfer->order_work_after(); });
        capture->forget(shared_from_this());
    } // else it was begun before the capture, which began when all of that had finished
    waited_for.swap(under_way_);
    captured_ = false;
}

void HostCopy::end_capture() const noexcept {
    std::vector<std::shared_ptr<const Tensor>> waited_for;
    const std::lock_guard<ForkMutex> lock(mutex_);
    waited_for.swap(under_way_);
    captured_ = false;
}

} // namespace mezzo

mezzo_status mezzo_host_copy_create(mezzo_host_copy *out_copy, mezzo_tensor tensor) {
    using namespace mezzo;
    return guard("host_copy_create", [&] {
        mezzo_host_copy &copy = require_pointer(out_copy, "out_copy");
        const TensorRef source = require_tensor(tensor, "tensor");
        const Device::Work work(source.device());
        const auto made = std::make_shared<const HostCopy>(source, work.capture());
        made->copy_from(source, work.capture());
        copy = {handles().insert(made)};
    });
}

mezzo_status mezzo_host_copy_wait(mezzo_host_copy copy) {
    using namespace mezzo;
    return guard("host_copy_wait", [&] {
        const std::shared_ptr<const HostCopy> waited_for = require_copy(copy);
        const Device::Work work(waited_for->device());
        waited_for->wait(work.capture());
    });
}

mezzo_status mezzo_host_copy_restore(mezzo_tensor out_tensor, mezzo_host_copy copy) {
    using namespace mezzo;
    return guard("host_copy_restore", [&] {
        const TensorRef tensor = require_tensor(out_tensor, "out_tensor");
        const std::shared_ptr<const HostCopy> restored = require_copy(copy);
        restored->expect_fits(tensor);
        const Device::Work work(tensor.device());
        restored->copy_to(tensor, work.capture());
    });
}

mezzo_status mezzo_host_copy_destroy(mezzo_host_copy copy) {
    using namespace mezzo;
    return guard("host_copy_destroy", [&] {
        if (copy.id == 0) return;
        if (handles().remove(copy.id) == nullptr) fail_handle(copy);
    });
}
