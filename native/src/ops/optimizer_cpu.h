// SPDX-License-Identifier: MIT
// An optimizer's step on the CPU: one pass over all elements, shared by threads, vectorised.
#pragma once

#include "ops/optimizer.h"

namespace mezzo {

namespace optimizer_detail {

/// Updates the elements [begin, end) of a parameter and then, while they are in the first-level cache, its copy.
template <class Rule, class Param, class Grad, class Coefficients>
MEZZO_ALWAYS_INLINE inline void update_range(const ParamEntry<Rule::kStates> &entry, int64_t begin, int64_t end,
                                             GradFactors<Arithmetic<Param>> factors, Coefficients c) {
    using T = Arithmetic<Param>;
    constexpr int64_t kChunk = 1024;
    auto *param = reinterpret_cast<Param *>(entry.param);
    const auto *grad = reinterpret_cast<const Grad *>(entry.grad);
    T *states[slots_of(Rule::kStates)];
    for (int k = 0; k < Rule::kStates; ++k) states[k] = reinterpret_cast<T *>(entry.states[k]);
    const T coefficient = factors.coefficient(entry.grad_norm);
    for (int64_t first = begin; first < end; first += kChunk) {
        const int64_t past = first + kChunk < end ? first + kChunk : end;
#pragma GCC ivdep
        for (int64_t i = first; i < past; ++i) {
            T state[slots_of(Rule::kStates)];
            for (int k = 0; k < Rule::kStates; ++k) state[k] = states[k][i];
            const T g = factors.apply(convert<T>(grad[i]), coefficient);
            param[i] = convert<Param>(Rule::update(convert<T>(param[i]), g, state, c));
            for (int k = 0; k < Rule::kStates; ++k) states[k][i] = state[k];
        }
        if (entry.copy == nullptr) continue;
        const auto write_copy = [&](auto *copy) MEZZO_ALWAYS_INLINE {
            using Copy = std::remove_pointer_t<decltype(copy)>;
#pragma GCC ivdep
            for (int64_t i = first; i < past; ++i) copy[i] = convert<Copy>(param[i]);
        };
        if (entry.copy_dtype == MEZZO_DTYPE_F16) {
            write_copy(reinterpret_cast<Half *>(entry.copy));
        } else {
            write_copy(reinterpret_cast<BFloat16 *>(entry.copy));
        }
    }
}

} // namespace optimizer_detail

template <class Rule>
void step_on_cpu(Device &, const OptimizerStep<Rule> &a) {
    const StepInputs &inputs = a.inputs;
    if (!inputs.is_skipped()) {
        const int64_t applied = *inputs.step;
        const double lr = a.desc.lr * inputs.lr_factor(applied);
        for (const auto &group : a.groups) {
            visit_group(group, [&](auto param, auto grad) {
                using Param = typename decltype(param)::type;
                using Grad = typename decltype(grad)::type;
                using T = Arithmetic<Param>;
                const auto factors = GradFactors<T>::of(inputs);
                const auto c = Rule::template coefficients<T>(a.desc, lr, static_cast<uint64_t>(applied) + 1);
                group.params.parallel_run([factors, c](const ParamEntry<Rule::kStates> &entry, int64_t begin,
                                                       int64_t end) MEZZO_ALWAYS_INLINE {
                    optimizer_detail::update_range<Rule, Param, Grad>(entry, begin, end, factors, c);
                });
            });
        }
        count_one(inputs.step);
    }
    if (inputs.lr_step != nullptr) count_one(inputs.lr_step);
}

} // namespace mezzo
