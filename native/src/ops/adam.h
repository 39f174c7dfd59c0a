// SPDX-License-Identifier: MIT
// adam as the devices see it; the formulas are said in adam.cpp.
#pragma once

#include "ops/optimizer.h"
#include "ops/power.h"

namespace mezzo {

struct AdamRule {
    using Desc = mezzo_adam_desc;
    static constexpr int kStates = 2; // exp_avg, exp_avg_sq

    template <class T>
    struct Coefficients {
        T beta1, one_minus_beta1, beta2, one_minus_beta2;
        T step_size, root_of_bc2;
        T eps, eps_inside;                      // one of them is 0
        T l2, decay_of_param, decay_afterwards; // one of them at most is not 0
    };

    template <class T>
    MEZZO_HOST_DEVICE static Coefficients<T> coefficients(const mezzo_adam_desc &desc, double lr, uint64_t t) {
        const bool corrects = desc.bias_correction != MEZZO_BIAS_CORRECTION_NONE;
        const double bc1 = corrects ? 1 - power(desc.beta1, t) : 1;
        const double root_of_bc2 = corrects ? std::sqrt(1 - power(desc.beta2, t)) : 1;
        const bool corrects_step = desc.bias_correction == MEZZO_BIAS_CORRECTION_STEP_SIZE;
        const double step_size = corrects_step ? lr * root_of_bc2 / bc1 : lr / bc1;
        const bool inside = desc.eps_inside_sqrt != 0;
        const double wd = desc.weight_decay;
        const double decay_of_param = desc.decay == MEZZO_WEIGHT_DECAY_PARAMETER   ? lr * wd
                                      : desc.decay == MEZZO_WEIGHT_DECAY_STEP_SIZE ? step_size * wd
                                                                                   : 0;
        return {static_cast<T>(desc.beta1),
                static_cast<T>(1 - desc.beta1),
                static_cast<T>(desc.beta2),
                static_cast<T>(1 - desc.beta2),
                static_cast<T>(step_size),
                static_cast<T>(corrects_step ? 1 : root_of_bc2),
                static_cast<T>(inside ? 0 : desc.eps),
                static_cast<T>(inside ? desc.eps : 0),
                static_cast<T>(desc.decay == MEZZO_WEIGHT_DECAY_L2 ? wd : 0),
                static_cast<T>(decay_of_param),
                static_cast<T>(desc.decay == MEZZO_WEIGHT_DECAY_AFTER ? lr * wd : 0)};
    }

    template <class T>
    MEZZO_HOST_DEVICE static T update(T param, T grad, T *state, const Coefficients<T> &c) {
        const T g = c.l2 == 0 ? grad : grad + c.l2 * param;
        const T m = c.beta1 * state[0] + c.one_minus_beta1 * g;
        const T v = c.beta2 * state[1] + c.one_minus_beta2 * g * g;
        state[0] = m;
        state[1] = v;
        const T change = c.step_size * m / (std::sqrt(v + c.eps_inside) / c.root_of_bc2 + c.eps);
        const T decayed = c.decay_of_param == 0 ? param : param - c.decay_of_param * param;
        const T next = decayed - change;
        return c.decay_afterwards == 0 ? next : next - c.decay_afterwards * next;
    }
};

} // namespace mezzo
