// SPDX-License-Identifier: MIT
// What the optimizers' steps have in common: their arguments and checks, unscaling, clipping and the learning rate.
//
// A Rule is one optimizer:
//
//     struct Rule {
//         using Desc = ...;                      // its hyperparameters, with a field lr
//         static constexpr int kStates = ...;    // of each element
//         template <class T>
//         struct Coefficients { ... };           // of one step, in T, the type that is computed in
//         template <class T>
//         static Coefficients<T> coefficients(const Desc &desc, double lr, uint64_t t);
//         template <class T>                     // one element; returns the new parameter, changes its kStates states
//         static T update(T param, T grad, T *state, const Coefficients<T> &c);
//     };
//
// The CPU runs it as ops/optimizer_cpu.h says, CUDA as device/optimizer.cuh does.
#pragma once

#include <mezzo/ops.h>

#include <initializer_list>
#include <limits>
#include <vector>

#include "core/convert.h"
#include "core/op.h"
#include "ops/tensor_list.h"
#include "ops/unscale.h"

namespace mezzo {

/// An f32 number kept in two places: its upper half, rounded to nearest, half up, is a bf16 parameter, its lower half
/// the remainder. Half up and not to even, because the lower half alone then tells whether the upper one was raised.
/// A NaN becomes the one whose lower half is 0, so that the upper half is one too.
struct Split {
    uint16_t high;
    uint16_t low;

    MEZZO_HOST_DEVICE static Split of(float value) {
        const auto bits = value == value ? __builtin_bit_cast(uint32_t, value) : 0x7FC00000U;
        return {static_cast<uint16_t>((bits >> 16) + (bits >> 15 & 1)), static_cast<uint16_t>(bits)};
    }

    MEZZO_HOST_DEVICE float value() const {
        const uint32_t upper = static_cast<uint32_t>(high) - (low >> 15);
        return __builtin_bit_cast(float, upper << 16 | low);
    }
};

/// The type that a parameter's update is computed in.
template <class Param>
using UpdateType = std::conditional_t<std::is_same_v<Param, Split>, float, Arithmetic<Param>>;

/// Length of an array of so many states: there are no empty ones.
constexpr int slots_of(int states) {
    return states > 0 ? states : 1;
}

/// Where the elements of one parameter are. What was not given is null.
template <int kStates>
struct ParamEntry {
    std::byte *param;
    std::byte *states[slots_of(kStates)];
    std::byte *copy;
    const std::byte *grad;
    const double *grad_norm;
    mezzo_dtype copy_dtype;
};

/// The elements of a parameter, one by one.
template <class Param>
class ParamElements {
  public:
    template <class Entry>
    MEZZO_HOST_DEVICE explicit ParamElements(const Entry &entry) : data_(reinterpret_cast<Param *>(entry.param)) {}

    MEZZO_HOST_DEVICE UpdateType<Param> get(int64_t i) const { return widen(data_[i]); }
    MEZZO_HOST_DEVICE void set(int64_t i, UpdateType<Param> value) const { data_[i] = convert<Param>(value); }

  private:
    Param *data_;
};

template <>
class ParamElements<Split> {
  public:
    template <class Entry>
    MEZZO_HOST_DEVICE explicit ParamElements(const Entry &entry)
        : high_(reinterpret_cast<uint16_t *>(entry.param)), low_(reinterpret_cast<uint16_t *>(entry.copy)) {}

    MEZZO_HOST_DEVICE float get(int64_t i) const { return Split{high_[i], low_[i]}.value(); }
    MEZZO_HOST_DEVICE void set(int64_t i, float value) const {
        const Split split = Split::of(value);
        high_[i] = split.high;
        low_[i] = split.low;
    }

  private:
    uint16_t *high_;
    uint16_t *low_;
};

/// The parameters of one combination of dtypes.
template <int kStates>
struct DTypeGroup {
    mezzo_dtype dtype;
    bool is_split; // bf16 parameters with their remainders
    mezzo_dtype grad_dtype;
    ElementList<ParamEntry<kStates>> params;
};

/// mezzo_step_inputs as the devices see them; null pointers for what was not given.
struct StepInputs {
    int64_t *step;
    const double *lr;
    int64_t lr_count;
    int64_t *lr_step;
    const float *grad_scale;
    const float *found_inf;
    double max_grad_norm;
    double max_grad_value;

    MEZZO_HOST_DEVICE bool is_skipped() const { return found_inf != nullptr && *found_inf != 0; }

    /// Factor of the learning rate when `applied` steps were applied before this one.
    MEZZO_HOST_DEVICE double lr_factor(int64_t applied) const {
        if (lr == nullptr) return 1;
        const auto k = static_cast<uint64_t>(lr_step == nullptr ? applied : *lr_step);
        return lr[k % static_cast<uint64_t>(lr_count)];
    }
};

/// Adds one to a counter, which wraps around.
MEZZO_HOST_DEVICE void count_one(int64_t *counter) {
    *counter = static_cast<int64_t>(static_cast<uint64_t>(*counter) + 1);
}

template <class Rule>
struct OptimizerStep {
    std::vector<DTypeGroup<Rule::kStates>> groups; // none of a combination twice
    StepInputs inputs;
    typename Rule::Desc desc;
};

/// How gradients are unscaled and clipped, in the dtype that is computed in.
template <class T>
struct GradFactors {
    T inverse_scale;
    T max_norm;
    T max_value; // infinite when values are not clipped

    MEZZO_HOST_DEVICE static GradFactors of(const StepInputs &inputs) {
        return {static_cast<T>(inverse_of_scale(inputs.grad_scale)), static_cast<T>(inputs.max_grad_norm),
                inputs.max_grad_value > 0 ? static_cast<T>(inputs.max_grad_value) : std::numeric_limits<T>::infinity()};
    }

    /// What unscaled gradients of this norm are multiplied by; 1 where there is none.
    MEZZO_HOST_DEVICE T coefficient(const double *grad_norm) const {
        if (grad_norm == nullptr) return 1;
        const T quotient = max_norm / (static_cast<T>(*grad_norm) + static_cast<T>(1e-6));
        return quotient > 1 ? 1 : quotient;
    }

    /// An element unscaled and clipped; one factor after the other, whose product may be too small for T.
    MEZZO_HOST_DEVICE T apply(T grad, T coefficient) const { return clamp(grad * inverse_scale * coefficient); }

    /// An unscaled element clipped by value.
    MEZZO_HOST_DEVICE T clamp(T grad) const {
        const T low = grad < -max_value ? -max_value : grad;
        return low > max_value ? max_value : low;
    }
};

/// Calls visitor(TypeTag<Param>, TypeTag<Grad>) with the types of a group.
template <class Group, class Visitor>
void visit_group(const Group &group, const Visitor &visitor) {
    const auto visit_wide = [&](auto param) {
        if (group.grad_dtype == MEZZO_DTYPE_F16) return visitor(param, TypeTag<Half>{});
        if (group.grad_dtype == MEZZO_DTYPE_BF16) return visitor(param, TypeTag<BFloat16>{});
        visitor(param, param);
    };
    const auto visit_half = [&](auto param) {
        if (group.grad_dtype == MEZZO_DTYPE_F32) return visitor(param, TypeTag<float>{});
        visitor(param, param);
    };
    if (group.dtype == MEZZO_DTYPE_F32) return visit_wide(TypeTag<float>{});
    if (group.dtype == MEZZO_DTYPE_F64) return visit_wide(TypeTag<double>{});
    if (group.dtype == MEZZO_DTYPE_F16) return visit_half(TypeTag<Half>{});
    if (group.is_split) {
        if (group.grad_dtype == MEZZO_DTYPE_F32) return visitor(TypeTag<Split>{}, TypeTag<float>{});
        return visitor(TypeTag<Split>{}, TypeTag<BFloat16>{});
    }
    visit_half(TypeTag<BFloat16>{});
}

/// The tensors of a step, as they were given.
struct StepTensors {
    std::vector<TensorRef> params;
    std::vector<std::vector<TensorRef>> states; // of each kind, one for each parameter
    std::vector<TensorRef> param_copies;
    std::vector<TensorRef> grads;
    TensorRef step, lr, lr_step, grad_scale, found_inf, grad_norm;

    /// Looks up what all optimizers take; the states are theirs to add.
    static StepTensors read(const mezzo_tensor *params, const mezzo_tensor *param_copies, const mezzo_tensor *grads,
                            int32_t count, const mezzo_step_inputs *inputs);
};

/// Checks inputs and tensors, which must not overlap.
void check_step(const StepTensors &tensors, const mezzo_step_inputs &inputs);

StepInputs step_inputs(const StepTensors &tensors, const mezzo_step_inputs &inputs);

// Checks of hyperparameters, beside those of core/descriptor.h.
void expect_at_least_zero(double value, const char *name);
void expect_decay(double value, const char *name);

/// Sorts the parameters by their combinations of dtypes.
template <int kStates>
std::vector<DTypeGroup<kStates>> group_by_dtypes(const StepTensors &tensors) {
    std::vector<DTypeGroup<kStates>> groups;
    for (size_t k = 0; k < tensors.params.size(); ++k) {
        const TensorData param = tensors.params[k];
        const TensorData grad = tensors.grads[k];
        const TensorData copy = tensors.param_copies[k];
        ParamEntry<kStates> entry{param.data, {}, copy.data, grad.data, nullptr, copy.dtype};
        for (size_t state = 0; state < kStates; ++state) {
            entry.states[state] = TensorData(tensors.states[state][k]).data;
        }
        if (tensors.grad_norm) {
            entry.grad_norm = tensors.grad_norm.data<const double>() + (tensors.grad_norm.rank() == 0 ? 0 : k);
        }
        const bool is_split = copy && copy.dtype == MEZZO_DTYPE_U8;
        auto group = std::find_if(groups.begin(), groups.end(), [&](const DTypeGroup<kStates> &other) {
            return other.dtype == param.dtype && other.is_split == is_split && other.grad_dtype == grad.dtype;
        });
        if (group == groups.end()) group = groups.insert(group, {param.dtype, is_split, grad.dtype, {}});
        group->params.add(entry, param.elements);
    }
    return groups;
}

/// Checks and runs a step, whose hyperparameters are checked already.
template <class Rule>
void run_step(const StepTensors &tensors, const mezzo_step_inputs &inputs, const typename Rule::Desc &desc) {
    check_step(tensors, inputs);
    run_op(tensors.step.device(),
           OptimizerStep<Rule>{group_by_dtypes<Rule::kStates>(tensors), step_inputs(tensors, inputs), desc});
}

} // namespace mezzo
