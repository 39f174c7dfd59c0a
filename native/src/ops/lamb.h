// SPDX-License-Identifier: MIT
// lamb as the devices see it; the formulas are said in lamb.cpp.
#pragma once

#include "ops/optimizer.h"
#include "ops/power.h"
#include "ops/reduction.h"

namespace mezzo {

/// Not a rule of single elements: the step of one needs the norms of its parameter and of all its updates.
struct LambRule {
    using Desc = mezzo_lamb_desc;
    static constexpr int kStates = 2; // exp_avg, exp_avg_sq

    template <class T>
    struct Coefficients {
        GradFactors<T> factors;
        T beta1, taken, beta2, one_minus_beta2;
        T bc1, bc2, eps;
        T l2, decay_of_update; // one of them at most is not 0

        /// What unscaled gradients of this norm are divided by.
        MEZZO_HOST_DEVICE T divisor(const double *grad_norm) const {
            if (grad_norm == nullptr) return 1;
            const T quotient = static_cast<T>(*grad_norm) / factors.max_norm;
            return quotient > 1 ? quotient : 1;
        }
    };

    template <class T>
    MEZZO_HOST_DEVICE static Coefficients<T> coefficients(const StepInputs &inputs, const mezzo_lamb_desc &desc,
                                                          uint64_t t) {
        const bool corrects = desc.bias_correction != 0;
        const bool in_update = desc.decay_of_update != 0;
        return {GradFactors<T>::of(inputs),
                static_cast<T>(desc.beta1),
                static_cast<T>(desc.grad_averaging != 0 ? 1 - desc.beta1 : 1),
                static_cast<T>(desc.beta2),
                static_cast<T>(1 - desc.beta2),
                static_cast<T>(corrects ? 1 - power(desc.beta1, t) : 1),
                static_cast<T>(corrects ? 1 - power(desc.beta2, t) : 1),
                static_cast<T>(desc.eps),
                static_cast<T>(in_update ? 0 : desc.weight_decay),
                static_cast<T>(in_update ? desc.weight_decay : 0)};
    }

    /// Moves an element's moments on.
    template <class T>
    MEZZO_HOST_DEVICE static void move_moments(T param, T grad, T divisor, T &m, T &v, const Coefficients<T> &c) {
        const T clipped = c.factors.clamp(grad * c.factors.inverse_scale / divisor);
        const T g = c.l2 == 0 ? clipped : clipped + c.l2 * param;
        m = c.beta1 * m + c.taken * g;
        v = c.beta2 * v + c.one_minus_beta2 * g * g;
    }

    /// An element's update.
    template <class T>
    MEZZO_HOST_DEVICE static T update(T param, T m, T v, const Coefficients<T> &c) {
        const T step = m / c.bc1 / (std::sqrt(v / c.bc2) + c.eps);
        return c.decay_of_update == 0 ? step : step + c.decay_of_update * param;
    }

    /// What the updates of a parameter are multiplied by, from the sums of squares of both.
    MEZZO_HOST_DEVICE static double step_size(double lr, double params, double updates, const mezzo_lamb_desc &desc) {
        const bool adapts = desc.weight_decay != 0 || desc.always_adapts != 0;
        return adapts && params != 0 && updates != 0 ? lr * (std::sqrt(params) / std::sqrt(updates)) : lr;
    }
};

/// Numbers of a group's blocks of kReductionBlock elements, and where their sums are.
struct LambLayout {
    std::vector<int64_t> first_blocks; // of each parameter, and past the last
    std::vector<int64_t> first_sums;   // likewise; each has room to be added

    template <class Group>
    static LambLayout of(const Group &group) {
        LambLayout layout{{0}, {0}};
        for (size_t k = 0; k < group.params.size(); ++k) {
            const int64_t blocks = reduction_blocks(group.params.elements(k));
            layout.first_blocks.push_back(layout.first_blocks.back() + blocks);
            layout.first_sums.push_back(layout.first_sums.back() + sum_room(blocks));
        }
        return layout;
    }

    /// Places for sums, of parameters and of updates, and for step sizes.
    int64_t room() const { return 2 * first_sums.back() + static_cast<int64_t>(first_blocks.size()); }
};

/// Room for any group of a step: taken before anything is changed, as there may be too little memory.
template <class Step>
int64_t lamb_room(const Step &step) {
    int64_t room = 1;
    for (const auto &group : step.groups) room = std::max(room, LambLayout::of(group).room());
    return room;
}

} // namespace mezzo
