// SPDX-License-Identifier: MIT
// sum: out = sum_i input[i];  grad_input[i] = grad_output
//
//   input, grad_input  any shape, a floating dtype
//   out, grad_output   scalar; the same dtype, f32 for halves
//
// Accumulated in f64 as ops/reduction.h says, whatever the number of threads, and rounded once.
// Reads (backward: writes) each element once.
#include <mezzo/ops.h>

#include "ops/full_reduction.h"

mezzo_status mezzo_sum_forward(mezzo_tensor out, mezzo_tensor input) {
    return mezzo::guard("sum_forward", [&] {
        mezzo::reduce_all_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensor(input, "input"), 1.0);
    });
}

mezzo_status mezzo_sum_backward(mezzo_tensor grad_input, mezzo_tensor grad_output) {
    return mezzo::guard("sum_backward", [&] {
        mezzo::reduce_all_backward(mezzo::require_tensor(grad_input, "grad_input"),
                                   mezzo::require_tensor(grad_output, "grad_output"), 1.0);
    });
}
