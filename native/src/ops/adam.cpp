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
#include "ops/adam.h"

#include "core/descriptor.h"
#include "ops/unscale.h"

namespace mezzo {
namespace {

template <class T, class Grad, class Copy>
MEZZO_ALWAYS_INLINE inline void update(const AdamEntry &entry, int64_t begin, int64_t end, AdamCoefficients<T> c) {
    auto *param = reinterpret_cast<T *>(entry.param);
    auto *exp_avg = reinterpret_cast<T *>(entry.exp_avg);
    auto *exp_avg_sq = reinterpret_cast<T *>(entry.exp_avg_sq);
    auto *copy = reinterpret_cast<Copy *>(entry.copy);
    const auto *grad = reinterpret_cast<const Grad *>(entry.grad);
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) {
        const AdamElement<T> next = adam_update({param[i], exp_avg[i], exp_avg_sq[i]}, convert<T>(grad[i]), c);
        exp_avg[i] = next.exp_avg;
        exp_avg_sq[i] = next.exp_avg_sq;
        param[i] = next.param;
        if constexpr (!std::is_same_v<Copy, NoCopy>) copy[i] = convert<Copy>(next.param);
    }
}

void step_on_cpu(Device &, const AdamStep &a) {
    if (a.found_inf && *a.found_inf.as<const float>() != 0) return;
    int64_t &step = *a.step.as<int64_t>();
    const float inverse_scale = inverse_of_scale(a.grad_scale ? a.grad_scale.as<const float>() : nullptr);
    for (const AdamGroup &group : a.groups) {
        visit_group(group, [&](auto type, auto grad, auto copy) {
            using T = typename decltype(type)::type;
            using Grad = typename decltype(grad)::type;
            using Copy = typename decltype(copy)::type;
            const auto c = adam_coefficients<T>(a.desc, step, inverse_scale);
            group.params.parallel_run([c](const AdamEntry &entry, int64_t begin, int64_t end)
                                          MEZZO_ALWAYS_INLINE { update<T, Grad, Copy>(entry, begin, end, c); });
        });
    }
    step = static_cast<int64_t>(static_cast<uint64_t>(step) + 1);
}

const Implementation<AdamStep> cpu_step(MEZZO_DEVICE_TYPE_CPU, step_on_cpu);

struct Tensors {
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

void check_tensors(const Tensors &tensors) {
    const TensorRef &step = tensors.step;
    expect_scalar(step);
    expect_dtype(step, {MEZZO_DTYPE_I64});
    for (const TensorRef *scalar : {&tensors.grad_scale, &tensors.found_inf}) {
        expect_same_device(*scalar, step);
        expect_scalar(*scalar);
        expect_dtype(*scalar, {MEZZO_DTYPE_F32});
    }
    for (size_t k = 0; k < tensors.params.size(); ++k) {
        const TensorRef &param = tensors.params[k];
        const TensorRef &copy = tensors.param_copies[k];
        const TensorRef &grad = tensors.grads[k];
        expect_same_device({&step, &param, &tensors.exp_avgs[k], &tensors.exp_avg_sqs[k], &copy, &grad});
        expect_dtype(param, {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64});
        expect_same_shape_and_dtype(tensors.exp_avgs[k], param);
        expect_same_shape_and_dtype(tensors.exp_avg_sqs[k], param);
        expect_same_shape(copy, param);
        expect_dtype(copy, {MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16});
        expect_same_shape(grad, param);
        expect_dtype(grad, {param.dtype(), MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16});
    }
    OverlapCheck overlap;
    overlap.add_written(tensors.params);
    overlap.add_written(tensors.exp_avgs);
    overlap.add_written(tensors.exp_avg_sqs);
    overlap.add_written(tensors.param_copies);
    overlap.add_written(step);
    overlap.add_read(tensors.grads);
    overlap.add_read(tensors.grad_scale);
    overlap.add_read(tensors.found_inf);
    overlap.run();
}

/// Sorts the parameters by their combinations of dtypes.
std::vector<AdamGroup> group_by_dtypes(const Tensors &tensors) {
    std::vector<AdamGroup> groups;
    for (size_t k = 0; k < tensors.params.size(); ++k) {
        const TensorData param = tensors.params[k];
        const TensorData grad = tensors.grads[k];
        const TensorData copy = tensors.param_copies[k];
        const auto copy_dtype = copy ? std::optional(copy.dtype) : std::nullopt;
        auto group = std::find_if(groups.begin(), groups.end(), [&](const AdamGroup &other) {
            return other.dtype == param.dtype && other.grad_dtype == grad.dtype && other.copy_dtype == copy_dtype;
        });
        if (group == groups.end()) group = groups.insert(group, {param.dtype, grad.dtype, copy_dtype, {}});
        group->params.add(
            {param.data, tensors.exp_avgs[k].bytes_data(), tensors.exp_avg_sqs[k].bytes_data(), copy.data, grad.data},
            param.elements);
    }
    return groups;
}

void adam_step(const Tensors &tensors, const mezzo_adam_desc &desc) {
    check_descriptor(desc);
    check_tensors(tensors);
    run_op(tensors.step.device(),
           AdamStep{group_by_dtypes(tensors), tensors.step, tensors.grad_scale, tensors.found_inf, desc});
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
