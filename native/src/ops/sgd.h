// SPDX-License-Identifier: MIT
// sgd as the devices see it; the formulas are said in sgd.cpp.
#pragma once

#include "ops/optimizer.h"

namespace mezzo {

struct SgdCommon {
    using Desc = mezzo_sgd_desc;

    template <class T>
    struct Coefficients {
        T lr;
        T kept, taken; // of the buffer and of the gradient
        T nesterov;    // momentum where it is Nesterov's, else 0
        T l2, decay_afterwards;
    };

    template <class T>
    MEZZO_HOST_DEVICE static Coefficients<T> coefficients(const mezzo_sgd_desc &desc, double lr, uint64_t t) {
        const bool is_first = t == 1;
        return {static_cast<T>(lr),
                static_cast<T>(is_first ? 0 : desc.momentum),
                static_cast<T>(is_first ? 1 : 1 - desc.dampening),
                static_cast<T>(desc.nesterov != 0 ? desc.momentum : 0),
                static_cast<T>(desc.decay_after_momentum != 0 ? 0 : desc.weight_decay),
                static_cast<T>(desc.decay_after_momentum != 0 ? desc.weight_decay : 0)};
    }

    template <class T>
    MEZZO_HOST_DEVICE static T decayed(T grad, T param, T weight_decay) {
        return weight_decay == 0 ? grad : grad + weight_decay * param;
    }
};

/// Without momentum.
struct SgdRule : SgdCommon {
    static constexpr int kStates = 0;

    template <class T>
    MEZZO_HOST_DEVICE static T update(T param, T grad, T *, const Coefficients<T> &c) {
        return param - c.lr * decayed(decayed(grad, param, c.l2), param, c.decay_afterwards);
    }
};

/// With momentum, of any kind.
struct MomentumRule : SgdCommon {
    static constexpr int kStates = 1; // momentum_buffer

    template <class T>
    MEZZO_HOST_DEVICE static T update(T param, T grad, T *state, const Coefficients<T> &c) {
        const T g = decayed(grad, param, c.l2);
        const T buffer = c.kept == 0 ? c.taken * g : c.kept * state[0] + c.taken * g;
        state[0] = buffer;
        const T direction = c.nesterov == 0 ? buffer : g + c.nesterov * buffer;
        return param - c.lr * decayed(direction, param, c.decay_afterwards);
    }
};

} // namespace mezzo
