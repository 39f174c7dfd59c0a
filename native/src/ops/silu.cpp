// SPDX-License-Identifier: MIT
// silu: out[i] = x s,  grad_input[i] = grad_output[i] s (1 + x (1 - s)),  x = input[i], s = 1 / (1 + exp(-x))
//
// Shapes, dtypes and loops as ops/activation.h says; accuracy in core/elementary.h. About 21 FLOP an element forward,
// 24 backward.
// Source: PyTorch's silu; Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016, section 2.
#include "ops/silu.h"

#include <mezzo/ops.h>

#include "ops/activation_cpu.h"

namespace mezzo {
namespace {

const ActivationOnCpu<SiluRule> cpu;

} // namespace
} // namespace mezzo

mezzo_status mezzo_silu_forward(mezzo_tensor out, mezzo_tensor input) {
    return mezzo::guard("silu_forward", [&] { mezzo::activation_forward<mezzo::SiluRule>(out, input); });
}

mezzo_status mezzo_silu_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor input) {
    return mezzo::guard("silu_backward",
                        [&] { mezzo::activation_backward<mezzo::SiluRule>(grad_input, grad_output, input); });
}
