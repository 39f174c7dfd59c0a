// SPDX-License-Identifier: MIT
// layer_norm: out = (input - mean) / sqrt(variance + eps) weight + bias over each row; ops/norm.cpp has the formulas.
#include "ops/norm.h"

mezzo_status mezzo_layer_norm_forward(mezzo_tensor out, mezzo_tensor mean, mezzo_tensor rstd, mezzo_tensor input,
                                      mezzo_tensor weight, mezzo_tensor bias, const mezzo_norm_desc *desc) {
    using namespace mezzo;
    return guard("layer_norm_forward", [&] {
        norm_forward({require_tensor(out, "out"), optional_tensor(mean, "mean"), optional_tensor(rstd, "rstd"),
                      require_tensor(input, "input"), optional_tensor(weight, "weight"), optional_tensor(bias, "bias")},
                     norm_descriptor(desc, 1e-5), true);
    });
}

mezzo_status mezzo_layer_norm_backward(mezzo_tensor grad_input, mezzo_tensor grad_weight, mezzo_tensor grad_bias,
                                       mezzo_tensor grad_output, mezzo_tensor input, mezzo_tensor mean,
                                       mezzo_tensor rstd, mezzo_tensor weight, const mezzo_norm_desc *desc) {
    using namespace mezzo;
    return guard("layer_norm_backward", [&] {
        norm_backward({optional_tensor(grad_input, "grad_input"), optional_tensor(grad_weight, "grad_weight"),
                       optional_tensor(grad_bias, "grad_bias"), require_tensor(grad_output, "grad_output"),
                       require_tensor(input, "input"), require_tensor(mean, "mean"), require_tensor(rstd, "rstd"),
                       optional_tensor(weight, "weight")},
                      norm_descriptor(desc, 1e-5), true);
    });
}
