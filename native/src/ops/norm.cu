// SPDX-License-Identifier: MIT
// layer_norm and rms_norm on CUDA: out = (input - mean) rstd weight + bias over each row; ops/norm.cpp has the formulas
//
//   input, grad_input         [rows, n]  T: a floating dtype
//   out, grad_output          [rows, n]  T, or A
//   weight, bias, mean, rstd  [n], [n], [rows], [rows]  A: f32 for halves, else T
//
// Forward: one launch, each element read and written once where n <= 4096 (device/row.cuh). Backward: one for the
// input, two for weight and bias (device/column.cuh), which read input and gradient again. Sums in f64 in the CPU's
// order, all else by functions shared with it: its bits, but for the payload of a NaN. Bound by memory, or where f64
// runs at 1/32 or 1/64 of f32's rate by that: four additions and products of an element forward, six for the input's
// gradient.
#include "ops/norm.h"

#include "device/column.cuh"
#include "device/row.cuh"

namespace mezzo {
namespace {

/// The pointers of a call.
template <class T, class Out>
struct NormForwardPointers {
    using A = Arithmetic<T>;
    Out *out;
    A *mean;
    A *rstd;
    const T *input;
    const A *weight;
    const A *bias;

    explicit NormForwardPointers(const NormForward &a)
        : out(a.out.as<Out>()),
          mean(a.mean.as_or_null<A>()),
          rstd(a.rstd.as_or_null<A>()),
          input(a.input.as<const T>()),
          weight(a.weight.as_or_null<const A>()),
          bias(a.bias.as_or_null<const A>()) {}
};

template <class T, class Out>
struct NormBackwardPointers {
    using A = Arithmetic<T>;
    T *grad_input;
    A *grad_weight;
    A *grad_bias;
    const Out *grad_output;
    const T *input;
    const A *mean;
    const A *rstd;
    const A *weight;

    explicit NormBackwardPointers(const NormBackward &a)
        : grad_input(a.grad_input.as_or_null<T>()),
          grad_weight(a.grad_weight.as_or_null<A>()),
          grad_bias(a.grad_bias.as_or_null<A>()),
          grad_output(a.grad_output.as<const Out>()),
          input(a.input.as<const T>()),
          mean(a.mean.as_or_null<const A>()),
          rstd(a.rstd.as<const A>()),
          weight(a.weight.as_or_null<const A>()) {}

    __device__ __forceinline__ NormRow<A> row(int64_t index) const {
        return {mean != nullptr ? mean[index] : A{}, rstd[index]};
    }
};

template <int kWarps, class T, class Out>
__global__ void __launch_bounds__(kRowThreads, kRowBlocks<T>)
    norm_forward_kernel(NormForwardPointers<T, Out> a, int64_t rows, int64_t width, double eps, bool centred,
                        bool packed) {
    using A = Arithmetic<T>;
    using In = RawPack<T, kRowPack>;
    const auto count_of_row = static_cast<double>(width);
    each_row<kWarps>(rows, [&](int64_t r) {
        Row<kWarps, T> x(width, packed, a.input + r * width);
        double mean = 0;
        if (centred) {
            const auto terms = [](int64_t, int, const In &pack) {
                return [pack](int k) { return RowTerms<1>{convert<double>(pack.at(k))}; };
            };
            mean = x.template sum<1>(terms).value[0] / count_of_row;
        }
        const auto squares = [mean](int64_t, int, const In &pack) {
            return [pack, mean](int k) { return RowTerms<1>{squared_deviation(pack.at(k), mean)}; };
        };
        const double variance = x.template sum<1>(squares).value[0] / count_of_row;
        const NormRow<A> row = {static_cast<A>(mean), reciprocal_deviation<A>(variance, eps)};
        if (threadIdx.x % (kWarps * kWarpSize) == 0) {
            if (a.mean != nullptr) a.mean[r] = row.mean;
            if (a.rstd != nullptr) a.rstd[r] = row.rstd;
        }
        x.each([&](int64_t column, int count, const In &pack) {
            const auto weight = load_row_pack_or(a.weight, column, count, packed, A{1});
            const auto bias = load_row_pack_or(a.bias, column, count, packed, A{});
            Pack<Out, kRowPack> out;
            MEZZO_UNROLL
            for (int k = 0; k < kRowPack; ++k) {
                out.value[k] = convert<Out>(scaled_and_shifted(row.normalize(pack.at(k)), a.weight != nullptr,
                                                               weight.value[k], a.bias != nullptr, bias.value[k]));
            }
            store_row_pack(a.out + r * width + column, out, count, packed);
        });
    });
}

/// The gradient of the input.
template <int kWarps, class T, class Out>
__global__ void __launch_bounds__(kRowThreads, kRowBlocks<T, Out>)
    norm_backward_kernel(NormBackwardPointers<T, Out> a, int64_t rows, int64_t width, bool packed) {
    using A = Arithmetic<T>;
    using In = RawPack<T, kRowPack>;
    using Grad = RawPack<Out, kRowPack>;
    const auto count_of_row = static_cast<double>(width);
    each_row<kWarps>(rows, [&](int64_t r) {
        const NormRow<A> row = a.row(r);
        Row<kWarps, T, Out> x(width, packed, a.input + r * width, a.grad_output + r * width);
        // grad_output weight, of the element k of a pack
        const auto gradients = [&](int64_t column, int count, const Grad &grad) {
            const auto weight = load_row_pack_or(a.weight, column, count, packed, A{1});
            return [grad, weight, scales = a.weight != nullptr](int k) {
                return scaled_and_shifted(convert<A>(grad.at(k)), scales, weight.value[k], false, A{});
            };
        };
        const auto terms = [&](int64_t column, int count, const In &pack, const Grad &grad) {
            const auto gradient = gradients(column, count, grad);
            return [=](int k) {
                const auto term = static_cast<double>(gradient(k));
                return RowTerms<2>{term, term * static_cast<double>(row.normalize(pack.at(k)))};
            };
        };
        const RowTerms<2> sums = x.template sum<2>(terms);
        const NormRowGradient<A> means = {a.mean != nullptr ? static_cast<A>(sums.value[0] / count_of_row) : A{},
                                          static_cast<A>(sums.value[1] / count_of_row)};
        x.each([&](int64_t column, int count, const In &pack, const Grad &grad) {
            const auto gradient = gradients(column, count, grad);
            Pack<T, kRowPack> out;
            MEZZO_UNROLL
            for (int k = 0; k < kRowPack; ++k) {
                out.value[k] = convert<T>(means.of_input(gradient(k), row.normalize(pack.at(k)), row.rstd));
            }
            store_row_pack(a.grad_input + r * width + column, out, count, packed);
        });
    });
}

/// Sums over blocks of rows for the gradients of weight and bias.
template <class T, class Out>
__global__ void __launch_bounds__(kColumnThreads)
    norm_columns_kernel(NormBackwardPointers<T, Out> a, ColumnShape shape, double *room, bool packed) {
    struct Loaded {
        RawPack<T, kRowPack> input;
        RawPack<Out, kRowPack> gradient;
        NormRow<Arithmetic<T>> row;
    };
    const ColumnTask task(shape);
    const auto load = [&](int64_t r) {
        const int64_t at = r * shape.columns + task.column;
        return Loaded{load_row_pack(a.input + at, task.count, packed),
                      load_row_pack(a.grad_output + at, task.count, packed), a.row(r)};
    };
    const auto terms = [](const Loaded &loaded, int k) {
        const auto gradient = convert<double>(loaded.gradient.at(k));
        return ColumnPair{gradient * static_cast<double>(loaded.row.normalize(loaded.input.at(k))), gradient};
    };
    add_rows(shape, task, room, packed, load, terms);
}

template <class A>
__global__ void __launch_bounds__(kFinishThreads)
    norm_finish_kernel(ColumnShape shape, const double *room, A *grad_weight, A *grad_bias) {
    add_blocks(shape, room, [=](int64_t column, const ColumnPair &pair) {
        if (grad_weight != nullptr) grad_weight[column] = static_cast<A>(pair.first);
        if (grad_bias != nullptr) grad_bias[column] = static_cast<A>(pair.second);
    });
}

template <class T, class Out>
void forward(Device &device, const NormForward &a) {
    const NormForwardPointers<T, Out> to(a);
    const int64_t rows = a.input.elements / a.width;
    const bool packed = rows_are_packed(a.width, to.out, to.input, to.weight, to.bias);
    launch_rows(device, rows, a.width, [&](auto warps, dim3 grid) {
        launch(norm_forward_kernel<decltype(warps)::value, T, Out>, grid, dim3(kRowThreads), 0,
               cuda_device(device).stream(), to, rows, a.width, a.eps, a.centred, packed);
    });
}

template <class T, class Out>
void backward(Device &device, const NormBackward &a) {
    const NormBackwardPointers<T, Out> to(a);
    const int64_t rows = a.input.elements / a.width;
    const cudaStream_t stream = cuda_device(device).stream();
    if (a.grad_input) {
        const bool packed = rows_are_packed(a.width, to.grad_input, to.grad_output, to.input, to.weight);
        launch_rows(device, rows, a.width, [&](auto warps, dim3 grid) {
            launch(norm_backward_kernel<decltype(warps)::value, T, Out>, grid, dim3(kRowThreads), 0, stream, to, rows,
                   a.width, packed);
        });
    }
    if (!a.grad_weight && !a.grad_bias) return;
    const ColumnShape shape(rows, a.width);
    const Scratch<double> room(device.memory(), shape.room());
    const bool packed = rows_are_packed(a.width, to.grad_output, to.input);
    launch(norm_columns_kernel<T, Out>, column_grid(shape), dim3(kColumnThreads), 0, stream, to, shape, room.data(),
           packed);
    launch(norm_finish_kernel<Arithmetic<T>>, finish_grid(shape), dim3(kFinishThreads), 0, stream, shape, room.data(),
           to.grad_weight, to.grad_bias);
}

void forward_on_cuda(Device &device, const NormForward &a) {
    visit_widening(a.input.dtype, a.out.dtype, [&](auto in, auto out) {
        forward<typename decltype(in)::type, typename decltype(out)::type>(device, a);
    });
}

void backward_on_cuda(Device &device, const NormBackward &a) {
    visit_widening(a.input.dtype, a.grad_output.dtype, [&](auto in, auto out) {
        backward<typename decltype(in)::type, typename decltype(out)::type>(device, a);
    });
}

const Implementation<NormForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);
const Implementation<NormBackward> cuda_backward(MEZZO_DEVICE_TYPE_CUDA, backward_on_cuda);

} // namespace
} // namespace mezzo
