// SPDX-License-Identifier: MIT
// adam: one optimizer step over a list of parameters, in one pass
//
//   g = grad / grad_scale + weight_decay * p      t = step + 1;  no second term when weight_decay is 0
//   m = beta1 m + (1 - beta1) g                   bc1 = 1 - beta1^t
//   v = beta2 v + (1 - beta2) g g                 bc2 = 1 - beta2^t
//   p = p - (lr / bc1) m / (sqrt(v) / sqrt(bc2) + eps)
//
//   params, exp_avgs (m), exp_avg_sqs (v)  f32 or f64, one shape and dtype for each parameter
//   grads                                  the parameter's dtype, f16 or bf16
//   param_copies                           f16 or bf16, or none, for each parameter
//   step                                   i64 scalar;  grad_scale, found_inf  f32 scalars; may be null
//
// Computed in the parameter's dtype, in PyTorch's order of operations, from left to right as written. The
// hyperparameters and bias corrections are computed in f64 and rounded where they are used; the gradient is
// multiplied by f32(1 / grad_scale), as unscale does. Elementwise, so independent of the number of threads.
// 14 FLOP and, for f32 with an f32 gradient, 28 bytes an element, 2 more for a copy.
// Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015; PyTorch's torch.optim.Adam.
#include <mezzo/ops.h>

#include <cmath>

#include "core/convert.h"
#include "core/descriptor.h"
#include "ops/scalar.h"
#include "ops/tensor_list.h"

namespace mezzo {
namespace {

struct Arguments {
    std::vector<TensorRef> params;
    std::vector<TensorRef> exp_avgs;
    std::vector<TensorRef> exp_avg_sqs;
    std::vector<TensorRef> param_copies;
    TensorRef step;
    std::vector<TensorRef> grads;
    TensorRef grad_scale;
    TensorRef found_inf;
};

void expect_at_least_zero(double value, const char *name) {
    if (std::isfinite(value) && value >= 0) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.%s is %g, expected a finite number of at least 0", name, value);
}

void expect_decay(double value, const char *name) {
    if (value >= 0 && value < 1) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.%s is %g, expected at least 0 and below 1", name, value);
}

void check_descriptor(const mezzo_adam_desc &desc) {
    if (desc.reserved != 0) fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.reserved is %u, expected 0", desc.reserved);
    expect_at_least_zero(desc.lr, "lr");
    expect_decay(desc.beta1, "beta1");
    expect_decay(desc.beta2, "beta2");
    expect_at_least_zero(desc.eps, "eps");
    expect_at_least_zero(desc.weight_decay, "weight_decay");
}

void check_tensors(const Arguments &arguments) {
    const TensorRef &step = arguments.step;
    expect_scalar(step);
    expect_dtype(step, {MEZZO_DTYPE_I64});
    for (const TensorRef *scalar : {&arguments.grad_scale, &arguments.found_inf}) {
        expect_same_device(*scalar, step);
        expect_scalar(*scalar);
        expect_dtype(*scalar, {MEZZO_DTYPE_F32});
    }
    for (size_t k = 0; k < arguments.params.size(); ++k) {
        const TensorRef &param = arguments.params[k];
        const TensorRef &copy = arguments.param_copies[k];
        const TensorRef &grad = arguments.grads[k];
        expect_same_device({&step, &param, &arguments.exp_avgs[k], &arguments.exp_avg_sqs[k], &copy, &grad});
        expect_dtype(param, {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64});
        expect_same_shape_and_dtype(arguments.exp_avgs[k], param);
        expect_same_shape_and_dtype(arguments.exp_avg_sqs[k], param);
        expect_same_shape(copy, param);
        expect_dtype(copy, {MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16});
        expect_same_shape(grad, param);
        expect_dtype(grad, {param.dtype(), MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16});
    }
    OverlapCheck overlap;
    overlap.add_written(arguments.params);
    overlap.add_written(arguments.exp_avgs);
    overlap.add_written(arguments.exp_avg_sqs);
    overlap.add_written(arguments.param_copies);
    overlap.add_written(step);
    overlap.add_read(arguments.grads);
    overlap.add_read(arguments.grad_scale);
    overlap.add_read(arguments.found_inf);
    overlap.run();
}

/// The scalars of one step, in the parameter's dtype.
template <class T>
struct Coefficients {
    Coefficients(const mezzo_adam_desc &desc, double t, float inverse_scale)
        : grad_factor(inverse_scale),
          weight_decay(static_cast<T>(desc.weight_decay)),
          beta1(static_cast<T>(desc.beta1)),
          one_minus_beta1(static_cast<T>(1 - desc.beta1)),
          beta2(static_cast<T>(desc.beta2)),
          one_minus_beta2(static_cast<T>(1 - desc.beta2)),
          step_size(static_cast<T>(desc.lr / (1 - std::pow(desc.beta1, t)))),
          root_of_bc2(static_cast<T>(std::sqrt(1 - std::pow(desc.beta2, t)))),
          eps(static_cast<T>(desc.eps)) {}

    T grad_factor, weight_decay, beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, root_of_bc2, eps;
};

/// Stands for the dtype of a copy that is not wanted.
struct NoCopy {};

template <class T, class Grad, class Copy>
struct Entry {
    T *param;
    T *exp_avg;
    T *exp_avg_sq;
    Copy *copy;
    const Grad *grad;
};

template <class T, class Grad, class Copy>
MEZZO_ALWAYS_INLINE inline void update(const Entry<T, Grad, Copy> &entry, int64_t begin, int64_t end,
                                       Coefficients<T> c) {
    const auto [param, exp_avg, exp_avg_sq, copy, grad] = entry;
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) {
        const T unscaled = convert<T>(grad[i]) * c.grad_factor;
        const T g = c.weight_decay == 0 ? unscaled : unscaled + c.weight_decay * param[i];
        const T m = c.beta1 * exp_avg[i] + c.one_minus_beta1 * g;
        const T v = c.beta2 * exp_avg_sq[i] + c.one_minus_beta2 * g * g;
        const T p = param[i] - c.step_size * m / (std::sqrt(v) / c.root_of_bc2 + c.eps);
        exp_avg[i] = m;
        exp_avg_sq[i] = v;
        param[i] = p;
        if constexpr (!std::is_same_v<Copy, NoCopy>) copy[i] = convert<Copy>(p);
    }
}

/// Whether a parameter's copy is of type Copy.
template <class Copy>
bool is_copy_of(const TensorRef &copy) {
    if constexpr (std::is_same_v<Copy, NoCopy>) {
        return !copy;
    } else {
        return copy && copy.dtype() == dtype_of<Copy>;
    }
}

template <class Copy>
Copy *copy_data(const TensorRef &copy) {
    if constexpr (std::is_same_v<Copy, NoCopy>) {
        return nullptr;
    } else {
        return copy.data<Copy>();
    }
}

/// Updates the parameters of one combination of dtypes.
template <class T, class Grad, class Copy>
void update_combination(const Arguments &arguments, const Coefficients<T> &coefficients) {
    ElementList<Entry<T, Grad, Copy>> list;
    for (size_t k = 0; k < arguments.params.size(); ++k) {
        const TensorRef &param = arguments.params[k];
        const TensorRef &grad = arguments.grads[k];
        const TensorRef &copy = arguments.param_copies[k];
        if (param.dtype() != dtype_of<T> || grad.dtype() != dtype_of<Grad> || !is_copy_of<Copy>(copy)) continue;
        list.add({param.data<T>(), arguments.exp_avgs[k].data<T>(), arguments.exp_avg_sqs[k].data<T>(),
                  copy_data<Copy>(copy), grad.data<const Grad>()},
                 param.elements());
    }
    list.parallel_run([coefficients](const auto &entry, int64_t begin, int64_t end)
                          MEZZO_ALWAYS_INLINE { update(entry, begin, end, coefficients); });
}

template <class T, class Grad>
void update_with_gradients(const Arguments &arguments, const Coefficients<T> &coefficients) {
    update_combination<T, Grad, NoCopy>(arguments, coefficients);
    update_combination<T, Grad, Half>(arguments, coefficients);
    update_combination<T, Grad, BFloat16>(arguments, coefficients);
}

template <class T>
void update_dtype(const Arguments &arguments, const Coefficients<T> &coefficients) {
    update_with_gradients<T, T>(arguments, coefficients);
    update_with_gradients<T, Half>(arguments, coefficients);
    update_with_gradients<T, BFloat16>(arguments, coefficients);
}

void adam_step(const Arguments &arguments, const mezzo_adam_desc &desc) {
    check_descriptor(desc);
    check_tensors(arguments);
    if (arguments.found_inf && *arguments.found_inf.data<float>() != 0) return;

    int64_t &step = *arguments.step.data<int64_t>();
    const auto t = static_cast<double>(step) + 1;
    const float inverse_scale = inverse_of_scale(arguments.grad_scale);
    update_dtype<float>(arguments, {desc, t, inverse_scale});
    update_dtype<double>(arguments, {desc, t, inverse_scale});
    step = static_cast<int64_t>(static_cast<uint64_t>(step) + 1);
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_adam_step(const mezzo_tensor *params, const mezzo_tensor *exp_avgs, const mezzo_tensor *exp_avg_sqs,
                             const mezzo_tensor *param_copies, mezzo_tensor step, const mezzo_tensor *grads,
                             int32_t count, mezzo_tensor grad_scale, mezzo_tensor found_inf,
                             const mezzo_adam_desc *desc) {
    return mezzo::guard("adam_step", [&] {
        constexpr mezzo_adam_desc kDefaults = {sizeof(mezzo_adam_desc), 0, 1e-3, 0.9, 0.999, 1e-8, 0};
        const mezzo_adam_desc hyperparameters = mezzo::read_descriptor(desc, kDefaults);
        mezzo::expect_count(count, 0);
        mezzo::adam_step(
            {mezzo::require_tensors(params, count, "params"), mezzo::require_tensors(exp_avgs, count, "exp_avgs"),
             mezzo::require_tensors(exp_avg_sqs, count, "exp_avg_sqs"),
             mezzo::optional_tensors(param_copies, count, "param_copies"), mezzo::require_tensor(step, "step"),
             mezzo::require_tensors(grads, count, "grads"), mezzo::optional_tensor(grad_scale, "grad_scale"),
             mezzo::optional_tensor(found_inf, "found_inf")},
            hyperparameters);
    });
}
