// SPDX-License-Identifier: MIT
// tanh: out[i] = tanh(input[i]),  grad_input[i] = grad_output[i] (1 - output[i]^2)
//
// Shapes, dtypes and loops as ops/activation.h says; accuracy in core/elementary.h. About 18 FLOP an element forward,
// 2 backward.
// Source: PyTorch's tanh.
#include "ops/tanh.h"

#include <mezzo/ops.h>

#include "ops/activation_cpu.h"

namespace mezzo {
namespace {

const ActivationOnCpu<TanhRule> cpu;

} // namespace
} // namespace mezzo

mezzo_status mezzo_tanh_forward(mezzo_tensor out, mezzo_tensor input) {
    return mezzo::guard("tanh_forward", [&] { mezzo::activation_forward<mezzo::TanhRule>(out, input); });
}

mezzo_status mezzo_tanh_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor output) {
    return mezzo::guard("tanh_backward",
                        [&] { mezzo::activation_backward<mezzo::TanhRule>(grad_input, grad_output, output); });
}
