// SPDX-License-Identifier: MIT
// sigmoid: out[i] = 1 / (1 + exp(-input[i])),  grad_input[i] = grad_output[i] (1 - output[i]) output[i]
//
// Shapes, dtypes and loops as ops/activation.h says; accuracy in core/elementary.h. About 20 FLOP an element forward,
// 3 backward.
// Source: PyTorch's sigmoid.
#include "ops/sigmoid.h"

#include <mezzo/ops.h>

#include "ops/activation_cpu.h"

namespace mezzo {
namespace {

const ActivationOnCpu<SigmoidRule> cpu;

} // namespace
} // namespace mezzo

mezzo_status mezzo_sigmoid_forward(mezzo_tensor out, mezzo_tensor input) {
    return mezzo::guard("sigmoid_forward", [&] { mezzo::activation_forward<mezzo::SigmoidRule>(out, input); });
}

mezzo_status mezzo_sigmoid_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor output) {
    return mezzo::guard("sigmoid_backward",
                        [&] { mezzo::activation_backward<mezzo::SigmoidRule>(grad_input, grad_output, output); });
}
