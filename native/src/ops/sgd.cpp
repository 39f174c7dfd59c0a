// SPDX-License-Identifier: MIT
// sgd: one step of stochastic gradient descent over a list of parameters, in one pass
//
//   g = grad (+ weight_decay p)
//   b = g in the first step, else momentum b + (1 - dampening) g
//   d = nesterov ? g + momentum b : b;  without momentum d = g
//   p = p - lr (d (+ weight_decay p where decay_after_momentum))
//
//   params, momentum_buffers (b), param_copies, grads, inputs  as ops.h says of all optimizers
//
// In PyTorch's order of operations. The first step is that of the group: PyTorch's is the first in which the parameter
// has a gradient, which differs where dampening is not 0. Elementwise, so independent of the number of threads.
// For f32 with an f32 gradient 12 bytes an element, 20 with momentum, 2 more for a copy.
// Sources: torch.optim.SGD; apex's FusedSGD (decay_after_momentum).
#include "ops/sgd.h"

#include "core/descriptor.h"
#include "ops/optimizer_cpu.h"

namespace mezzo {
namespace {

const Implementation<OptimizerStep<SgdRule>> cpu_step(MEZZO_DEVICE_TYPE_CPU, step_on_cpu<SgdRule>);
const Implementation<OptimizerStep<MomentumRule>> cpu_momentum_step(MEZZO_DEVICE_TYPE_CPU, step_on_cpu<MomentumRule>);

void check_descriptor(const mezzo_sgd_desc &desc) {
    expect_reserved(desc.reserved, "reserved");
    expect_flag(desc.nesterov, "nesterov");
    expect_at_least_zero(desc.lr, "lr");
    expect_decay(desc.momentum, "momentum");
    if (!(desc.dampening >= 0 && desc.dampening <= 1)) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.dampening is %g, expected from 0 to 1", desc.dampening);
    }
    if (desc.nesterov != 0 && (desc.momentum == 0 || desc.dampening != 0)) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT,
             "desc.momentum is %g and desc.dampening %g, expected momentum above 0 and no dampening with desc.nesterov",
             desc.momentum, desc.dampening);
    }
    expect_at_least_zero(desc.weight_decay, "weight_decay");
    expect_flag(desc.decay_after_momentum, "decay_after_momentum");
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_sgd_step(const mezzo_tensor *params, const mezzo_tensor *momentum_buffers,
                            const mezzo_tensor *param_copies, const mezzo_tensor *grads, int32_t count,
                            const mezzo_step_inputs *inputs, const mezzo_sgd_desc *desc) {
    return mezzo::guard("sgd_step", [&] {
        constexpr mezzo_sgd_desc kDefaults = {
            .struct_size = sizeof(mezzo_sgd_desc),
            .nesterov = 0,
            .lr = 1e-3,
            .momentum = 0,
            .dampening = 0,
            .weight_decay = 0,
            .decay_after_momentum = 0,
            .reserved = 0,
        };
        const mezzo_sgd_desc hyperparameters = mezzo::read_descriptor(desc, kDefaults);
        mezzo::check_descriptor(hyperparameters);
        auto tensors = mezzo::StepTensors::read(params, param_copies, grads, count, inputs);
        if (hyperparameters.momentum == 0) {
            mezzo::run_step<mezzo::SgdRule>(tensors, *inputs, hyperparameters);
            return;
        }
        tensors.states = {mezzo::require_tensors(momentum_buffers, count, "momentum_buffers")};
        mezzo::run_step<mezzo::MomentumRule>(tensors, *inputs, hyperparameters);
    });
}
