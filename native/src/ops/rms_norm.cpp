// SPDX-License-Identifier: MIT
// rms_norm: out = input / sqrt(mean square + eps) weight over each row; ops/norm.cpp has the formulas.
#include "ops/norm.h"

mezzo_status mezzo_rms_norm_forward(mezzo_tensor out, mezzo_tensor rstd, mezzo_tensor input, mezzo_tensor weight,
                                    const mezzo_norm_desc *desc) {
    using namespace mezzo;
    return guard("rms_norm_forward", [&] {
        norm_forward({require_tensor(out, "out"), optional_tensor({}, "mean"), optional_tensor(rstd, "rstd"),
                      require_tensor(input, "input"), optional_tensor(weight, "weight"), optional_tensor({}, "bias")},
                     norm_descriptor(desc, -1), false);
    });
}

mezzo_status mezzo_rms_norm_backward(mezzo_tensor grad_input, mezzo_tensor grad_weight, mezzo_tensor grad_output,
                                     mezzo_tensor input, mezzo_tensor rstd, mezzo_tensor weight,
                                     const mezzo_norm_desc *desc) {
    using namespace mezzo;
    return guard("rms_norm_backward", [&] {
        norm_backward({optional_tensor(grad_input, "grad_input"), optional_tensor(grad_weight, "grad_weight"),
                       optional_tensor({}, "grad_bias"), require_tensor(grad_output, "grad_output"),
                       require_tensor(input, "input"), optional_tensor({}, "mean"), require_tensor(rstd, "rstd"),
                       optional_tensor(weight, "weight")},
                      norm_descriptor(desc, -1), false);
    });
}
