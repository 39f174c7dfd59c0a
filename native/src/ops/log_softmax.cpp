// SPDX-License-Identifier: MIT
// log_softmax: out = x - log(sum of exp(x)) over each row; ops/row_softmax.cpp has the formulas.
#include <mezzo/ops.h>

#include "ops/row_softmax.h"

mezzo_status mezzo_log_softmax_forward(mezzo_tensor out, mezzo_tensor input) {
    return mezzo::guard("log_softmax_forward", [&] {
        mezzo::softmax_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensor(input, "input"), true);
    });
}

mezzo_status mezzo_log_softmax_backward(mezzo_tensor grad_input, mezzo_tensor grad_output, mezzo_tensor output) {
    return mezzo::guard("log_softmax_backward", [&] {
        mezzo::softmax_backward(mezzo::require_tensor(grad_input, "grad_input"),
                                mezzo::require_tensor(grad_output, "grad_output"),
                                mezzo::require_tensor(output, "output"), true);
    });
}
