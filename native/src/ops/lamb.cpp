// SPDX-License-Identifier: MIT
// lamb: one step of LAMB over a list of parameters, in two passes
//
//   g = grad (+ weight_decay p)                t = step + 1,  bc1 = 1 - beta1^t,  bc2 = 1 - beta2^t, or 1
//   m = beta1 m + (1 - beta1 or 1) g
//   v = beta2 v + (1 - beta2) g g
//   u = m / bc1 / (sqrt(v / bc2) + eps) (+ weight_decay p)
//   p = p - lr |p| / |u| u, or p - lr u
//
//   params, exp_avgs (m), exp_avg_sqs (v), param_copies, grads, inputs  as ops.h says of all optimizers
//
// The first pass moves the moments and adds the squares of p and u, in f64 in the order of ops/reduction.h, so that no
// result depends on the number of threads; the second computes u once more from what the first has left, which costs
// less than to store it. For f32 with an f32 gradient 24 + 16 bytes an element, 2 more for a copy.
// Source: You et al., ICLR 2020, as apex's FusedLAMB computes it.
#include "ops/lamb.h"

#include "core/descriptor.h"
#include "ops/optimizer_cpu.h"

namespace mezzo {
namespace {

/// One parameter of known types.
template <class Param, class Grad>
struct Arrays {
    using T = UpdateType<Param>;

    explicit Arrays(const ParamEntry<2> &entry)
        : param(entry),
          m(reinterpret_cast<T *>(entry.states[0])),
          v(reinterpret_cast<T *>(entry.states[1])),
          grad(reinterpret_cast<const Grad *>(entry.grad)) {}

    ParamElements<Param> param;
    T *m;
    T *v;
    const Grad *grad;
};

/// Calls body(index of the parameter, number of the block, begin, end) for the blocks of a group, shared by threads.
template <class Group, class Body>
MEZZO_ALWAYS_INLINE inline void run_param_blocks(const Group &group, const LambLayout &layout, const Body &body) {
    const int64_t *first_blocks = layout.first_blocks.data();
    const auto *params = &group.params;
    constexpr int64_t kGrain = kElementGrain / kReductionBlock;
    parallel_for(layout.first_blocks.back(), kGrain, [=](int64_t from, int64_t to) MEZZO_ALWAYS_INLINE {
        size_t k = 0;
        for (int64_t b = from; b < to; ++b) {
            while (first_blocks[k + 1] <= b) ++k;
            const int64_t block = b - first_blocks[k];
            const int64_t begin = block * kReductionBlock;
            const int64_t past = begin + kReductionBlock;
            const int64_t elements = params->elements(k);
            body(k, block, begin, past < elements ? past : elements);
        }
    });
}

template <class Param, class Grad, class Group, class Coefficients>
void step_group(double *param_sums, const Group &group, const Coefficients &c, double lr, const mezzo_lamb_desc &desc) {
    using T = UpdateType<Param>;
    const LambLayout layout = LambLayout::of(group);
    double *update_sums = param_sums + layout.first_sums.back();
    const int64_t *first_sums = layout.first_sums.data();
    const auto *params = &group.params;

    run_param_blocks(group, layout, [=](size_t k, int64_t block, int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        const Arrays<Param, Grad> a((*params)[k]);
        const T divisor = c.divisor((*params)[k].grad_norm);
#pragma GCC ivdep
        for (int64_t i = begin; i < end; ++i) {
            T m = a.m[i];
            T v = a.v[i];
            LambRule::move_moments(a.param.get(i), convert<T>(a.grad[i]), divisor, m, v, c);
            a.m[i] = m;
            a.v[i] = v;
        }
        param_sums[first_sums[k] + block] = sum_block(begin, end, [=](int64_t i) MEZZO_ALWAYS_INLINE {
            const auto p = static_cast<double>(a.param.get(i));
            return p * p;
        });
        update_sums[first_sums[k] + block] = sum_block(begin, end, [=](int64_t i) MEZZO_ALWAYS_INLINE {
            const auto u = static_cast<double>(LambRule::update(a.param.get(i), a.m[i], a.v[i], c));
            return u * u;
        });
    });

    std::vector<T> step_sizes;
    for (size_t k = 0; k < group.params.size(); ++k) {
        const int64_t blocks = layout.first_blocks[k + 1] - layout.first_blocks[k];
        step_sizes.push_back(
            static_cast<T>(LambRule::step_size(lr, sum_levels(param_sums + first_sums[k], blocks),
                                               sum_levels(update_sums + first_sums[k], blocks), desc)));
    }

    const T *sizes = step_sizes.data();
    run_param_blocks(group, layout, [=](size_t k, int64_t, int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        const ParamEntry<2> &entry = (*params)[k];
        const Arrays<Param, Grad> a(entry);
        const T size = sizes[k];
#pragma GCC ivdep
        for (int64_t i = begin; i < end; ++i) {
            const T param = a.param.get(i);
            a.param.set(i, param - size * LambRule::update(param, a.m[i], a.v[i], c));
        }
        write_param_copy<Param>(entry, begin, end);
    });
}

void lamb_on_cpu(Device &device, const OptimizerStep<LambRule> &a) {
    run_counted(a.inputs, a.desc, [&](uint64_t t, double lr) {
        const Scratch<double> scratch(device.memory(), lamb_room(a));
        for (const auto &group : a.groups) {
            visit_group(group, [&](auto param, auto grad) {
                using Param = typename decltype(param)::type;
                using Grad = typename decltype(grad)::type;
                const auto c = LambRule::coefficients<UpdateType<Param>>(a.inputs, a.desc, t);
                step_group<Param, Grad>(scratch.data(), group, c, lr, a.desc);
            });
        }
    });
}

const Implementation<OptimizerStep<LambRule>> cpu_step(MEZZO_DEVICE_TYPE_CPU, lamb_on_cpu);

void check_descriptor(const mezzo_lamb_desc &desc) {
    expect_reserved(desc.reserved, "reserved");
    expect_flag(desc.grad_averaging, "grad_averaging");
    expect_at_least_zero(desc.lr, "lr");
    expect_decay(desc.beta1, "beta1");
    expect_decay(desc.beta2, "beta2");
    expect_at_least_zero(desc.eps, "eps");
    expect_at_least_zero(desc.weight_decay, "weight_decay");
    expect_flag(desc.decay_of_update, "decay_of_update");
    expect_flag(desc.bias_correction, "bias_correction");
    expect_flag(desc.always_adapts, "always_adapts");
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_lamb_step(const mezzo_tensor *params, const mezzo_tensor *exp_avgs, const mezzo_tensor *exp_avg_sqs,
                             const mezzo_tensor *param_copies, const mezzo_tensor *grads, int32_t count,
                             const mezzo_step_inputs *inputs, const mezzo_lamb_desc *desc) {
    return mezzo::guard("lamb_step", [&] {
        constexpr mezzo_lamb_desc kDefaults = {
            .struct_size = sizeof(mezzo_lamb_desc),
            .grad_averaging = 1,
            .lr = 1e-3,
            .beta1 = 0.9,
            .beta2 = 0.999,
            .eps = 1e-6,
            .weight_decay = 0.01,
            .decay_of_update = 1,
            .bias_correction = 1,
            .always_adapts = 0,
            .reserved = 0,
        };
        const mezzo_lamb_desc hyperparameters = mezzo::read_descriptor(desc, kDefaults);
        mezzo::check_descriptor(hyperparameters);
        auto tensors = mezzo::StepTensors::read(params, param_copies, grads, count, inputs);
        tensors.states = {mezzo::require_tensors(exp_avgs, count, "exp_avgs"),
                          mezzo::require_tensors(exp_avg_sqs, count, "exp_avg_sqs")};
        mezzo::run_step<mezzo::LambRule>(tensors, *inputs, hyperparameters);
    });
}
