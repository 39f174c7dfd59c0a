// SPDX-License-Identifier: MIT
// An optimizer's step on the CPU: one pass over all elements, shared by threads, vectorised.
#pragma once

#include "ops/optimizer.h"

namespace mezzo {

/// Converts the elements [begin, end) of a parameter to its copy, if it has one.
template <class Param, class Entry>
MEZZO_ALWAYS_INLINE inline void write_param_copy(const Entry &entry, int64_t begin, int64_t end) {
    if constexpr (!is_half<Param> && !std::is_same_v<Param, Split>) {
        const auto *param = reinterpret_cast<const Param *>(entry.param);
        const auto write = [=](auto *copy) MEZZO_ALWAYS_INLINE {
            using Copy = std::remove_pointer_t<decltype(copy)>;
#pragma GCC ivdep
            for (int64_t i = begin; i < end; ++i) copy[i] = convert<Copy>(param[i]);
        };
        if (entry.copy == nullptr) return;
        if (entry.copy_dtype == MEZZO_DTYPE_F16) {
            write(reinterpret_cast<Half *>(entry.copy));
        } else {
            write(reinterpret_cast<BFloat16 *>(entry.copy));
        }
    }
}

/// Runs a step unless it is to be skipped, and counts: body(number of the step from 1, learning rate).
template <class Desc, class Body>
void run_counted(const StepInputs &inputs, const Desc &desc, const Body &body) {
    if (!inputs.is_skipped()) {
        const int64_t applied = *inputs.step;
        body(static_cast<uint64_t>(applied) + 1, desc.lr * inputs.lr_factor(applied));
        count_one(inputs.step);
    }
    if (inputs.lr_step != nullptr) count_one(inputs.lr_step);
}

namespace optimizer_detail {

/// Updates the elements [begin, end) of a parameter and then, while they are in the first-level cache, its copy.
template <class Rule, class Param, class Grad, class Coefficients>
MEZZO_ALWAYS_INLINE inline void update_range(const ParamEntry<Rule::kStates> &entry, int64_t begin, int64_t end,
                                             GradFactors<UpdateType<Param>> factors, Coefficients c) {
    using T = UpdateType<Param>;
    constexpr int64_t kChunk = 1024;
    const ParamElements<Param> param(entry);
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
            param.set(i, Rule::update(param.get(i), g, state, c));
            for (int k = 0; k < Rule::kStates; ++k) states[k][i] = state[k];
        }
        write_param_copy<Param>(entry, first, past);
    }
}

} // namespace optimizer_detail

template <class Rule>
void step_on_cpu(Device &, const OptimizerStep<Rule> &a) {
    run_counted(a.inputs, a.desc, [&](uint64_t t, double lr) {
        for (const auto &group : a.groups) {
            visit_group(group, [&](auto param, auto grad) {
                using Param = typename decltype(param)::type;
                using Grad = typename decltype(grad)::type;
                using T = UpdateType<Param>;
                const auto factors = GradFactors<T>::of(a.inputs);
                const auto c = Rule::template coefficients<T>(a.desc, lr, t);
                group.params.parallel_run([factors, c](const ParamEntry<Rule::kStates> &entry, int64_t begin,
                                                       int64_t end) MEZZO_ALWAYS_INLINE {
                    optimizer_detail::update_range<Rule, Param, Grad>(entry, begin, end, factors, c);
                });
            });
        }
    });
}

} // namespace mezzo
