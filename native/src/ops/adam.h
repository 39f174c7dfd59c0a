// SPDX-License-Identifier: MIT
// adam as the devices see it; the formulas are said in adam.cpp.
#pragma once

#include <mezzo/ops.h>

#include <cmath>
#include <optional>
#include <vector>

#include "core/convert.h"
#include "core/op.h"
#include "ops/tensor_list.h"

namespace mezzo {

/// Where the elements of one parameter are; copy is null where none is wanted.
struct AdamEntry {
    std::byte *param;
    std::byte *exp_avg;
    std::byte *exp_avg_sq;
    std::byte *copy;
    const std::byte *grad;
};

/// The parameters of one combination of dtypes.
struct AdamGroup {
    mezzo_dtype dtype;
    mezzo_dtype grad_dtype;
    std::optional<mezzo_dtype> copy_dtype;
    ElementList<AdamEntry> params;
};

struct AdamStep {
    std::vector<AdamGroup> groups; // none of a combination twice
    TensorData step;
    TensorData grad_scale;
    TensorData found_inf;
    mezzo_adam_desc desc;
};

/// Stands for the dtype of a copy that is not wanted.
struct NoCopy {};

/// Calls visitor(TypeTag<T>, TypeTag<Grad>, TypeTag<Copy>) with the types of a group.
template <class Visitor>
void visit_group(const AdamGroup &group, const Visitor &visitor) {
    const auto visit_copy = [&](auto type, auto grad) {
        if (!group.copy_dtype) return visitor(type, grad, TypeTag<NoCopy>{});
        if (*group.copy_dtype == MEZZO_DTYPE_F16) return visitor(type, grad, TypeTag<Half>{});
        visitor(type, grad, TypeTag<BFloat16>{});
    };
    const auto visit_grad = [&](auto type) {
        if (group.grad_dtype == MEZZO_DTYPE_F16) return visit_copy(type, TypeTag<Half>{});
        if (group.grad_dtype == MEZZO_DTYPE_BF16) return visit_copy(type, TypeTag<BFloat16>{});
        visit_copy(type, type);
    };
    if (group.dtype == MEZZO_DTYPE_F32) return visit_grad(TypeTag<float>{});
    visit_grad(TypeTag<double>{});
}

/// base^exponent for a base in [0, 1], with the same bits on every device; pow differs from library to library.
/// Squares and multiplies, and carries each product's rounding error along in a second number, which is added at the
/// end: within 0.5 + 2^-50 exponent^2 ulp, so nearly always what an exact pow returns.
/// Source: Graillat, "Accurate floating-point product and exponentiation", IEEE Trans. Computers 58(7), 2009.
MEZZO_HOST_DEVICE double power(double base, uint64_t exponent) {
    double base_error = 0;
    double result = 1;
    double result_error = 0;
    while (true) {
        if ((exponent & 1) != 0) {
            const double product = result * base;
            const double rounding = std::fma(result, base, -product);
            result_error = std::fma(result, base_error, std::fma(result_error, base, rounding));
            result = product;
        }
        exponent >>= 1;
        if (exponent == 0) return result + result_error;
        const double square = base * base;
        const double rounding = std::fma(base, base, -square);
        base_error = std::fma(2 * base, base_error, rounding);
        base = square;
    }
}

/// The scalars of one step, in the parameter's dtype.
template <class T>
struct AdamCoefficients {
    T grad_factor, weight_decay, beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, root_of_bc2, eps;
};

/// `step` steps have been applied before this one.
template <class T>
MEZZO_HOST_DEVICE AdamCoefficients<T> adam_coefficients(const mezzo_adam_desc &desc, int64_t step,
                                                        float inverse_scale) {
    const uint64_t t = static_cast<uint64_t>(step) + 1;
    return {static_cast<T>(inverse_scale),
            static_cast<T>(desc.weight_decay),
            static_cast<T>(desc.beta1),
            static_cast<T>(1 - desc.beta1),
            static_cast<T>(desc.beta2),
            static_cast<T>(1 - desc.beta2),
            static_cast<T>(desc.lr / (1 - power(desc.beta1, t))),
            static_cast<T>(std::sqrt(1 - power(desc.beta2, t))),
            static_cast<T>(desc.eps)};
}

template <class T>
struct AdamElement {
    T param, exp_avg, exp_avg_sq;
};

/// One element after the step.
template <class T>
MEZZO_HOST_DEVICE AdamElement<T> adam_update(AdamElement<T> old, T grad, const AdamCoefficients<T> &c) {
    const T unscaled = grad * c.grad_factor;
    const T g = c.weight_decay == 0 ? unscaled : unscaled + c.weight_decay * old.param;
    const T m = c.beta1 * old.exp_avg + c.one_minus_beta1 * g;
    const T v = c.beta2 * old.exp_avg_sq + c.one_minus_beta2 * g * g;
    return {old.param - c.step_size * m / (std::sqrt(v) / c.root_of_bc2 + c.eps), m, v};
}

} // namespace mezzo
