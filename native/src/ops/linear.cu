// SPDX-License-Identifier: MIT
// linear on CUDA: three matrix products and, unless the layer after has done it already, a pass over the output's
// gradient.
//
//   forward    out[rows, out] = act(input[rows, in] weight[out, in]^T + bias[out])    bias and ReLU in the epilogue
//   backward   g[rows, out]          = output <= 0 ? 0 : grad_output, in the layer's dtype
//              grad_bias[out]        = sum over rows of g                              in the same pass
//              grad_weight[out, in]  = g^T input                                       few tiles, long k: split
//              grad_input[rows, in]  = g weight, masked by input; summed over rows     in the epilogue
//              found_inf             where a sum or grad_weight is stored              in the epilogue
//
// g is grad_output itself where nothing is to be done to it. grad_input comes last, since it may take its place.
// Accumulation and the order of sums: docs/kernels/cuda-matmul-simt.md. 2 rows in out FLOP a product; the pass reads
// grad_output and output and writes g once.
#include "cuda/matmul_reduce.h"
#include "ops/linear.h"

#include <optional>

namespace mezzo {
namespace {

void forward_on_cuda(Device &device, const LinearForward &layer) {
    const auto [rows, in_features, out_features] = layer.sizes;
    matmul(cuda_device(device), {.m = rows,
                                 .n = out_features,
                                 .k = in_features,
                                 .dtype = layer.dtype,
                                 .a = layer.input,
                                 .b = layer.weight,
                                 .b_transposed = true,
                                 .out = layer.out,
                                 .allow_tf32 = layer.allow_tf32,
                                 .epilogue = {.bias = layer.bias, .relu = layer.relu}});
}

float *found_inf(const LinearBackward &layer) {
    return layer.found_inf ? layer.found_inf.as<float>() : nullptr;
}

/// The input, which kernels only read.
TensorData input_data(const LinearBackward &layer) {
    return {const_cast<std::byte *>(layer.input), layer.dtype, layer.sizes.rows * layer.sizes.in_features};
}

/// grad_weight = g^T input, for g[rows, out_features] of the layer's dtype.
MatmulProblem weight_gradient(const LinearBackward &layer, const std::byte *g) {
    const auto [rows, in_features, out_features] = layer.sizes;
    return {.m = out_features,
            .n = in_features,
            .k = rows,
            .dtype = layer.dtype,
            .a = g,
            .b = layer.input,
            .a_transposed = true,
            .out = layer.grad_weight,
            .allow_tf32 = layer.allow_tf32,
            .epilogue = {.add = layer.accumulate_weight ? 1.0f : 0.0f, .found_inf = found_inf(layer)}};
}

/// grad_input = g weight.
MatmulProblem input_gradient(const LinearBackward &layer, const std::byte *g) {
    const auto [rows, in_features, out_features] = layer.sizes;
    return {.m = rows,
            .n = in_features,
            .k = out_features,
            .dtype = layer.dtype,
            .a = g,
            .b = layer.weight,
            .out = layer.grad_input,
            .allow_tf32 = layer.allow_tf32,
            .epilogue = {.mask = layer.mask_input ? input_data(layer) : TensorData(),
                         .add = layer.accumulate_input ? 1.0f : 0.0f,
                         .column_sum = {layer.grad_input_sum, layer.accumulate_sum, found_inf(layer)}}};
}

void backward_on_cuda(Device &any_device, const LinearBackward &layer) {
    CudaDevice &device = cuda_device(any_device);
    const int64_t rows = layer.sizes.rows;
    const int64_t out_features = layer.sizes.out_features;
    const bool multiplies = layer.grad_input || layer.grad_weight;
    const bool changes = layer.output || layer.grad_output.dtype != layer.dtype || layer.in_place();

    const std::byte *g = layer.grad_output.data;
    std::optional<Scratch<std::byte>> changed;
    if (multiplies && changes) {
        changed.emplace(device.memory(), rows * out_features * dtype_size(layer.dtype));
        g = changed->data();
    }
    if (changed || layer.grad_bias) {
        pass_columns(device,
                     {.dtype = layer.dtype,
                      .rows = rows,
                      .columns = out_features,
                      .from = layer.grad_output,
                      .mask = layer.output,
                      .to = changed ? TensorData(changed->data(), layer.dtype, rows * out_features) : TensorData(),
                      .round = true,
                      .column_sum = {layer.grad_bias, layer.accumulate_bias, found_inf(layer)}});
    }
    if (layer.grad_weight) matmul(device, weight_gradient(layer, g));
    if (layer.grad_input) matmul(device, input_gradient(layer, g));
}

const Implementation<LinearForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);
const Implementation<LinearBackward> cuda_backward(MEZZO_DEVICE_TYPE_CUDA, backward_on_cuda);

} // namespace
} // namespace mezzo
