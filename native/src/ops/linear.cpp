// SPDX-License-Identifier: MIT
// linear: out = activation(input weight^T + bias) and its gradients, as <mezzo/ops.h> says: what a call must look like.
// How the CPU computes it is in cpu/linear_*.cpp, how CUDA does in ops/linear.cu.
#include "ops/linear.h"

#include <mezzo/ops.h>

#include "core/descriptor.h"
#include "cpu/linear.h"
#include "ops/unscale.h"

#include <algorithm>

namespace mezzo {
namespace {

constexpr mezzo_linear_desc kDefaults{sizeof(mezzo_linear_desc), MEZZO_ACTIVATION_NONE, MEZZO_LINEAR_ACCUMULATE_NONE, 0,
                                      MEZZO_ACTIVATION_NONE};
constexpr uint32_t kAllAccumulate = MEZZO_LINEAR_ACCUMULATE_INPUT | MEZZO_LINEAR_ACCUMULATE_WEIGHT |
                                    MEZZO_LINEAR_ACCUMULATE_BIAS | MEZZO_LINEAR_ACCUMULATE_SUM;

void expect_activation(mezzo_activation activation, const char *field) {
    if (activation == MEZZO_ACTIVATION_NONE || activation == MEZZO_ACTIVATION_RELU) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.%s is %d, expected a mezzo_activation", field,
         static_cast<int>(activation));
}

mezzo_linear_desc read_linear_desc(const mezzo_linear_desc *given) {
    const mezzo_linear_desc desc = read_descriptor(given, kDefaults);
    expect_activation(desc.activation, "activation");
    expect_activation(desc.input_activation, "input_activation");
    expect_flag(desc.allow_tf32, "allow_tf32");
    return desc;
}

/// SHAPE_MISMATCH unless the tensor is [..., features]; answers its rows.
int64_t expect_rows(const TensorRef &tensor, int64_t features) {
    if (tensor.rank() < 1 || tensor.dim(tensor.rank() - 1) != features) {
        fail(MEZZO_STATUS_SHAPE_MISMATCH, "%s is %s, expected %lld elements in its last dimension",
             tensor.name().c_str(), tensor.text().c_str(), static_cast<long long>(features));
    }
    return tensor.elements() / features;
}

/// SHAPE_MISMATCH unless the tensor has the leading dimensions of `rows` and `features` in the last one.
void expect_rows_like(const TensorRef &tensor, const TensorRef &rows, int64_t features) {
    if (!tensor) return;
    std::array<int64_t, MEZZO_MAX_RANK> shape{};
    std::copy(rows.shape().begin(), rows.shape().end(), shape.begin());
    shape[static_cast<size_t>(rows.rank() - 1)] = features;
    expect_shape(tensor, {shape.data(), static_cast<size_t>(rows.rank())});
}

void expect_rank_at_least_1(const TensorRef &tensor) {
    if (tensor.rank() >= 1) return;
    fail(MEZZO_STATUS_SHAPE_MISMATCH, "%s is %s, expected at least one dimension", tensor.name().c_str(),
         tensor.text().c_str());
}

void expect_matrix(const TensorRef &tensor) {
    if (tensor.rank() == 2) return;
    fail(MEZZO_STATUS_SHAPE_MISMATCH, "%s is %s, expected [out_features, in_features]", tensor.name().c_str(),
         tensor.text().c_str());
}

void expect_no_overlaps(std::initializer_list<const TensorRef *> outputs,
                        std::initializer_list<const TensorRef *> inputs) {
    for (auto output = outputs.begin(); output != outputs.end(); ++output) {
        for (auto other = output + 1; other != outputs.end(); ++other) expect_no_overlap(**output, **other);
        for (const TensorRef *input : inputs) expect_no_overlap(**output, *input);
    }
}

template <class Layer>
void run_on_cpu(Device &device, const Layer &layer) {
    const auto [rows, in_features, out_features] = layer.sizes;
    const cpu::ProductChoice choice =
        cpu::choose_product(layer.dtype, {.m = rows, .n = out_features, .k = in_features}, cpu::product_machine());
    cpu::run_linear(layer, cpu::product_backend(choice), device.memory());
}

void backward_on_cpu(Device &device, const LinearBackward &layer) {
    run_on_cpu(device, layer);
    if (layer.found_inf) {
        const std::array checked{layer.grad_weight, layer.grad_bias, layer.grad_input_sum};
        unscale_on_cpu(
            device, {.groups = group_by_dtype(checked), .found_inf = layer.found_inf, .scale = {}, .check_only = true});
    }
}

const Implementation<LinearForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, run_on_cpu<LinearForward>);
const Implementation<LinearBackward> cpu_backward(MEZZO_DEVICE_TYPE_CPU, backward_on_cpu);

void linear_forward(mezzo_tensor out_handle, mezzo_tensor input_handle, mezzo_tensor weight_handle,
                    mezzo_tensor bias_handle, const mezzo_linear_desc *given_desc) {
    const TensorRef out = require_tensor(out_handle, "out");
    const TensorRef input = require_tensor(input_handle, "input");
    const TensorRef weight = require_tensor(weight_handle, "weight");
    const TensorRef bias = optional_tensor(bias_handle, "bias");
    const mezzo_linear_desc desc = read_linear_desc(given_desc);

    expect_same_device({&out, &input, &weight, &bias});
    expect_floating(input);
    expect_dtype(weight, {input.dtype()});
    expect_own_or_f32(bias, input.dtype());
    expect_own_or_f32(out, input.dtype());
    expect_matrix(weight);
    const int64_t out_features = weight.dim(0);
    const int64_t in_features = weight.dim(1);
    const int64_t rows = expect_rows(input, in_features);
    expect_shape(bias, {out_features});
    expect_rows_like(out, input, out_features);
    expect_no_overlaps({&out}, {&input, &weight, &bias});

    run_op(out.device(), LinearForward{.sizes = {rows, in_features, out_features},
                                       .dtype = input.dtype(),
                                       .out = out,
                                       .input = input.bytes_data(),
                                       .weight = weight.bytes_data(),
                                       .bias = bias,
                                       .relu = desc.activation == MEZZO_ACTIVATION_RELU,
                                       .allow_tf32 = desc.allow_tf32 != 0});
}

/// The arguments of the backward, false where they were not given.
struct BackwardArguments {
    TensorRef grad_input;
    TensorRef grad_weight;
    TensorRef grad_bias;
    TensorRef grad_input_sum;
    TensorRef found_inf;
    TensorRef grad_output;
    TensorRef input;
    TensorRef weight;
    TensorRef output;
};

void expect_needed(const TensorRef &tensor, bool needed, const char *why) {
    if (needed && !tensor) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "%s is the null tensor, but is needed for %s", tensor.name().c_str(), why);
    }
}

void expect_complete(const BackwardArguments &a, const mezzo_linear_desc &desc) {
    if (!a.grad_input && !a.grad_weight && !a.grad_bias) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT,
             "grad_input, grad_weight and grad_bias are all the null tensor, expected at least one of them");
    }
    if ((desc.accumulate & ~kAllAccumulate) != 0) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.accumulate is %u, expected bits of mezzo_linear_accumulate",
             desc.accumulate);
    }
    expect_needed(a.weight, static_cast<bool>(a.grad_input), "grad_input");
    expect_needed(a.input, static_cast<bool>(a.grad_weight), "grad_weight");
    expect_needed(a.grad_input, static_cast<bool>(a.grad_input_sum), "grad_input_sum");
    if (desc.input_activation == MEZZO_ACTIVATION_RELU) {
        expect_needed(a.grad_input, true, "the gradient of the ReLU before");
        expect_needed(a.input, true, "the gradient of the ReLU before");
    }
    expect_needed(a.output, desc.activation == MEZZO_ACTIVATION_RELU, "the gradient of ReLU");
}

/// The dtype of the layer's operands. Without any of them, for a bias gradient alone, that of a half among
/// the others, which may also be f32 then.
mezzo_dtype layer_dtype(const BackwardArguments &a) {
    for (const TensorRef *operand : {&a.input, &a.weight}) {
        if (*operand) return operand->dtype();
    }
    for (const TensorRef *other : {&a.output, &a.grad_bias}) {
        if (*other && dtype_is_half(other->dtype())) return other->dtype();
    }
    return a.grad_output.dtype();
}

/// Checks dtypes and shapes; answers the sizes, of which in_features is 1 where nothing depends on it.
LinearSizes check_backward(const BackwardArguments &a) {
    const mezzo_dtype dtype = layer_dtype(a);
    expect_floating(a.grad_output);
    expect_floating(a.input);
    expect_floating(a.weight);
    if (a.input) expect_dtype(a.weight, {dtype});
    for (const TensorRef *tensor :
         {&a.grad_input, &a.grad_weight, &a.grad_bias, &a.grad_input_sum, &a.grad_output, &a.output}) {
        expect_own_or_f32(*tensor, dtype);
    }
    expect_scalar(a.found_inf);
    expect_dtype(a.found_inf, {MEZZO_DTYPE_F32});

    expect_rank_at_least_1(a.grad_output);
    const int64_t out_features = a.grad_output.dim(a.grad_output.rank() - 1);
    const int64_t rows = a.grad_output.elements() / out_features;
    int64_t in_features = 1;
    if (a.weight) {
        expect_matrix(a.weight);
        in_features = a.weight.dim(1);
        expect_shape(a.weight, {out_features, in_features});
    } else if (a.input) {
        expect_rank_at_least_1(a.input);
        in_features = a.input.dim(a.input.rank() - 1);
    }
    expect_rows_like(a.input, a.grad_output, in_features);
    expect_rows_like(a.output, a.grad_output, out_features);
    expect_rows_like(a.grad_input, a.grad_output, in_features);
    expect_shape(a.grad_weight, {out_features, in_features});
    expect_shape(a.grad_bias, {out_features});
    expect_shape(a.grad_input_sum, {in_features});
    return {rows, in_features, out_features};
}

/// Whether grad_input takes the place of grad_output, element by element.
bool is_in_place(const BackwardArguments &a, bool accumulate_input) {
    return a.grad_input && !accumulate_input && a.grad_input.bytes_data() == a.grad_output.bytes_data() &&
           a.grad_input.elements() == a.grad_output.elements() && a.grad_input.dtype() == a.grad_output.dtype();
}

void linear_backward(const BackwardArguments &a, const mezzo_linear_desc *given_desc) {
    const mezzo_linear_desc desc = read_linear_desc(given_desc);
    expect_complete(a, desc);
    expect_same_device({&a.grad_output, &a.grad_input, &a.grad_weight, &a.grad_bias, &a.grad_input_sum, &a.found_inf,
                        &a.input, &a.weight, &a.output});
    const LinearSizes sizes = check_backward(a);
    const bool accumulate_input = (desc.accumulate & MEZZO_LINEAR_ACCUMULATE_INPUT) != 0;
    expect_no_overlaps({&a.grad_input, &a.grad_weight, &a.grad_bias, &a.grad_input_sum, &a.found_inf},
                       {&a.input, &a.weight, &a.output});
    expect_no_overlaps({&a.grad_weight, &a.grad_bias, &a.grad_input_sum, &a.found_inf}, {&a.grad_output});
    if (!is_in_place(a, accumulate_input)) expect_no_overlap(a.grad_input, a.grad_output);

    const bool relu = desc.activation == MEZZO_ACTIVATION_RELU;
    run_op(a.grad_output.device(),
           LinearBackward{.sizes = sizes,
                          .dtype = layer_dtype(a),
                          .grad_input = a.grad_input,
                          .grad_weight = a.grad_weight,
                          .grad_bias = a.grad_bias,
                          .grad_input_sum = a.grad_input_sum,
                          .found_inf = a.found_inf,
                          .grad_output = a.grad_output,
                          .input = TensorData(a.input).data,
                          .weight = TensorData(a.weight).data,
                          .output = relu ? TensorData(a.output) : TensorData(),
                          .mask_input = desc.input_activation == MEZZO_ACTIVATION_RELU,
                          .accumulate_input = accumulate_input,
                          .accumulate_weight = (desc.accumulate & MEZZO_LINEAR_ACCUMULATE_WEIGHT) != 0,
                          .accumulate_bias = (desc.accumulate & MEZZO_LINEAR_ACCUMULATE_BIAS) != 0,
                          .accumulate_sum = (desc.accumulate & MEZZO_LINEAR_ACCUMULATE_SUM) != 0,
                          .allow_tf32 = desc.allow_tf32 != 0});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_linear_forward(mezzo_tensor out, mezzo_tensor input, mezzo_tensor weight, mezzo_tensor bias,
                                  const mezzo_linear_desc *desc) {
    return mezzo::guard("linear_forward", [&] { mezzo::linear_forward(out, input, weight, bias, desc); });
}

mezzo_status mezzo_linear_backward(mezzo_tensor grad_input, mezzo_tensor grad_weight, mezzo_tensor grad_bias,
                                   mezzo_tensor grad_input_sum, mezzo_tensor found_inf, mezzo_tensor grad_output,
                                   mezzo_tensor input, mezzo_tensor weight, mezzo_tensor output,
                                   const mezzo_linear_desc *desc) {
    return mezzo::guard("linear_backward", [&] {
        using namespace mezzo;
        linear_backward({.grad_input = optional_tensor(grad_input, "grad_input"),
                         .grad_weight = optional_tensor(grad_weight, "grad_weight"),
                         .grad_bias = optional_tensor(grad_bias, "grad_bias"),
                         .grad_input_sum = optional_tensor(grad_input_sum, "grad_input_sum"),
                         .found_inf = optional_tensor(found_inf, "found_inf"),
                         .grad_output = require_tensor(grad_output, "grad_output"),
                         .input = optional_tensor(input, "input"),
                         .weight = optional_tensor(weight, "weight"),
                         .output = optional_tensor(output, "output")},
                        desc);
    });
}
