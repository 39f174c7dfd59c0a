// SPDX-License-Identifier: MIT
// gelu: out[i] = x F(x),  grad_input[i] = grad_output[i] (F(x) + x F'(x)),  x = input[i]
//
//   F  the normal distribution function, (1 + erf(x / sqrt(2))) / 2, or its approximation
//      (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, computed as the sigmoid of twice the tanh's argument
//
// Shapes, dtypes and loops as ops/activation.h says. Both are as exact far below 0 as elsewhere, where PyTorch's sums
// of 1 and a number near -1 lose their digits. About 55 FLOP an element, 25 with the approximation. Source: Hendrycks
// and Gimpel, "Gaussian error linear units (GELUs)", 2016.
#include "ops/gelu.h"

#include <mezzo/ops.h>

#include "core/descriptor.h"
#include "ops/activation_cpu.h"

namespace mezzo {
namespace {

const ActivationOnCpu<GeluRule> cpu;
const ActivationOnCpu<GeluTanhRule> cpu_tanh;

/// Whether F is to be approximated.
bool read_approximates(const mezzo_gelu_desc *desc) {
    constexpr mezzo_gelu_desc kDefaults = {sizeof(mezzo_gelu_desc), MEZZO_GELU_APPROXIMATION_NONE};
    const mezzo_gelu_desc read = read_descriptor(desc, kDefaults);
    expect_enumerator(read.approximation, MEZZO_GELU_APPROXIMATION_TANH, "gelu_approximation", "approximation");
    return read.approximation == MEZZO_GELU_APPROXIMATION_TANH;
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_gelu_forward(mezzo_tensor out, mezzo_tensor input, const mezzo_gelu_desc *desc) {
    return mezzo::guard("gelu_forward", [&] {
        const auto run = mezzo::read_approximates(desc) ? mezzo::activation_forward<mezzo::GeluTanhRule>
                                                        : mezzo::activation_forward<mezzo::GeluRule>;
        run(out, input);
    });
}

mezzo_status mezzo_gelu_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor input,
                                 const mezzo_gelu_desc *desc) {
    return mezzo::guard("gelu_backward", [&] {
        const auto run = mezzo::read_approximates(desc) ? mezzo::activation_backward<mezzo::GeluTanhRule>
                                                        : mezzo::activation_backward<mezzo::GeluRule>;
        run(grad_input, grad_output, input);
    });
}
