// SPDX-License-Identifier: MIT
// mean: out = (1/n) sum_i input[i];  grad_input[i] = grad_output / n
//
//   input, grad_input  any shape, a floating dtype
//   out, grad_output   scalar; the same dtype, f32 for halves
//
// Accumulated and divided in f64 as ops/reduction.h says, whatever the number of threads, and rounded once.
// Reads (backward: writes) each element once.
#include <mezzo/ops.h>

#include "ops/full_reduction.h"

mezzo_status mezzo_mean_forward(mezzo_tensor out, mezzo_tensor input) {
    return mezzo::guard("mean_forward", [&] {
        const mezzo::TensorRef elements = mezzo::require_tensor(input, "input");
        mezzo::reduce_all_forward(mezzo::require_tensor(out, "out"), elements,
                                  static_cast<double>(elements.elements()));
    });
}

mezzo_status mezzo_mean_backward(mezzo_tensor grad_input, mezzo_tensor grad_output) {
    return mezzo::guard("mean_backward", [&] {
        const mezzo::TensorRef elements = mezzo::require_tensor(grad_input, "grad_input");
        mezzo::reduce_all_backward(elements, mezzo::require_tensor(grad_output, "grad_output"),
                                   static_cast<double>(elements.elements()));
    });
}
