// SPDX-License-Identifier: MIT
// The checks of tensor.h.
#include "core/tensor.h"

#include <algorithm>

namespace mezzo {
namespace {

bool overlaps(const TensorRef &a, const TensorRef &b) {
    return a.bytes_data() < b.bytes_data() + b.bytes() && b.bytes_data() < a.bytes_data() + a.bytes();
}

[[noreturn]] void fail_overlap(const TensorRef &out, const TensorRef &other, const char *expected) {
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "%s shares memory with %s, expected %s", out.name().c_str(),
         other.name().c_str(), expected);
}

} // namespace

void expect_dtype(const TensorRef &tensor, std::initializer_list<mezzo_dtype> accepted) {
    if (!tensor || std::find(accepted.begin(), accepted.end(), tensor.dtype()) != accepted.end()) return;
    std::string names;
    for (const mezzo_dtype *dtype = accepted.begin(); dtype != accepted.end(); ++dtype) {
        if (dtype != accepted.begin()) names += dtype + 1 == accepted.end() ? " or " : ", ";
        names += dtype_name(*dtype);
    }
    fail(MEZZO_STATUS_DTYPE_MISMATCH, "%s is %s, expected dtype %s", tensor.name().c_str(), tensor.text().c_str(),
         names.c_str());
}

void expect_floating(const TensorRef &tensor) {
    expect_dtype(tensor, {MEZZO_DTYPE_F64, MEZZO_DTYPE_F32, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16});
}

void expect_own_or_f32(const TensorRef &tensor, mezzo_dtype dtype) {
    if (dtype_is_half(dtype)) {
        expect_dtype(tensor, {dtype, MEZZO_DTYPE_F32});
    } else {
        expect_dtype(tensor, {dtype});
    }
}

void expect_shape(const TensorRef &tensor, std::span<const int64_t> shape) {
    if (!tensor || std::equal(shape.begin(), shape.end(), tensor.shape().begin(), tensor.shape().end())) return;
    fail(MEZZO_STATUS_SHAPE_MISMATCH, "%s is %s, expected %s", tensor.name().c_str(), tensor.text().c_str(),
         tensor_text(tensor.dtype(), shape).c_str());
}

void expect_shape(const TensorRef &tensor, std::initializer_list<int64_t> shape) {
    expect_shape(tensor, std::span<const int64_t>(shape.begin(), shape.size()));
}

void expect_scalar(const TensorRef &tensor) {
    expect_shape(tensor, std::span<const int64_t>());
}

void expect_same_shape(const TensorRef &tensor, const TensorRef &other) {
    if (other) expect_shape(tensor, other.shape());
}

void expect_same_shape_and_dtype(const TensorRef &tensor, const TensorRef &other) {
    if (!tensor || !other) return;
    expect_dtype(tensor, {other.dtype()});
    expect_same_shape(tensor, other);
}

void expect_same_elements(const TensorRef &tensor, const TensorRef &other) {
    if (!tensor || !other || tensor.elements() == other.elements()) return;
    fail(MEZZO_STATUS_SHAPE_MISMATCH, "%s is %s with %lld elements, expected %lld as in %s", tensor.name().c_str(),
         tensor.text().c_str(), static_cast<long long>(tensor.elements()), static_cast<long long>(other.elements()),
         other.name().c_str());
}

void expect_same_device(const TensorRef &tensor, const TensorRef &other) {
    if (!tensor || !other || &tensor.device() == &other.device()) return;
    fail(MEZZO_STATUS_DEVICE_MISMATCH, "%s is on %s, expected %s as %s", tensor.name().c_str(),
         device_text(tensor.device().id()).c_str(), device_text(other.device().id()).c_str(), other.name().c_str());
}

void expect_same_device(std::initializer_list<const TensorRef *> tensors) {
    const TensorRef *first = nullptr;
    for (const TensorRef *tensor : tensors) {
        if (!*tensor) continue;
        if (first == nullptr) first = tensor;
        expect_same_device(*tensor, *first);
    }
}

void expect_no_overlap(const TensorRef &out, const TensorRef &other) {
    if (out && other && overlaps(out, other)) fail_overlap(out, other, "separate tensors");
}

void expect_separate(std::initializer_list<const TensorRef *> outputs,
                     std::initializer_list<const TensorRef *> inputs) {
    for (const TensorRef *const *out = outputs.begin(); out != outputs.end(); ++out) {
        for (const TensorRef *const *other = outputs.begin(); other != out; ++other) expect_no_overlap(**out, **other);
        for (const TensorRef *in : inputs) expect_no_overlap(**out, *in);
    }
}

void expect_in_place_or_no_overlap(const TensorRef &out, const TensorRef &other) {
    if (!out || !other || !overlaps(out, other)) return;
    if (out.bytes_data() == other.bytes_data() && out.bytes() == other.bytes()) return;
    fail_overlap(out, other, "the same tensor or separate ones");
}

} // namespace mezzo
