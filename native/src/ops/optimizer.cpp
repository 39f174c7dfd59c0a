// SPDX-License-Identifier: MIT
#include "ops/optimizer.h"

#include <cmath>

#include "core/descriptor.h"

namespace mezzo {
namespace {

void expect_limit(double value, const char *name) {
    if (value == 0) return;
    if (value > 0 && value <= std::numeric_limits<float>::max() && static_cast<float>(value) > 0) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "inputs.%s is %g, expected 0 or a finite number above 0 in f32", name, value);
}

void check_scalars(const StepTensors &tensors) {
    expect_scalar(tensors.step);
    expect_dtype(tensors.step, {MEZZO_DTYPE_I64});
    expect_scalar(tensors.lr_step);
    expect_dtype(tensors.lr_step, {MEZZO_DTYPE_I64});
    for (const TensorRef *scalar : {&tensors.grad_scale, &tensors.found_inf}) {
        expect_scalar(*scalar);
        expect_dtype(*scalar, {MEZZO_DTYPE_F32});
    }
    if (tensors.lr) {
        expect_dtype(tensors.lr, {MEZZO_DTYPE_F64});
        if (tensors.lr.rank() != 1 || tensors.lr.elements() == 0) {
            fail(MEZZO_STATUS_SHAPE_MISMATCH, "%s is %s, expected f64[n] with n of at least 1",
                 tensors.lr.name().c_str(), tensors.lr.text().c_str());
        }
    }
    if (tensors.grad_norm) {
        expect_dtype(tensors.grad_norm, {MEZZO_DTYPE_F64});
        if (tensors.grad_norm.rank() != 0) {
            expect_shape(tensors.grad_norm, {static_cast<int64_t>(tensors.params.size())});
        }
    }
    for (const TensorRef *input :
         {&tensors.lr, &tensors.lr_step, &tensors.grad_scale, &tensors.found_inf, &tensors.grad_norm}) {
        expect_same_device(*input, tensors.step);
    }
}

/// A copy, or a bf16 parameter's remainder.
void check_copy(const TensorRef &copy, const TensorRef &param) {
    if (!dtype_is_half(param.dtype())) {
        expect_same_shape(copy, param);
        expect_dtype(copy, {MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16});
        return;
    }
    if (!copy) return;
    const bool is_remainder = param.dtype() == MEZZO_DTYPE_BF16 && copy.dtype() == MEZZO_DTYPE_U8;
    if (!is_remainder) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT,
             "%s is %s, expected none for %s, which is %s: f32 and f64 parameters have copies, bf16 ones u8 remainders",
             copy.name().c_str(), copy.text().c_str(), param.name().c_str(), param.text().c_str());
    }
    if (copy.elements() != 2 * param.elements()) {
        fail(MEZZO_STATUS_SHAPE_MISMATCH, "%s is %s, expected %lld elements, 2 for each of %s, which is %s",
             copy.name().c_str(), copy.text().c_str(), static_cast<long long>(2 * param.elements()),
             param.name().c_str(), param.text().c_str());
    }
    if (reinterpret_cast<uintptr_t>(copy.bytes_data()) % sizeof(uint16_t) != 0) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "%s begins at an odd byte, expected elements of 16 bits",
             copy.name().c_str());
    }
}

void check_param(const StepTensors &tensors, size_t k) {
    const TensorRef &param = tensors.params[k];
    const TensorRef &copy = tensors.param_copies[k];
    const TensorRef &grad = tensors.grads[k];
    expect_same_device({&tensors.step, &param, &copy, &grad});
    expect_floating(param);
    const bool is_half = dtype_is_half(param.dtype());
    for (const auto &states : tensors.states) {
        const TensorRef &state = states[k];
        expect_same_device(state, param);
        expect_dtype(state, {is_half ? MEZZO_DTYPE_F32 : param.dtype()});
        expect_same_shape(state, param);
    }
    check_copy(copy, param);
    expect_same_shape(grad, param);
    if (is_half) {
        expect_dtype(grad, {param.dtype(), MEZZO_DTYPE_F32});
    } else {
        expect_dtype(grad, {param.dtype(), MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16});
    }
}

void check_overlaps(const StepTensors &tensors) {
    OverlapCheck overlap;
    overlap.add_written(tensors.params);
    for (const auto &states : tensors.states) overlap.add_written(states);
    overlap.add_written(tensors.param_copies);
    overlap.add_written(tensors.step);
    overlap.add_written(tensors.lr_step);
    overlap.add_read(tensors.grads);
    for (const TensorRef *input : {&tensors.lr, &tensors.grad_scale, &tensors.found_inf, &tensors.grad_norm}) {
        overlap.add_read(*input);
    }
    overlap.run();
}

} // namespace

StepTensors StepTensors::read(const mezzo_tensor *params, const mezzo_tensor *param_copies, const mezzo_tensor *grads,
                              int32_t count, const mezzo_step_inputs *inputs) {
    expect_count(count, 0);
    require_pointer(inputs, "inputs");
    expect_struct_size(*inputs, "inputs");
    return {require_tensors(params, count, "params"),
            {},
            optional_tensors(param_copies, count, "param_copies"),
            require_tensors(grads, count, "grads"),
            require_tensor(inputs->step, "inputs.step"),
            optional_tensor(inputs->lr, "inputs.lr"),
            optional_tensor(inputs->lr_step, "inputs.lr_step"),
            optional_tensor(inputs->grad_scale, "inputs.grad_scale"),
            optional_tensor(inputs->found_inf, "inputs.found_inf"),
            optional_tensor(inputs->grad_norm, "inputs.grad_norm")};
}

void check_step(const StepTensors &tensors, const mezzo_step_inputs &inputs) {
    if (inputs.reserved != 0) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "inputs.reserved is %u, expected 0", inputs.reserved);
    }
    expect_limit(inputs.max_grad_norm, "max_grad_norm");
    expect_limit(inputs.max_grad_value, "max_grad_value");
    if ((inputs.max_grad_norm > 0) != static_cast<bool>(tensors.grad_norm)) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT,
             "inputs.max_grad_norm is %g and inputs.grad_norm %s, expected both or neither", inputs.max_grad_norm,
             tensors.grad_norm ? "given" : "missing");
    }
    check_scalars(tensors);
    for (size_t k = 0; k < tensors.params.size(); ++k) check_param(tensors, k);
    check_overlaps(tensors);
}

StepInputs step_inputs(const StepTensors &tensors, const mezzo_step_inputs &inputs) {
    return {data_or_null<int64_t>(tensors.step),
            data_or_null<const double>(tensors.lr),
            tensors.lr ? tensors.lr.elements() : 0,
            data_or_null<int64_t>(tensors.lr_step),
            data_or_null<const float>(tensors.grad_scale),
            data_or_null<const float>(tensors.found_inf),
            inputs.max_grad_norm,
            inputs.max_grad_value};
}

void expect_at_least_zero(double value, const char *name) {
    if (std::isfinite(value) && value >= 0) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.%s is %g, expected a finite number of at least 0", name, value);
}

void expect_decay(double value, const char *name) {
    if (value >= 0 && value < 1) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.%s is %g, expected at least 0 and below 1", name, value);
}

} // namespace mezzo
