// SPDX-License-Identifier: MIT
// Element types: sizes, names, the 16-bit storage types and the step from a run-time dtype to a C++ type.
#pragma once

#include "core/error.h"
#include "core/inline.h"

#include <bit>
#include <cstdint>
#include <type_traits>

namespace mezzo {

/// IEEE 754 binary16, storage only.
struct Half {
    uint16_t bits;
};

/// The upper half of a binary32, storage only.
struct BFloat16 {
    uint16_t bits;
};

template <class T>
inline constexpr bool is_half = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;

/// The type in which elements of type T are computed: f32 for the halves, else T itself.
template <class T>
using Arithmetic = std::conditional_t<is_half<T>, float, T>;

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> : std::integral_constant<mezzo_dtype, MEZZO_DTYPE_F32> {};
template <>
struct DTypeOf<double> : std::integral_constant<mezzo_dtype, MEZZO_DTYPE_F64> {};
template <>
struct DTypeOf<Half> : std::integral_constant<mezzo_dtype, MEZZO_DTYPE_F16> {};
template <>
struct DTypeOf<BFloat16> : std::integral_constant<mezzo_dtype, MEZZO_DTYPE_BF16> {};
template <>
struct DTypeOf<int64_t> : std::integral_constant<mezzo_dtype, MEZZO_DTYPE_I64> {};
template <>
struct DTypeOf<int32_t> : std::integral_constant<mezzo_dtype, MEZZO_DTYPE_I32> {};
template <>
struct DTypeOf<uint8_t> : std::integral_constant<mezzo_dtype, MEZZO_DTYPE_U8> {};

/// The dtype that stands for the C++ type T.
template <class T>
inline constexpr mezzo_dtype dtype_of = DTypeOf<std::remove_const_t<T>>::value;

/// Carries a type to a generic lambda: `[&](auto tag) { using T = typename decltype(tag)::type; ... }`.
template <class T>
struct TypeTag {
    using type = T;
};

[[noreturn]] void fail_dtype(mezzo_dtype dtype);

/// Calls `visitor(TypeTag<T>{})` with the C++ type of a dtype.
template <class Visitor>
decltype(auto) visit_dtype(mezzo_dtype dtype, Visitor &&visitor) {
    switch (dtype) {
        case MEZZO_DTYPE_F32:
            return visitor(TypeTag<float>{});
        case MEZZO_DTYPE_F64:
            return visitor(TypeTag<double>{});
        case MEZZO_DTYPE_F16:
            return visitor(TypeTag<Half>{});
        case MEZZO_DTYPE_BF16:
            return visitor(TypeTag<BFloat16>{});
        case MEZZO_DTYPE_I64:
            return visitor(TypeTag<int64_t>{});
        case MEZZO_DTYPE_I32:
            return visitor(TypeTag<int32_t>{});
        case MEZZO_DTYPE_U8:
            return visitor(TypeTag<uint8_t>{});
    }
    fail_dtype(dtype);
}

/// visit_dtype() for ops that take floating dtypes only; instantiates nothing for integers.
template <class Visitor>
decltype(auto) visit_floating_dtype(mezzo_dtype dtype, Visitor &&visitor) {
    switch (dtype) {
        case MEZZO_DTYPE_F32:
            return visitor(TypeTag<float>{});
        case MEZZO_DTYPE_F64:
            return visitor(TypeTag<double>{});
        case MEZZO_DTYPE_F16:
            return visitor(TypeTag<Half>{});
        case MEZZO_DTYPE_BF16:
            return visitor(TypeTag<BFloat16>{});
        default:
            fail_dtype(dtype);
    }
}

/// visit_floating_dtype() for an op that stores elements of dtype `in` as they are or in the type that they are
/// computed in: calls `visitor(TypeTag<In>{}, TypeTag<Out>{})`.
template <class Visitor>
decltype(auto) visit_widening(mezzo_dtype in, mezzo_dtype out, Visitor &&visitor) {
    return visit_floating_dtype(in, [&](auto tag) {
        using A = Arithmetic<typename decltype(tag)::type>;
        return in == out ? visitor(tag, tag) : visitor(tag, TypeTag<A>{});
    });
}

/// Short name of a dtype, as in messages: "f32".
const char *dtype_name(mezzo_dtype dtype);

/// Bytes of one element; INVALID_ARGUMENT when `dtype` is not a dtype.
int64_t dtype_size(mezzo_dtype dtype);

constexpr bool dtype_is_half(mezzo_dtype dtype) {
    return dtype == MEZZO_DTYPE_F16 || dtype == MEZZO_DTYPE_BF16;
}

/// The dtype that stands for Arithmetic of a floating dtype's type.
constexpr mezzo_dtype arithmetic_dtype(mezzo_dtype dtype) {
    return dtype_is_half(dtype) ? MEZZO_DTYPE_F32 : dtype;
}

} // namespace mezzo
