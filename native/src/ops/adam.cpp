// SPDX-License-Identifier: MIT
// adam: one optimizer step over a list of parameters, in one pass
//
//   g = grad (+ weight_decay p)                   t = step + 1,  bc1 = 1 - beta1^t,  bc2 = 1 - beta2^t
//   m = beta1 m + (1 - beta1) g                   bias correction of   moments     the step size         none
//   v = beta2 v + (1 - beta2) g g                                  a   lr / bc1    lr sqrt(bc2) / bc1    lr
//   p = p (- d p)                                                  c   sqrt(bc2)   1                     1
//   p = p - a m / (sqrt(v) / c + eps)             weight decay: the term in g,  d = lr weight_decay or
//   p = p (- lr weight_decay p)                   a weight_decay,  or the last line
//
//   params, exp_avgs (m), exp_avg_sqs (v), param_copies, grads, inputs  as ops.h says of all optimizers
//
// In PyTorch's order of operations, from left to right as written, but for the decay of parameters: PyTorch multiplies
// by a rounded 1 - lr weight_decay, of which f32 keeps few bits of the decay. The hyperparameters and bias corrections
// are computed in f64 and rounded where they are used; the gradient is multiplied by f32(1 / grad_scale), as unscale
// does. Elementwise, so independent of the number of threads.
// 14 FLOP and, for f32 with an f32 gradient, 28 bytes an element, 2 more for a copy.
// Sources: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015; PyTorch's torch.optim.Adam; the
// others are named in ops.h.
#include "ops/adam.h"

#include "core/descriptor.h"
#include "ops/optimizer_cpu.h"

namespace mezzo {
namespace {

const Implementation<OptimizerStep<AdamRule>> cpu_step(MEZZO_DEVICE_TYPE_CPU, step_on_cpu<AdamRule>);

void check_descriptor(const mezzo_adam_desc &desc) {
    expect_reserved(desc.reserved, "reserved");
    expect_reserved(desc.reserved2, "reserved2");
    expect_at_least_zero(desc.lr, "lr");
    expect_decay(desc.beta1, "beta1");
    expect_decay(desc.beta2, "beta2");
    expect_at_least_zero(desc.eps, "eps");
    expect_at_least_zero(desc.weight_decay, "weight_decay");
    expect_enumerator(desc.decay, MEZZO_WEIGHT_DECAY_AFTER, "weight_decay", "decay");
    expect_enumerator(desc.bias_correction, MEZZO_BIAS_CORRECTION_NONE, "bias_correction", "bias_correction");
    expect_flag(desc.eps_inside_sqrt, "eps_inside_sqrt");
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_adam_step(const mezzo_tensor *params, const mezzo_tensor *exp_avgs, const mezzo_tensor *exp_avg_sqs,
                             const mezzo_tensor *param_copies, const mezzo_tensor *grads, int32_t count,
                             const mezzo_step_inputs *inputs, const mezzo_adam_desc *desc) {
    return mezzo::guard("adam_step", [&] {
        constexpr mezzo_adam_desc kDefaults = {
            .struct_size = sizeof(mezzo_adam_desc),
            .reserved = 0,
            .lr = 1e-3,
            .beta1 = 0.9,
            .beta2 = 0.999,
            .eps = 1e-8,
            .weight_decay = 0,
            .decay = MEZZO_WEIGHT_DECAY_L2,
            .bias_correction = MEZZO_BIAS_CORRECTION_MOMENTS,
            .eps_inside_sqrt = 0,
            .reserved2 = 0,
        };
        const mezzo_adam_desc hyperparameters = mezzo::read_descriptor(desc, kDefaults);
        mezzo::check_descriptor(hyperparameters);
        auto tensors = mezzo::StepTensors::read(params, param_copies, grads, count, inputs);
        tensors.states = {mezzo::require_tensors(exp_avgs, count, "exp_avgs"),
                          mezzo::require_tensors(exp_avg_sqs, count, "exp_avg_sqs")};
        mezzo::run_step<mezzo::AdamRule>(tensors, *inputs, hyperparameters);
    });
}
