// SPDX-License-Identifier: MIT
// layer_norm and rms_norm, over each row x of width n:
//
//   mean = (1/n) sum_i x[i], of rms_norm 0;  variance = (1/n) sum_i (x[i] - mean)^2;  rstd = 1 / sqrt(variance + eps)
//   y[i] = (x[i] - mean) rstd;  out[i] = y[i] weight[i] + bias[i]
//
//   with g[i] = grad_output[i] weight[i]
//   grad_input[i]  = rstd (g[i] - (1/n) sum_j g[j] - y[i] (1/n) sum_j g[j] y[j]), of rms_norm without the first sum
//   grad_weight[i] = sum over rows of grad_output[i] y[i];  grad_bias[i] = sum over rows of grad_output[i]
//
//   input, grad_input         [rows, n]  T: a floating dtype
//   out, grad_output          [rows, n]  T, or A
//   weight, bias, mean, rstd  [n], [n], [rows], [rows]  A: f32 for halves, else T
//
// Sums are f64 in the orders of ops/row.h and ops/column.h, and so are mean and variance until they are rounded to A;
// the variance is taken of deviations from the mean before it is rounded. All else is in A. The same bits on every
// device and for any number of threads. A row is read three times, from the cache but for the first; the gradients are
// made in one pass.
// Sources: Ba et al., "Layer Normalization", 2016; Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019;
// PyTorch's native_layer_norm and rms_norm.
#include "ops/norm.h"

#include <limits>

#include "ops/column.h"
#include "ops/row.h"

namespace mezzo {
namespace {

template <class T, class Out>
void forward_rows(const NormForward &a) {
    using A = Arithmetic<T>;
    const int64_t width = a.width;
    const auto rows = [=, input = a.input.as<const T>(), out = a.out.as<Out>(), weight = a.weight.as_or_null<const A>(),
                       bias = a.bias.as_or_null<const A>(), means = a.mean.as_or_null<A>(),
                       rstds = a.rstd.as_or_null<A>(), eps = a.eps,
                       centred = a.centred](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        const auto count = static_cast<double>(width);
        for (int64_t r = begin; r < end; ++r) {
            const T *x = input + r * width;
            double mean = 0;
            if (centred) {
                const auto element = [=](int64_t i) MEZZO_ALWAYS_INLINE { return convert<double>(x[i]); };
                mean = sum_row(width, element) / count;
            }
            const auto square = [=](int64_t i) MEZZO_ALWAYS_INLINE { return squared_deviation(x[i], mean); };
            const double variance = sum_row(width, square) / count;
            const NormRow<A> row = {static_cast<A>(mean), reciprocal_deviation<A>(variance, eps)};
            if (means != nullptr) means[r] = row.mean;
            if (rstds != nullptr) rstds[r] = row.rstd;
            Out *to = out + r * width;
#pragma GCC ivdep
            for (int64_t i = 0; i < width; ++i) {
                to[i] = convert<Out>(scaled_and_shifted(row.normalize(x[i]), weight != nullptr,
                                                        weight != nullptr ? weight[i] : A{1}, bias != nullptr,
                                                        bias != nullptr ? bias[i] : A{}));
            }
        }
    };
    parallel_for(a.input.elements / width, row_grain(width), rows);
}

/// The gradient of the input of one row.
template <class A, class T, class Out>
MEZZO_ALWAYS_INLINE inline void backward_row(int64_t width, T *grad_input, const Out *grad_output, const T *x,
                                             const A *weight, const NormRow<A> &row, bool centred) {
    const auto gradient = [=](int64_t i) MEZZO_ALWAYS_INLINE {
        const A value = convert<A>(grad_output[i]);
        return weight != nullptr ? value * weight[i] : value;
    };
    const auto count = static_cast<double>(width);
    NormRowGradient<A> sums{};
    if (centred) {
        const auto term = [=](int64_t i) MEZZO_ALWAYS_INLINE { return static_cast<double>(gradient(i)); };
        sums.mean = static_cast<A>(sum_row(width, term) / count);
    }
    const auto product = [=](int64_t i) MEZZO_ALWAYS_INLINE {
        return static_cast<double>(gradient(i)) * static_cast<double>(row.normalize(x[i]));
    };
    sums.product = static_cast<A>(sum_row(width, product) / count);
#pragma GCC ivdep
    for (int64_t i = 0; i < width; ++i) {
        grad_input[i] = convert<T>(sums.of_input(gradient(i), row.normalize(x[i]), row.rstd));
    }
}

template <class T, class Out>
void backward_rows(Device &device, const NormBackward &a) {
    using A = Arithmetic<T>;
    const int64_t width = a.width;
    const ColumnShape shape(a.input.elements / width, width);
    const bool sums_columns = a.grad_weight || a.grad_bias;
    const Scratch<double> sums(device.memory(), sums_columns ? shape.room() : 1);
    const auto blocks = [=, room = sums.data(), grad_input = a.grad_input.as_or_null<T>(),
                         grad_output = a.grad_output.as<const Out>(), input = a.input.as<const T>(),
                         weight = a.weight.as_or_null<const A>(), means = a.mean.as_or_null<const A>(),
                         rstds = a.rstd.as<const A>()](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        for (int64_t block = begin; block < end; ++block) {
            double *products = nullptr;
            double *plain = nullptr;
            if (sums_columns) {
                products = shape.sums(room, block);
                plain = products + width;
                std::fill(products, products + 2 * width, 0.0);
            }
            for (int64_t r = shape.begin(block); r < shape.end(block); ++r) {
                const NormRow<A> row = {means != nullptr ? means[r] : A{}, rstds[r]};
                const T *x = input + r * width;
                const Out *gradient = grad_output + r * width;
                if (sums_columns) {
#pragma GCC ivdep
                    for (int64_t i = 0; i < width; ++i) {
                        const auto term = convert<double>(gradient[i]);
                        products[i] += term * static_cast<double>(row.normalize(x[i]));
                        plain[i] += term;
                    }
                }
                if (grad_input != nullptr) {
                    backward_row(width, grad_input + r * width, gradient, x, weight, row, means != nullptr);
                }
            }
        }
    };
    parallel_for(shape.blocks(), divide_up(kElementGrain, shape.block_rows * width), blocks);
    if (!sums_columns) return;
    const auto finish = [grad_weight = a.grad_weight.as_or_null<A>(), grad_bias = a.grad_bias.as_or_null<A>()](
                            int64_t column, const ColumnPair &pair) MEZZO_ALWAYS_INLINE {
        if (grad_weight != nullptr) grad_weight[column] = static_cast<A>(pair.first);
        if (grad_bias != nullptr) grad_bias[column] = static_cast<A>(pair.second);
    };
    finish_columns(shape, sums.data(), finish);
}

void forward_on_cpu(Device &, const NormForward &a) {
    visit_widening(a.input.dtype, a.out.dtype, [&](auto in, auto out) {
        forward_rows<typename decltype(in)::type, typename decltype(out)::type>(a);
    });
}

void backward_on_cpu(Device &device, const NormBackward &a) {
    visit_widening(a.input.dtype, a.grad_output.dtype, [&](auto in, auto out) {
        backward_rows<typename decltype(in)::type, typename decltype(out)::type>(device, a);
    });
}

const Implementation<NormForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);
const Implementation<NormBackward> cpu_backward(MEZZO_DEVICE_TYPE_CPU, backward_on_cpu);

/// Product of the last desc.dims dimensions.
int64_t normalized_width(const TensorRef &input, const mezzo_norm_desc &desc) {
    if (desc.dims < 1 || desc.dims > input.rank()) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.dims is %d, expected 1 to %d for input, which is %s", desc.dims,
             input.rank(), input.text().c_str());
    }
    int64_t width = 1;
    for (const int64_t dim : input.shape().last(static_cast<size_t>(desc.dims))) width *= dim;
    return width;
}

/// Shape and dtype of what there is one of for each row, and for each column.
void expect_rows(const TensorRef &tensor, const TensorRef &input, const mezzo_norm_desc &desc) {
    expect_dtype(tensor, {arithmetic_dtype(input.dtype())});
    expect_shape(tensor, input.shape().first(static_cast<size_t>(input.rank() - desc.dims)));
}
void expect_columns(const TensorRef &tensor, const TensorRef &input, const mezzo_norm_desc &desc) {
    expect_dtype(tensor, {arithmetic_dtype(input.dtype())});
    expect_shape(tensor, input.shape().last(static_cast<size_t>(desc.dims)));
}

} // namespace

mezzo_norm_desc norm_descriptor(const mezzo_norm_desc *desc, double eps) {
    const mezzo_norm_desc given = read_descriptor(desc, {sizeof(mezzo_norm_desc), 1, eps});
    if (desc != nullptr && !(given.eps >= 0 && std::isfinite(given.eps))) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.eps is %g, expected a finite number of at least 0", given.eps);
    }
    return given;
}

void norm_forward(const NormForwardTensors &tensors, const mezzo_norm_desc &desc, bool centred) {
    const auto &[out, mean, rstd, input, weight, bias] = tensors;
    expect_same_device({&out, &mean, &rstd, &input, &weight, &bias});
    expect_floating(input);
    const int64_t width = normalized_width(input, desc);
    expect_same_shape(out, input);
    expect_dtype(out, {input.dtype(), arithmetic_dtype(input.dtype())});
    for (const TensorRef *of_row : {&mean, &rstd}) expect_rows(*of_row, input, desc);
    for (const TensorRef *of_column : {&weight, &bias}) expect_columns(*of_column, input, desc);
    expect_separate({&out, &mean, &rstd}, {&input, &weight, &bias});
    const bool is_wide = arithmetic_dtype(input.dtype()) == MEZZO_DTYPE_F64;
    const double epsilon =
        is_wide ? std::numeric_limits<double>::epsilon() : static_cast<double>(std::numeric_limits<float>::epsilon());
    run_op(out.device(),
           NormForward{out, mean, rstd, input, weight, bias, width, desc.eps < 0 ? epsilon : desc.eps, centred});
}

void norm_backward(const NormBackwardTensors &tensors, const mezzo_norm_desc &desc, bool centred) {
    const auto &[grad_input, grad_weight, grad_bias, grad_output, input, mean, rstd, weight] = tensors;
    if (!grad_input && !grad_weight && !grad_bias) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "all gradients are null, expected at least one of them");
    }
    expect_same_device({&grad_input, &grad_weight, &grad_bias, &grad_output, &input, &mean, &rstd, &weight});
    expect_floating(input);
    const int64_t width = normalized_width(input, desc);
    expect_same_shape_and_dtype(grad_input, input);
    expect_same_shape(grad_output, input);
    expect_dtype(grad_output, {input.dtype(), arithmetic_dtype(input.dtype())});
    if (centred) expect_rows(mean, input, desc);
    expect_rows(rstd, input, desc);
    for (const TensorRef *of_column : {&grad_weight, &grad_bias, &weight}) expect_columns(*of_column, input, desc);
    expect_separate({&grad_input, &grad_weight, &grad_bias}, {&grad_output, &input, &mean, &rstd, &weight});
    run_op(input.device(),
           NormBackward{grad_input, grad_weight, grad_bias, grad_output, input, mean, rstd, weight, width});
}

} // namespace mezzo
