// SPDX-License-Identifier: MIT
// layer_norm and rms_norm, one call for both, and their reference in f64.
#pragma once

#include <mezzo/ops.h>

#include "support/oracle.h"
#include "support/status.h"

namespace mezzo::testing {

/// A call: what goes in and what comes out.
struct NormCase {
    bool centred; // layer_norm
    mezzo_dtype dtype;
    mezzo_dtype out_dtype;
    Shape shape;
    int32_t dims;
    bool affine;
    bool misaligned;
};

/// Runs forward and backward of random numbers.
struct NormRun {
    explicit NormRun(const NormCase &norm);

    std::vector<const TestTensor *> outputs() const;

    TestTensor input, weight, bias, grad_output;
    TestTensor out, mean, rstd, grad_input, grad_weight, grad_bias;
    mezzo_norm_desc desc;
};

/// What each of the outputs must be near to.
struct NormReference {
    NormReference(const NormCase &norm, const NormRun &run);

    Expected out, grad_input, grad_weight, grad_bias;
    int64_t rows, width;
};

/// Expects a run to be near to its reference.
void expect_norm(const NormCase &norm);

/// The cases that both norms must get right.
std::vector<NormCase> norm_cases(bool centred);

mezzo_status norm_forward(bool centred, const TestTensor &out, const TestTensor &mean, const TestTensor &rstd,
                          const TestTensor &input, const TestTensor &weight, const TestTensor &bias,
                          const mezzo_norm_desc *desc);
mezzo_status norm_backward(bool centred, const TestTensor &grad_input, const TestTensor &grad_weight,
                           const TestTensor &grad_bias, const TestTensor &grad_output, const TestTensor &input,
                           const TestTensor &mean, const TestTensor &rstd, const TestTensor &weight,
                           const mezzo_norm_desc *desc);

} // namespace mezzo::testing
