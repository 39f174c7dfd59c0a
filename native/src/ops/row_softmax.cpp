// SPDX-License-Identifier: MIT
// softmax and log_softmax, over each row x of width n, with m = max_i x[i] and s = sum_i exp(x[i] - m):
//
//   softmax      out[i] = exp(x[i] - m) / s;    grad_input[i] = out[i] (g[i] - sum_j g[j] out[j])
//   log_softmax  out[i] = (x[i] - m) - log(s);  grad_input[i] = g[i] - exp(out[i]) sum_j g[j]
//
//   input, grad_input         [rows, n]  T: a floating dtype
//   out, grad_output g        [rows, n]  T, or A: f32 for halves, else T
//
// Exponentials are those of core/elementary.h in A; sums are f64 in the order of ops/row.h, and the logarithm is taken
// there; all else is in A. The same bits on every device and for any number of threads. A row without a finite largest
// element gives NaN, and so does one with NaN anywhere.
// Source: PyTorch's softmax and log_softmax.
#include "ops/row_softmax.h"

namespace mezzo {
namespace {

template <class T, class Out>
MEZZO_ALWAYS_INLINE inline void forward_row(int64_t width, Out *out, const T *x, bool log) {
    using A = Arithmetic<T>;
    const A maximum = largest_of_row<A>(width, [=](int64_t i) MEZZO_ALWAYS_INLINE { return widen(x[i]); });
    if constexpr (std::is_same_v<Out, A>) {
        if (!log) { // the exponentials wait in the output
#pragma GCC ivdep
            for (int64_t i = 0; i < width; ++i) out[i] = exponential_below(x[i], maximum);
            const auto term = [=](int64_t i) MEZZO_ALWAYS_INLINE { return static_cast<double>(out[i]); };
            const auto sum = static_cast<A>(sum_row(width, term));
            for (int64_t i = 0; i < width; ++i) out[i] /= sum;
            return;
        }
    }
    const auto term = [=](int64_t i)
                          MEZZO_ALWAYS_INLINE { return static_cast<double>(exponential_below(x[i], maximum)); };
    const SoftmaxRow<A> row(maximum, sum_row(width, term), log);
#pragma GCC ivdep
    for (int64_t i = 0; i < width; ++i) out[i] = convert<Out>(row.out(x[i], log));
}

template <class T, class Out>
MEZZO_ALWAYS_INLINE inline void backward_row(int64_t width, T *grad_input, const Out *gradient, const Out *output,
                                             bool log) {
    const auto term = [=](int64_t i) MEZZO_ALWAYS_INLINE { return softmax_gradient_term(gradient[i], output[i], log); };
    const auto sum = static_cast<Arithmetic<Out>>(sum_row(width, term));
#pragma GCC ivdep
    for (int64_t i = 0; i < width; ++i) grad_input[i] = convert<T>(softmax_gradient(gradient[i], output[i], sum, log));
}

void forward_on_cpu(Device &, const SoftmaxForward &a) {
    visit_widening(a.input.dtype, a.out.dtype, [&](auto from, auto to) {
        using T = typename decltype(from)::type;
        using Out = typename decltype(to)::type;
        const auto rows = [width = a.width, out = a.out.as<Out>(), input = a.input.as<const T>(), log = a.log](
                              int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            for (int64_t r = begin; r < end; ++r) {
                if (log) {
                    forward_row(width, out + r * width, input + r * width, true);
                } else {
                    forward_row(width, out + r * width, input + r * width, false);
                }
            }
        };
        parallel_for(a.input.elements / a.width, row_grain(a.width), rows);
    });
}

void backward_on_cpu(Device &, const SoftmaxBackward &a) {
    visit_widening(a.grad_input.dtype, a.output.dtype, [&](auto from, auto to) {
        using T = typename decltype(from)::type;
        using Out = typename decltype(to)::type;
        const auto rows = [width = a.width, grad_input = a.grad_input.as<T>(), gradient = a.grad_output.as<const Out>(),
                           output = a.output.as<const Out>(),
                           log = a.log](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            for (int64_t r = begin; r < end; ++r) {
                if (log) {
                    backward_row(width, grad_input + r * width, gradient + r * width, output + r * width, true);
                } else {
                    backward_row(width, grad_input + r * width, gradient + r * width, output + r * width, false);
                }
            }
        };
        parallel_for(a.output.elements / a.width, row_grain(a.width), rows);
    });
}

const Implementation<SoftmaxForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);
const Implementation<SoftmaxBackward> cpu_backward(MEZZO_DEVICE_TYPE_CPU, backward_on_cpu);

/// A row is the last dimension; a scalar is a row of one element.
int64_t row_width(const TensorRef &tensor) {
    return tensor.rank() == 0 ? 1 : tensor.dim(tensor.rank() - 1);
}

} // namespace

void softmax_forward(const TensorRef &out, const TensorRef &input, bool log) {
    expect_same_device(out, input);
    expect_floating(input);
    expect_same_shape(out, input);
    expect_dtype(out, {input.dtype(), arithmetic_dtype(input.dtype())});
    expect_no_overlap(out, input);
    run_op(out.device(), SoftmaxForward{out, input, row_width(input), log});
}

void softmax_backward(const TensorRef &grad_input, const TensorRef &grad_output, const TensorRef &output, bool log) {
    expect_same_device({&grad_input, &grad_output, &output});
    expect_floating(grad_input);
    expect_same_shape(output, grad_input);
    expect_dtype(output, {grad_input.dtype(), arithmetic_dtype(grad_input.dtype())});
    expect_same_shape_and_dtype(grad_output, output);
    expect_separate({&grad_input}, {&grad_output, &output});
    run_op(grad_input.device(), SoftmaxBackward{grad_input, grad_output, output, row_width(output), log});
}

} // namespace mezzo
