// SPDX-License-Identifier: MIT
// unscale as the devices see it; what it does is said in unscale.cpp.
#pragma once

#include <span>
#include <vector>

#include "core/convert.h"
#include "core/op.h"
#include "ops/tensor_list.h"

namespace mezzo {

/// The gradients of one dtype.
struct UnscaleGroup {
    mezzo_dtype dtype;
    ElementList<std::byte *> grads;
};

struct Unscale {
    std::vector<UnscaleGroup> groups; // none of a dtype twice
    TensorData found_inf;
    TensorData scale;
    bool check_only;
};

/// Sorts gradients by dtype. Those that are not given are left out.
std::vector<UnscaleGroup> group_by_dtype(std::span<const TensorData> grads);

void unscale_on_cpu(Device &device, const Unscale &a);

/// What gradients are multiplied by: 1 / scale. The quotient of two floats, rounded to f64 and then to f32, is the one
/// rounded to f32 at once, since f64 has more than twice as many bits.
MEZZO_HOST_DEVICE float inverse_of_scale(const float *scale) {
    return scale == nullptr ? 1.0F : 1.0F / *scale;
}

/// The bits of an element that are all ones in Inf and NaN alone.
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

template <class T>
MEZZO_HOST_DEVICE typename Exponent<T>::Bits exponent_of(T element) {
    using Bits = typename Exponent<T>::Bits;
    return static_cast<Bits>(std::bit_cast<Bits>(element) & Exponent<T>::kMask);
}

template <class T>
MEZZO_HOST_DEVICE bool is_finite(T element) {
    return exponent_of(element) != Exponent<T>::kMask;
}

} // namespace mezzo
