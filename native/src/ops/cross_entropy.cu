// SPDX-License-Identifier: MIT
// cross_entropy on CUDA: loss = (1/d) sum over rows of -(sum_c q[c] log p[c]); ops/cross_entropy.cpp has the formulas
//
//   logits, grad_logits  [rows, C]  T: a floating dtype     target  [rows]  an integer dtype
//   weight               [C]        A: f32 for halves, else T
//   maxima, sums         [rows]     A                       totals  [2]     f64: d and sum_c w[c]
//
// One launch each. Forward: a warp or a block for each row (device/row.cuh); the block that finishes last adds the
// losses and weights of the rows (device/reduce.cuh). Backward: elementwise, with what the forward has left of each
// row. Sums in f64 in the CPU's order, all else by functions shared with it: its bits, but for the payload of a NaN.
// The logits are read once in each direction; bound by memory.
#include "ops/cross_entropy.h"

#include "device/reduce.cuh"
#include "device/row.cuh"

namespace mezzo {
namespace {

static_assert(kSumThreads == kRowThreads);

__device__ unsigned int arrived; // blocks of the running launch that have finished

template <class T>
struct CrossEntropyPointers {
    using A = Arithmetic<T>;
    A *loss;
    A *maxima;
    A *sums;
    double *totals;
    const T *logits;
    const A *weight;

    explicit CrossEntropyPointers(const CrossEntropyForward &a)
        : loss(a.loss.as<A>()),
          maxima(a.maxima.as_or_null<A>()),
          sums(a.sums.as_or_null<A>()),
          totals(a.totals.as_or_null<double>()),
          logits(a.logits.as<const T>()),
          weight(a.to.weight.as_or_null<const A>()) {}
};

/// Sums over a row's classes for all threads of the team.
template <int kWarps, class T>
__device__ __forceinline__ CrossEntropyTerms sums_of_row(const CrossEntropyTarget &to, Row<kWarps, T> &row,
                                                         const Arithmetic<T> *weights, Arithmetic<T> maximum,
                                                         bool packed) {
    using A = Arithmetic<T>;
    using In = RawPack<T, kRowPack>;
    if (to.smoothing == 0) {
        const auto terms = [maximum](int64_t, int, const In &pack) {
            return [pack, maximum](int k) {
                return RowTerms<1>{static_cast<double>(exponential_below(pack.at(k), maximum))};
            };
        };
        return {row.template sum<1>(terms).value[0], 0, 0};
    }
    const auto terms = [=](int64_t column, int count, const In &pack) {
        const auto weight = load_row_pack_or(weights, column, count, packed, A{1});
        return [pack, weight, maximum](int k) {
            return RowTerms<3>{static_cast<double>(exponential_below(pack.at(k), maximum)),
                               weighted_logit(pack.at(k), maximum, weight.value[k]),
                               static_cast<double>(weight.value[k])};
        };
    };
    const RowTerms<3> sums = row.template sum<3>(terms);
    return {sums.value[0], sums.value[1], sums.value[2]};
}

template <int kWarps, class T>
__global__ void __launch_bounds__(kRowThreads, kRowBlocks<T>)
    cross_entropy_forward_kernel(CrossEntropyTarget to, CrossEntropyPointers<T> a, double *losses, double *weights,
                                 bool packed) {
    using A = Arithmetic<T>;
    using In = RawPack<T, kRowPack>;
    each_row<kWarps>(to.rows, [&](int64_t r) {
        const T *logits = a.logits + r * to.classes;
        Row<kWarps, T> x(to.classes, packed, logits);
        const CrossEntropyRow<A> row(to, a.weight, r);
        const A maximum = x.template largest<A>(
            kNoMaximum<A>, [](const In &pack, int k) { return widen(pack.at(k)); },
            [](A one, A other) { return larger(one, other); });
        const CrossEntropyTerms sums = sums_of_row(to, x, a.weight, maximum, packed);
        if (threadIdx.x % (kWarps * kWarpSize) != 0) return;
        const A logit = row.is_valid ? widen(logits[row.target]) - maximum : A{};
        losses[r] = cross_entropy_of_row(to, row, logit, sums);
        weights[r] = row.counts ? static_cast<double>(row.weight) : 0;
        if (a.maxima != nullptr) a.maxima[r] = maximum + A{0}; // as on the CPU
        if (a.sums != nullptr) a.sums[r] = static_cast<A>(sums.exponential);
        if (r == 0 && a.totals != nullptr) a.totals[1] = sums.weight;
    });
    if (!sum_detail::is_last_block(&arrived)) return;
    const double loss = sum_detail::sum_of_sums(losses, to.rows);
    const double divisor = to.mean ? sum_detail::sum_of_sums(weights, to.rows) : 1;
    if (threadIdx.x != 0) return;
    *a.loss = static_cast<A>(loss / divisor);
    if (a.totals != nullptr) a.totals[0] = divisor;
}

template <int kWarps, class T>
__global__ void __launch_bounds__(kRowThreads, kRowBlocks<T>)
    cross_entropy_backward_kernel(CrossEntropyTarget to, T *grad_logits, const T *logits, const Arithmetic<T> *weights,
                                  const Arithmetic<T> *maxima, const Arithmetic<T> *sums, const double *totals,
                                  TensorData scale, bool packed) {
    using A = Arithmetic<T>;
    each_row<kWarps>(to.rows, [&](int64_t r) {
        Row<kWarps, T> x(to.classes, packed, logits + r * to.classes);
        const CrossEntropyRow<A> row(to, weights, r);
        const CrossEntropyGradient<A> parts(to, row, maxima[r], sums[r], totals, factor_or_one(scale));
        x.each([&](int64_t column, int count, const RawPack<T, kRowPack> &pack) {
            const auto weight = load_row_pack_or(weights, column, count, packed, A{1});
            Pack<T, kRowPack> result;
            MEZZO_UNROLL
            for (int k = 0; k < kRowPack; ++k) {
                const A of_class = parts.of_class(pack.at(k), weight.value[k]);
                const A gradient = column + k == row.target ? of_class - parts.target : of_class;
                result.value[k] = row.counts ? convert<T>(gradient) : T{};
            }
            store_row_pack(grad_logits + r * to.classes + column, result, count, packed);
        });
    });
}

template <class T>
void forward(Device &device, const CrossEntropyForward &a) {
    const CrossEntropyPointers<T> pointers(a);
    const int64_t room = sum_room(a.to.rows);
    const Scratch<double> scratch(device.memory(), 2 * room);
    const bool packed = rows_are_packed(a.to.classes, pointers.logits, pointers.weight);
    launch_rows(device, a.to.rows, a.to.classes, [&](auto warps, dim3 grid) {
        launch(cross_entropy_forward_kernel<decltype(warps)::value, T>, grid, dim3(kRowThreads), 0,
               cuda_device(device).stream(), a.to, pointers, scratch.data(), scratch.data() + room, packed);
    });
}

template <class T>
void backward(Device &device, const CrossEntropyBackward &a) {
    using A = Arithmetic<T>;
    T *grad_logits = a.grad_logits.as<T>();
    const T *logits = a.logits.as<const T>();
    const A *weight = a.to.weight.as_or_null<const A>();
    const bool packed = rows_are_packed(a.to.classes, grad_logits, logits, weight);
    launch_rows(device, a.to.rows, a.to.classes, [&](auto warps, dim3 grid) {
        launch(cross_entropy_backward_kernel<decltype(warps)::value, T>, grid, dim3(kRowThreads), 0,
               cuda_device(device).stream(), a.to, grad_logits, logits, weight, a.maxima.as<const A>(),
               a.sums.as<const A>(), a.totals.as<const double>(), a.scale, packed);
    });
}

void forward_on_cuda(Device &device, const CrossEntropyForward &a) {
    visit_floating_dtype(a.logits.dtype, [&](auto tag) { forward<typename decltype(tag)::type>(device, a); });
}
void backward_on_cuda(Device &device, const CrossEntropyBackward &a) {
    visit_floating_dtype(a.logits.dtype, [&](auto tag) { backward<typename decltype(tag)::type>(device, a); });
}

const Implementation<CrossEntropyForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);
const Implementation<CrossEntropyBackward> cuda_backward(MEZZO_DEVICE_TYPE_CUDA, backward_on_cuda);

} // namespace
} // namespace mezzo
