// SPDX-License-Identifier: MIT
// Tensors, their handles, and the checks that every op begins with.
#pragma once

#include "core/device.h"
#include "core/dtype.h"

#include <array>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>

namespace mezzo {

/// Elements of a tensor and of its views.
class Storage {
  public:
    Storage(Device &device, int64_t bytes) : device_(device), bytes_(bytes), data_(device.memory().allocate(bytes)) {}
    ~Storage() { device_.memory().release(data_, bytes_); }
    Storage(const Storage &) = delete;
    Storage &operator=(const Storage &) = delete;

    Device &device() const { return device_; }
    int64_t bytes() const { return bytes_; }
    std::byte *data() const { return static_cast<std::byte *>(data_); }

  private:
    Device &device_;
    int64_t bytes_;
    void *data_;
};

/// What a handle stands for. It never changes; only the elements do.
struct Tensor {
    std::shared_ptr<Storage> storage;
    std::byte *data;
    mezzo_dtype dtype;
    int32_t rank;
    int64_t elements;
    std::array<int64_t, MEZZO_MAX_RANK> dims; // 0 past rank

    Device &device() const { return storage->device(); }
    int64_t bytes() const { return elements * dtype_size(dtype); }
    std::span<const int64_t> shape() const { return {dims.data(), static_cast<size_t>(rank)}; }
};

/// dtype and shape as messages give them: "f16[150,160]".
std::string tensor_text(mezzo_dtype dtype, std::span<const int64_t> shape);

/// Throws the exception being handled; one that says OUT_OF_MEMORY names the largest tensors of the device, too.
[[noreturn]] void rethrow_naming_holders(const Device &device);

/// Runs what may take memory of a device.
template <class Body>
void naming_holders(const Device &device, const Body &body) {
    try {
        body();
    } catch (...) {
        rethrow_naming_holders(device);
    }
}

/// Makes a tensor of uninitialised elements, or a view of one. Arguments as in mezzo.h.
mezzo_tensor create_tensor(mezzo_device device, mezzo_dtype dtype, const int64_t *shape, int32_t rank);
mezzo_tensor create_view(mezzo_tensor base, int64_t offset, const int64_t *shape, int32_t rank);

/// An argument of an op: a tensor with the name that messages give it. It keeps the elements alive while
/// the op runs, whatever other threads destroy. An optional argument that was not given is false.
class TensorRef {
  public:
    TensorRef(std::shared_ptr<const Tensor> tensor, std::string name)
        : tensor_(std::move(tensor)), name_(std::move(name)) {}

    explicit operator bool() const { return tensor_ != nullptr; }
    const std::string &name() const { return name_; }

    mezzo_dtype dtype() const { return tensor_->dtype; }
    int32_t rank() const { return tensor_->rank; }
    int64_t elements() const { return tensor_->elements; }
    int64_t bytes() const { return tensor_->bytes(); }
    std::span<const int64_t> shape() const { return tensor_->shape(); }
    int64_t dim(int32_t index) const { return tensor_->dims[static_cast<size_t>(index)]; }
    Device &device() const { return tensor_->device(); }

    const std::shared_ptr<const Tensor> &tensor() const { return tensor_; }

    std::byte *bytes_data() const { return tensor_->data; }

    /// The elements as T, which must be the C++ type of dtype().
    template <class T>
    T *data() const {
        if (dtype() != dtype_of<T>) fail_type(dtype_of<T>);
        return reinterpret_cast<T *>(tensor_->data);
    }

    /// tensor_text() of it.
    std::string text() const;

  private:
    [[noreturn]] void fail_type(mezzo_dtype read_as) const;

    std::shared_ptr<const Tensor> tensor_;
    std::string name_;
};

/// The elements as T; null for an optional argument that was not given.
template <class T>
T *data_or_null(const TensorRef &tensor) {
    return tensor ? tensor.data<T>() : nullptr;
}

/// Looks up a handle; INVALID_HANDLE when it is null, stale or made up.
TensorRef require_tensor(mezzo_tensor handle, const char *name);

/// The same for element `index` of an array argument, named "grads[3]".
TensorRef require_tensor(mezzo_tensor handle, const char *name, int64_t index);

/// Like require_tensor(), but the null tensor gives a false TensorRef.
TensorRef optional_tensor(mezzo_tensor handle, const char *name);
TensorRef optional_tensor(mezzo_tensor handle, const char *name, int64_t index);

// Checks. Each throws one sentence that names the argument, what was expected and what was got. A false
// TensorRef passes all of them.

/// DTYPE_MISMATCH unless the dtype is one of `accepted`.
void expect_dtype(const TensorRef &tensor, std::initializer_list<mezzo_dtype> accepted);

/// DTYPE_MISMATCH unless it is f64, f32, f16 or bf16.
void expect_floating(const TensorRef &tensor);

/// DTYPE_MISMATCH unless the dtype is this one or, beside a half, f32.
void expect_own_or_f32(const TensorRef &tensor, mezzo_dtype dtype);

/// SHAPE_MISMATCH unless the shape is this one.
void expect_shape(const TensorRef &tensor, std::span<const int64_t> shape);
void expect_shape(const TensorRef &tensor, std::initializer_list<int64_t> shape);

/// SHAPE_MISMATCH unless the tensor is a scalar.
void expect_scalar(const TensorRef &tensor);

/// Same shape as `other`; same shape and dtype.
void expect_same_shape(const TensorRef &tensor, const TensorRef &other);
void expect_same_shape_and_dtype(const TensorRef &tensor, const TensorRef &other);

/// SHAPE_MISMATCH unless the two have the same number of elements.
void expect_same_elements(const TensorRef &tensor, const TensorRef &other);

/// DEVICE_MISMATCH unless all tensors live on one device.
void expect_same_device(std::initializer_list<const TensorRef *> tensors);
void expect_same_device(const TensorRef &tensor, const TensorRef &other);

/// INVALID_ARGUMENT when an output shares memory with another argument.
void expect_no_overlap(const TensorRef &out, const TensorRef &other);

/// The same for each output and each input, and for the outputs among each other.
void expect_separate(std::initializer_list<const TensorRef *> outputs, std::initializer_list<const TensorRef *> inputs);

/// The same for an op that works in place: the very same elements are accepted, a partial overlap is not.
void expect_in_place_or_no_overlap(const TensorRef &out, const TensorRef &other);

} // namespace mezzo
