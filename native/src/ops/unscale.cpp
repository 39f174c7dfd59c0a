// SPDX-License-Identifier: MIT
// unscale: found_inf |= any gradient is Inf or NaN;  grads[k][i] *= 1 / scale
//
//   grads      any number of tensors, any shapes, each of a floating dtype
//   found_inf  f32 scalar, only ever set to 1
//   scale      f32 scalar; may be null
//
// The check sees the value before the multiplication, as bits: an exponent of all ones. 1 / scale is computed
// in f64 and rounded to f32; halves are multiplied in f32 and rounded once; a factor of 1 writes nothing.
// Elementwise, so independent of the number of threads. 2 sizeof(T) bytes an element, half of it to check only.
// Source: PyTorch's _amp_foreach_non_finite_check_and_unscale_.
#include <mezzo/ops.h>

#include <atomic>

#include "core/convert.h"
#include "core/descriptor.h"
#include "ops/scalar.h"
#include "ops/tensor_list.h"

namespace mezzo {
namespace {

/// The bits of an element and those of them that are all ones in Inf and NaN alone.
template <class T>
struct Exponent;
template <>
struct Exponent<float> {
    using Bits = uint32_t;
    static constexpr Bits kMask = 0x7f800000;
};
template <>
struct Exponent<double> {
    using Bits = uint64_t;
    static constexpr Bits kMask = 0x7ff0000000000000;
};
template <>
struct Exponent<Half> {
    using Bits = uint16_t;
    static constexpr Bits kMask = 0x7c00;
};
template <>
struct Exponent<BFloat16> {
    using Bits = uint16_t;
    static constexpr Bits kMask = 0x7f80;
};

/// Multiplies where Multiply is set, and returns whether all elements were finite before.
template <class T, bool Multiply>
MEZZO_ALWAYS_INLINE inline bool unscale_range(T *data, int64_t begin, int64_t end, Arithmetic<T> factor) {
    using Bits = typename Exponent<T>::Bits;
    Bits largest = 0;
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) {
        const T element = data[i];
        const auto exponent = static_cast<Bits>(std::bit_cast<Bits>(element) & Exponent<T>::kMask);
        largest = exponent > largest ? exponent : largest;
        if constexpr (Multiply) data[i] = convert<T>(widen(element) * factor);
    }
    return largest != Exponent<T>::kMask;
}

/// Unscales the gradients of dtype T and returns whether all of their elements were finite.
template <class T, bool Multiply>
bool unscale_list(const ElementList<T *> &list, float factor) {
    std::atomic<bool> found{false};
    list.parallel_run([&found, factor](T *data, int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        const bool finite = unscale_range<T, Multiply>(data, begin, end, factor);
        if (!finite) found.store(true, std::memory_order_relaxed);
    });
    return !found;
}

template <class T>
bool unscale_dtype(std::span<const TensorRef> grads, float factor, bool check_only) {
    ElementList<T *> list;
    for (const TensorRef &grad : grads) {
        if (grad.dtype() == dtype_of<T>) list.add(grad.data<T>(), grad.elements());
    }
    return check_only || factor == 1.0F ? unscale_list<T, false>(list, factor) : unscale_list<T, true>(list, factor);
}

void unscale(const TensorRef &found_inf, std::span<const TensorRef> grads, const TensorRef &scale, bool check_only) {
    expect_same_device(found_inf, scale);
    expect_scalar(found_inf);
    expect_dtype(found_inf, {MEZZO_DTYPE_F32});
    expect_scalar(scale);
    expect_dtype(scale, {MEZZO_DTYPE_F32});
    for (const TensorRef &grad : grads) {
        expect_same_device(grad, found_inf);
        expect_floating(grad);
    }
    OverlapCheck overlap;
    overlap.add_written(found_inf);
    if (check_only) {
        overlap.add_read(grads);
    } else {
        overlap.add_written(grads);
    }
    overlap.add_read(scale);
    overlap.run();

    const float factor = inverse_of_scale(scale);
    bool finite = unscale_dtype<float>(grads, factor, check_only);
    finite &= unscale_dtype<double>(grads, factor, check_only);
    finite &= unscale_dtype<Half>(grads, factor, check_only);
    finite &= unscale_dtype<BFloat16>(grads, factor, check_only);
    if (!finite) *found_inf.data<float>() = 1.0F;
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_unscale(mezzo_tensor found_inf, const mezzo_tensor *grads, int32_t count, mezzo_tensor scale,
                           const mezzo_unscale_desc *desc) {
    return mezzo::guard("unscale", [&] {
        constexpr mezzo_unscale_desc kDefaults = {sizeof(mezzo_unscale_desc), 0};
        const mezzo_unscale_desc variant = mezzo::read_descriptor(desc, kDefaults);
        if (variant.check_only != 0 && variant.check_only != 1) {
            mezzo::fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.check_only is %d, expected 0 or 1", variant.check_only);
        }
        mezzo::expect_count(count, 0);
        mezzo::unscale(mezzo::require_tensor(found_inf, "found_inf"), mezzo::require_tensors(grads, count, "grads"),
                       mezzo::optional_tensor(scale, "scale"), variant.check_only == 1);
    });
}
