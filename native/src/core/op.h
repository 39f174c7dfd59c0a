// SPDX-License-Identifier: MIT
// How an op meets the devices. Its ABI entry checks the call and describes it as plain data, the Arguments, whose
// type stands for the op. Each kind of device has a function for that type, which registers itself where it is
// written: in ops/<op>.cpp for the CPU, in ops/<op>.cu for CUDA. Nothing knows the list.
#pragma once

#include "core/tensor.h"

#include <array>
#include <typeinfo>

namespace mezzo {

/// Elements of a tensor as an implementation sees them, owned elsewhere. False when it was not given.
struct TensorData {
    std::byte *data = nullptr;
    mezzo_dtype dtype = MEZZO_DTYPE_F32;
    int64_t elements = 0;

    TensorData() = default;
    TensorData(const TensorRef &tensor) {
        if (tensor) *this = TensorData(tensor.bytes_data(), tensor.dtype(), tensor.elements());
    }
    TensorData(std::byte *first, mezzo_dtype type, int64_t count) : data(first), dtype(type), elements(count) {}

    explicit operator bool() const { return data != nullptr; }

    /// The elements as T, which must be the C++ type of the dtype.
    template <class T>
    T *as() const {
        if (dtype != dtype_of<T>) fail_dtype(dtype);
        return reinterpret_cast<T *>(data);
    }

    /// The same; null when it was not given.
    template <class T>
    T *as_or_null() const {
        return data == nullptr ? nullptr : as<T>();
    }
};

/// Declares how an op runs on a kind of device.
template <class Arguments>
class Implementation {
  public:
    using Run = void (*)(Device &device, const Arguments &arguments);

    Implementation(mezzo_device_type type, Run run) { runs_[static_cast<size_t>(type)] = run; }

    static Run of(const Device &device) {
        const Run run = runs_[static_cast<size_t>(device.id().type)];
        if (run == nullptr) {
            fail(MEZZO_STATUS_DEVICE_UNAVAILABLE, "there is no implementation for %s",
                 device_text(device.id()).c_str());
        }
        return run;
    }

  private:
    static inline std::array<Run, kDeviceTypes> runs_{};
};

/// Runs a checked op on a device or, while this thread captures the device, records it.
template <class Arguments>
void run_op(Device &device, const Arguments &arguments) {
    const auto run = Implementation<Arguments>::of(device);
    const Device::Work work(device);
    Capture *capture = work.capture();
    naming_holders(device, [&] {
        if (capture == nullptr) {
            run(device, arguments);
        } else {
            capture->add(typeid(Arguments).name(), [&device, run, arguments] { run(device, arguments); });
        }
    });
}

} // namespace mezzo
