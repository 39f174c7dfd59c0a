// SPDX-License-Identifier: MIT
#include "support/norm.h"

#include <cmath>

namespace mezzo::testing {
namespace {

constexpr double kEps = 1e-3;

Shape leading(const NormCase &norm) {
    return Shape(norm.shape.begin(), norm.shape.end() - norm.dims);
}
Shape trailing(const NormCase &norm) {
    return Shape(norm.shape.end() - norm.dims, norm.shape.end());
}

TestTensor random_tensor(const NormCase &norm, mezzo_dtype dtype, const Shape &shape, uint64_t seed, double low,
                         double high) {
    const std::vector<double> values = random_values(elements_of(shape), seed, low, high);
    return norm.misaligned ? TestTensor::misaligned(dtype, shape, values) : TestTensor(dtype, shape, values);
}

Expected zeros(int64_t count) {
    const std::vector<double> nothing(static_cast<size_t>(count), 0);
    return {nothing, nothing};
}

} // namespace

mezzo_status norm_forward(bool centred, const TestTensor &out, const TestTensor &mean, const TestTensor &rstd,
                          const TestTensor &input, const TestTensor &weight, const TestTensor &bias,
                          const mezzo_norm_desc *desc) {
    return centred ? mezzo_layer_norm_forward(out, mean, rstd, input, weight, bias, desc)
                   : mezzo_rms_norm_forward(out, rstd, input, weight, desc);
}

mezzo_status norm_backward(bool centred, const TestTensor &grad_input, const TestTensor &grad_weight,
                           const TestTensor &grad_bias, const TestTensor &grad_output, const TestTensor &input,
                           const TestTensor &mean, const TestTensor &rstd, const TestTensor &weight,
                           const mezzo_norm_desc *desc) {
    return centred ? mezzo_layer_norm_backward(grad_input, grad_weight, grad_bias, grad_output, input, mean, rstd,
                                               weight, desc)
                   : mezzo_rms_norm_backward(grad_input, grad_weight, grad_output, input, rstd, weight, desc);
}

NormRun::NormRun(const NormCase &norm) : desc{sizeof(mezzo_norm_desc), norm.dims, kEps} {
    const mezzo_dtype arithmetic = arithmetic_of(norm.dtype);
    input = random_tensor(norm, norm.dtype, norm.shape, 1, -0.5, 1.5);
    grad_output = random_tensor(norm, norm.out_dtype, norm.shape, 2, -1, 1);
    out = random_tensor(norm, norm.out_dtype, norm.shape, 3, -1, 1);
    grad_input = random_tensor(norm, norm.dtype, norm.shape, 3, -1, 1);
    rstd = TestTensor(arithmetic, leading(norm));
    if (norm.centred) mean = TestTensor(arithmetic, leading(norm));
    if (norm.affine) {
        weight = random_tensor(norm, arithmetic, trailing(norm), 4, 0.5, 1.5);
        grad_weight = TestTensor(arithmetic, trailing(norm));
        if (norm.centred) {
            bias = random_tensor(norm, arithmetic, trailing(norm), 5, -1, 1);
            grad_bias = TestTensor(arithmetic, trailing(norm));
        }
    }
    EXPECT_OK(norm_forward(norm.centred, out, mean, rstd, input, weight, bias, &desc));
    EXPECT_OK(
        norm_backward(norm.centred, grad_input, grad_weight, grad_bias, grad_output, input, mean, rstd, weight, &desc));
}

std::vector<const TestTensor *> NormRun::outputs() const {
    std::vector<const TestTensor *> given;
    for (const TestTensor *tensor : {&out, &mean, &rstd, &grad_input, &grad_weight, &grad_bias}) {
        if (tensor->handle().id != 0) given.push_back(tensor);
    }
    return given;
}

NormReference::NormReference(const NormCase &norm, const NormRun &run)
    : rows(elements_of(leading(norm))), width(elements_of(trailing(norm))) {
    out = grad_input = zeros(rows * width);
    grad_weight = grad_bias = zeros(width);
    const auto n = static_cast<double>(width);
    const std::vector<double> x = run.input.values();
    const std::vector<double> gradients = run.grad_output.values();
    const auto columns = [&](const TestTensor &tensor, double otherwise) {
        return tensor.handle().id != 0 ? tensor.values() : std::vector<double>(static_cast<size_t>(width), otherwise);
    };
    const std::vector<double> weight = columns(run.weight, 1);
    const std::vector<double> bias = columns(run.bias, 0);
    for (int64_t row = 0; row < rows; ++row) {
        const auto at = [&](int64_t i) { return static_cast<size_t>(row * width + i); };
        double mean = 0;
        for (int64_t i = 0; norm.centred && i < width; ++i) mean += x[at(i)] / n;
        double variance = 0;
        for (int64_t i = 0; i < width; ++i) variance += (x[at(i)] - mean) * (x[at(i)] - mean) / n;
        const double rstd = 1 / std::sqrt(variance + kEps);
        double sums[2] = {};
        double magnitudes[2] = {};
        for (int64_t i = 0; i < width; ++i) {
            const auto column = static_cast<size_t>(i);
            const double y = (x[at(i)] - mean) * rstd;
            const double y_magnitude = (std::abs(x[at(i)]) + std::abs(mean)) * rstd;
            out.values[at(i)] = y * weight[column] + bias[column];
            out.magnitudes[at(i)] = y_magnitude * std::abs(weight[column]) + std::abs(bias[column]);
            const double g = gradients[at(i)] * weight[column];
            sums[0] += norm.centred ? g / n : 0;
            sums[1] += g * y / n;
            magnitudes[0] += norm.centred ? std::abs(g) / n : 0;
            magnitudes[1] += std::abs(g) * y_magnitude / n;
            grad_weight.values[column] += gradients[at(i)] * y;
            grad_weight.magnitudes[column] += std::abs(gradients[at(i)]) * y_magnitude;
            grad_bias.values[column] += gradients[at(i)];
            grad_bias.magnitudes[column] += std::abs(gradients[at(i)]);
        }
        for (int64_t i = 0; i < width; ++i) {
            const double y = (x[at(i)] - mean) * rstd;
            const double y_magnitude = (std::abs(x[at(i)]) + std::abs(mean)) * rstd;
            const double g = gradients[at(i)] * weight[static_cast<size_t>(i)];
            grad_input.values[at(i)] = rstd * (g - sums[0] - y * sums[1]);
            grad_input.magnitudes[at(i)] = rstd * (std::abs(g) + magnitudes[0] + y_magnitude * magnitudes[1]);
        }
    }
}

void expect_norm(const NormCase &norm) {
    const NormRun run(norm);
    const NormReference reference(norm, run);
    const mezzo_dtype arithmetic = arithmetic_of(norm.dtype);
    // Sums are f64, so that of the roundings to f32 only those after them count.
    const int64_t row_sum = arithmetic == MEZZO_DTYPE_F64 ? 2 * reference.width : 0;
    const int64_t column_sum = arithmetic == MEZZO_DTYPE_F64 ? row_sum + reference.rows : 0;
    EXPECT_TRUE(is_near(run.out.values(), reference.out, {norm.out_dtype, arithmetic, 6 + row_sum}));
    EXPECT_TRUE(is_near(run.grad_input.values(), reference.grad_input, {norm.dtype, arithmetic, 14 + 3 * row_sum}));
    if (!norm.affine) return;
    EXPECT_TRUE(is_near(run.grad_weight.values(), reference.grad_weight, {arithmetic, arithmetic, 5 + column_sum}));
    if (!norm.centred) return;
    EXPECT_TRUE(is_near(run.grad_bias.values(), reference.grad_bias, {arithmetic, arithmetic, 1 + column_sum}));
}

std::vector<NormCase> norm_cases(bool centred) {
    // Around the widths of packs, warps and segments, rows of several warps, and more rows than a block of columns has.
    const std::vector<std::pair<Shape, int32_t>> shapes = {
        {{1}, 1},      {{3}, 1},       {{2, 3, 5}, 2}, {{2, 2, 3}, 3}, {{37, 33}, 1},
        {{3, 128}, 1}, {{2, 1023}, 1}, {{2, 1025}, 1}, {{2, 4096}, 1}, {{2, 3, 1100}, 2}};
    std::vector<NormCase> cases;
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        for (const auto &[shape, dims] : shapes) {
            const bool is_wide = elements_of(shape) > 4000;
            cases.push_back({centred, dtype, dtype, shape, dims, true, is_wide});
            cases.push_back({centred, dtype, arithmetic_of(dtype), shape, dims, !is_wide, false});
        }
    }
    return cases;
}

} // namespace mezzo::testing
