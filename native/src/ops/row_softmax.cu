// SPDX-License-Identifier: MIT
// softmax and log_softmax on CUDA, over each row of width n; ops/row_softmax.cpp has the formulas
//
//   input, grad_input         [rows, n]  T: a floating dtype
//   out, grad_output, output  [rows, n]  T, or A: f32 for halves, else T
//
// One launch, each element read and written once where n <= 4096 (device/row.cuh); exponentials are made twice, for the
// sum and for the result, rather than kept. Sums in f64 in the CPU's order, all else by functions shared with it: its
// bits, but for the payload of a NaN. About 40 operations of an element forward, so bound by memory where a GPU does 5
// in f32 in the time of a byte, or where f64 runs at 1/32 or 1/64 of f32's rate by the sums.
#include "ops/row_softmax.h"

#include "device/row.cuh"

namespace mezzo {
namespace {

template <int kWarps, class T, class Out>
__global__ void __launch_bounds__(kRowThreads, kRowBlocks<T>)
    softmax_forward_kernel(Out *out, const T *input, int64_t rows, int64_t width, bool log, bool packed) {
    using A = Arithmetic<T>;
    using In = RawPack<T, kRowPack>;
    each_row<kWarps>(rows, [&](int64_t r) {
        Row<kWarps, T> x(width, packed, input + r * width);
        const A maximum = x.template largest<A>(
            kNoMaximum<A>, [](const In &pack, int k) { return widen(pack.at(k)); },
            [](A a, A b) { return larger(a, b); });
        const auto terms = [maximum](int64_t, int, const In &pack) {
            return [pack, maximum](int k) {
                return RowTerms<1>{static_cast<double>(exponential_below(pack.at(k), maximum))};
            };
        };
        const SoftmaxRow<A> row(maximum, x.template sum<1>(terms).value[0], log);
        x.each([&](int64_t column, int count, const In &pack) {
            Pack<Out, kRowPack> result;
            MEZZO_UNROLL
            for (int k = 0; k < kRowPack; ++k) result.value[k] = convert<Out>(row.out(pack.at(k), log));
            store_row_pack(out + r * width + column, result, count, packed);
        });
    });
}

template <int kWarps, class T, class Out>
__global__ void __launch_bounds__(kRowThreads, kRowBlocks<Out, Out>)
    softmax_backward_kernel(T *grad_input, const Out *grad_output, const Out *output, int64_t rows, int64_t width,
                            bool log, bool packed) {
    using In = RawPack<Out, kRowPack>;
    each_row<kWarps>(rows, [&](int64_t r) {
        Row<kWarps, Out, Out> row(width, packed, grad_output + r * width, output + r * width);
        const auto terms = [log](int64_t, int, const In &gradient, const In &value) {
            return [gradient, value, log](int k) {
                return RowTerms<1>{softmax_gradient_term(gradient.at(k), value.at(k), log)};
            };
        };
        const auto sum = static_cast<Arithmetic<Out>>(row.template sum<1>(terms).value[0]);
        row.each([&](int64_t column, int count, const In &gradient, const In &value) {
            Pack<T, kRowPack> result;
            MEZZO_UNROLL
            for (int k = 0; k < kRowPack; ++k) {
                result.value[k] = convert<T>(softmax_gradient(gradient.at(k), value.at(k), sum, log));
            }
            store_row_pack(grad_input + r * width + column, result, count, packed);
        });
    });
}

void forward_on_cuda(Device &device, const SoftmaxForward &a) {
    visit_widening(a.input.dtype, a.out.dtype, [&](auto from, auto to) {
        using T = typename decltype(from)::type;
        using Out = typename decltype(to)::type;
        Out *out = a.out.as<Out>();
        const T *input = a.input.as<const T>();
        const int64_t rows = a.input.elements / a.width;
        const bool packed = rows_are_packed(a.width, out, input);
        launch_rows(device, rows, a.width, [&](auto warps, dim3 grid) {
            launch(softmax_forward_kernel<decltype(warps)::value, T, Out>, grid, dim3(kRowThreads), 0,
                   cuda_device(device).stream(), out, input, rows, a.width, a.log, packed);
        });
    });
}

void backward_on_cuda(Device &device, const SoftmaxBackward &a) {
    visit_widening(a.grad_input.dtype, a.output.dtype, [&](auto from, auto to) {
        using T = typename decltype(from)::type;
        using Out = typename decltype(to)::type;
        T *grad_input = a.grad_input.as<T>();
        const Out *grad_output = a.grad_output.as<const Out>();
        const Out *output = a.output.as<const Out>();
        const int64_t rows = a.output.elements / a.width;
        const bool packed = rows_are_packed(a.width, grad_input, grad_output, output);
        launch_rows(device, rows, a.width, [&](auto warps, dim3 grid) {
            launch(softmax_backward_kernel<decltype(warps)::value, T, Out>, grid, dim3(kRowThreads), 0,
                   cuda_device(device).stream(), grad_input, grad_output, output, rows, a.width, a.log, packed);
        });
    });
}

const Implementation<SoftmaxForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);
const Implementation<SoftmaxBackward> cuda_backward(MEZZO_DEVICE_TYPE_CUDA, backward_on_cuda);

} // namespace
} // namespace mezzo
