// SPDX-License-Identifier: MIT
// batch_norm on CUDA: out = (input - mean) rstd weight + bias over each channel; ops/batch_norm.cpp has the formulas
//
//   input, out, grad_input, grad_output  [n, channels, places...]  T: a floating dtype
//   all others                           [channels]                A: f32 for halves, else T
//
// Either direction reads its inputs twice: once for the sums of blocks of rows (device/column.cuh), once to write. Two
// small launches between them add the sums, three where a channel has several places. Nothing waits for the host: the
// number of batches is read and counted on the device. Sums in f64 in the CPU's order, all else by functions shared
// with it: its bits, but for the payload of a NaN. Bound by memory, or where f64 runs at 1/32 or 1/64 of f32's rate by
// the sums: four additions and products of an element forward, three backward.
#include "ops/batch_norm.h"

#include "device/column.cuh"
#include "device/row.cuh"

namespace mezzo {
namespace {

/// A vector of the channels as the columns of a task see it.
template <class A>
__device__ __forceinline__ A of_column(const BatchNormShape &shape, const ColumnTask &task, int k, const A *vector,
                                       A otherwise) {
    if (vector == nullptr || k >= task.count) return otherwise;
    return vector[shape.channel(task.column + k)];
}

template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    batch_norm_sums_kernel(BatchNormShape shape, double *room, const T *input, bool packed) {
    const ColumnTask task(shape.matrix);
    double shift[kRowPack];
    MEZZO_UNROLL
    for (int k = 0; k < kRowPack; ++k) {
        shift[k] = k < task.count ? convert<double>(input[shape.channel(task.column + k) * shape.places]) : 0;
    }
    const auto load = [&](int64_t row) {
        return load_row_pack(input + row * shape.matrix.columns + task.column, task.count, packed);
    };
    const auto terms = [&](const RawPack<T, kRowPack> &loaded, int k) {
        return batch_norm_deviation(loaded.at(k), shift[k]);
    };
    add_rows(shape.matrix, task, room, packed, load, terms);
}

template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    batch_norm_products_kernel(BatchNormShape shape, double *room, const T *gradients, const T *input,
                               const Arithmetic<T> *mean, const Arithmetic<T> *rstd, bool packed) {
    using A = Arithmetic<T>;
    struct Loaded {
        RawPack<T, kRowPack> gradient;
        RawPack<T, kRowPack> element;
    };
    const ColumnTask task(shape.matrix);
    NormRow<A> rows[kRowPack];
    MEZZO_UNROLL
    for (int k = 0; k < kRowPack; ++k) {
        rows[k] = {of_column(shape, task, k, mean, A{}), of_column(shape, task, k, rstd, A{})};
    }
    const auto load = [&](int64_t row) {
        const int64_t at = row * shape.matrix.columns + task.column;
        return Loaded{load_row_pack(gradients + at, task.count, packed), load_row_pack(input + at, task.count, packed)};
    };
    const auto terms = [&](const Loaded &loaded, int k) {
        return batch_norm_product(loaded.gradient.at(k), loaded.element.at(k), rows[k]);
    };
    add_rows(shape.matrix, task, room, packed, load, terms);
}

/// Sums of columns that are channels.
template <class Finish>
__global__ void __launch_bounds__(kFinishThreads)
    batch_norm_finish_kernel(ColumnShape matrix, const double *room, Finish finish) {
    add_blocks(matrix, room, finish);
}

/// Sums over the places of channels, of totals [2, channels places].
template <int kWarps, class Finish>
__global__ void __launch_bounds__(kRowThreads, kRowBlocks<double, double>)
    batch_norm_places_kernel(int64_t channels, int64_t places, const double *totals, bool packed, Finish finish) {
    each_row<kWarps>(channels, [&](int64_t channel) {
        const double *first = totals + channel * places;
        Row<kWarps, double, double> row(places, packed, first, first + channels * places);
        using In = RawPack<double, kRowPack>;
        const auto terms = [](int64_t, int, const In &one, const In &other) {
            return [one, other](int k) { return RowTerms<2>{one.at(k), other.at(k)}; };
        };
        const RowTerms<2> sums = row.template sum<2>(terms);
        if (threadIdx.x % (kWarps * kWarpSize) == 0) finish(channel, ColumnPair{sums.value[0], sums.value[1]});
    });
}

/// Keeps the sums of columns for the next launch.
struct KeepTotals {
    double *totals;
    int64_t columns;

    __device__ void operator()(int64_t column, const ColumnPair &pair) const {
        totals[column] = pair.first;
        totals[columns + column] = pair.second;
    }
};

template <class T>
struct FinishStatistics {
    BatchNormStatistics<Arithmetic<T>> statistics;
    const T *input;
    int64_t places;

    __device__ void operator()(int64_t channel, const ColumnPair &sums) const {
        statistics.finish(channel, convert<double>(input[channel * places]), sums);
    }
};

template <class A>
struct FinishParameterGradients {
    BatchNormParameterGradients<A> gradients;

    __device__ void operator()(int64_t channel, const ColumnPair &sums) const { gradients.finish(channel, sums); }
};

template <class A>
__global__ void batch_norm_running_kernel(int64_t channels, BatchNormStatistics<A> statistics) {
    const int64_t channel = grid_thread();
    if (channel < channels) statistics.take_running(channel);
}

/// Calls body(number of the first element) for each row of the calling lane's task.
template <class Body>
__device__ __forceinline__ void each_task_row(const BatchNormShape &shape, const ColumnTask &task, const Body &body) {
    if (task.count == 0) return;
#pragma unroll 4
    for (int64_t row = task.begin; row < task.end; ++row) body(row * shape.matrix.columns + task.column);
}

template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    batch_norm_forward_kernel(BatchNormShape shape, T *out, const T *input, const Arithmetic<T> *mean,
                              const Arithmetic<T> *rstd, const Arithmetic<T> *weight, const Arithmetic<T> *bias,
                              int64_t *batches, bool packed) {
    using A = Arithmetic<T>;
    const ColumnTask task(shape.matrix);
    BatchNormChannel<A> channels[kRowPack];
    MEZZO_UNROLL
    for (int k = 0; k < kRowPack; ++k) {
        channels[k] = {{of_column(shape, task, k, mean, A{}), of_column(shape, task, k, rstd, A{})},
                       of_column(shape, task, k, weight, A{1}),
                       of_column(shape, task, k, bias, A{}),
                       {}};
    }
    each_task_row(shape, task, [&](int64_t at) {
        const auto elements = load_row_pack(input + at, task.count, packed);
        Pack<T, kRowPack> result;
        MEZZO_UNROLL
        for (int k = 0; k < kRowPack; ++k) {
            result.value[k] = channels[k].out(elements.at(k), weight != nullptr, bias != nullptr);
        }
        store_row_pack(out + at, result, task.count, packed);
    });
    if (batches != nullptr && grid_thread() == 0) *batches += 1; // the launch before has read it
}

template <class T>
__global__ void __launch_bounds__(kColumnThreads)
    batch_norm_backward_kernel(BatchNormShape shape, T *grad_input, const T *gradients, const T *input,
                               const Arithmetic<T> *mean, const Arithmetic<T> *rstd, const Arithmetic<T> *weight,
                               const Arithmetic<T> *means, bool packed) {
    using A = Arithmetic<T>;
    const ColumnTask task(shape.matrix);
    BatchNormChannel<A> channels[kRowPack];
    MEZZO_UNROLL
    for (int k = 0; k < kRowPack; ++k) {
        channels[k] = {{of_column(shape, task, k, mean, A{}), of_column(shape, task, k, rstd, A{})},
                       of_column(shape, task, k, weight, A{1}),
                       A{},
                       {}};
        if (shape.training) {
            channels[k].means = {of_column(shape, task, k, means, A{}),
                                 of_column(shape, task, k, means + shape.channels, A{})};
        }
    }
    each_task_row(shape, task, [&](int64_t at) {
        const auto gradient = load_row_pack(gradients + at, task.count, packed);
        const auto elements = load_row_pack(input + at, task.count, packed);
        Pack<T, kRowPack> result;
        MEZZO_UNROLL
        for (int k = 0; k < kRowPack; ++k) {
            result.value[k] = channels[k].gradient(elements.at(k), gradient.at(k), shape.training);
        }
        store_row_pack(grad_input + at, result, task.count, packed);
    });
}

/// Adds the sums of blocks and of a channel's columns, and calls finish(channel, ColumnPair) on the device.
template <class Finish>
void finish_channels(Device &device, const BatchNormShape &shape, const double *room, const Finish &finish) {
    const cudaStream_t stream = cuda_device(device).stream();
    const auto finish_columns = [&](const auto &of_column) {
        launch(batch_norm_finish_kernel<std::decay_t<decltype(of_column)>>, finish_grid(shape.matrix),
               dim3(kFinishThreads), 0, stream, shape.matrix, room, of_column);
    };
    if (shape.places == 1) return finish_columns(finish);
    const Scratch<double> totals(device.memory(), 2 * shape.matrix.columns);
    finish_columns(KeepTotals{totals.data(), shape.matrix.columns});
    const bool packed = rows_are_packed(shape.places, totals.data());
    launch_rows(device, shape.channels, shape.places, [&](auto warps, dim3 grid) {
        launch(batch_norm_places_kernel<decltype(warps)::value, Finish>, grid, dim3(kRowThreads), 0, stream,
               shape.channels, shape.places, totals.data(), packed, finish);
    });
}

template <class T>
void forward(Device &device, const BatchNormForward &a) {
    using A = Arithmetic<T>;
    const cudaStream_t stream = cuda_device(device).stream();
    const BatchNormShape &shape = a.shape;
    const BatchNormStatistics<A> statistics(a);
    T *out = a.out.as<T>();
    const T *input = a.input.as<const T>();
    const bool packed = rows_are_packed(shape.matrix.columns, out, input);
    const dim3 grid = column_grid(shape.matrix);
    if (shape.training) {
        const Scratch<double> room(device.memory(), shape.matrix.room());
        launch(batch_norm_sums_kernel<T>, grid, dim3(kColumnThreads), 0, stream, shape, room.data(), input, packed);
        finish_channels(device, shape, room.data(), FinishStatistics<T>{statistics, input, shape.places});
    } else {
        const auto blocks = static_cast<unsigned int>(divide_up(shape.channels, kMapThreads));
        launch(batch_norm_running_kernel<A>, dim3(blocks), dim3(kMapThreads), 0, stream, shape.channels, statistics);
    }
    launch(batch_norm_forward_kernel<T>, grid, dim3(kColumnThreads), 0, stream, shape, out, input, a.mean.as<const A>(),
           a.rstd.as<const A>(), a.weight.as_or_null<const A>(), a.bias.as_or_null<const A>(),
           shape.training ? a.batches.as_or_null<int64_t>() : nullptr, packed);
}

template <class T>
void backward(Device &device, const BatchNormBackward &a) {
    using A = Arithmetic<T>;
    const cudaStream_t stream = cuda_device(device).stream();
    const BatchNormShape &shape = a.shape;
    const T *gradients = a.grad_output.as<const T>();
    const T *input = a.input.as<const T>();
    const A *mean = a.mean.as<const A>();
    const A *rstd = a.rstd.as<const A>();
    const dim3 grid = column_grid(shape.matrix);
    const Scratch<A> means(device.memory(), 2 * shape.channels);
    if (shape.training || a.grad_weight || a.grad_bias) {
        const Scratch<double> room(device.memory(), shape.matrix.room());
        launch(batch_norm_products_kernel<T>, grid, dim3(kColumnThreads), 0, stream, shape, room.data(), gradients,
               input, mean, rstd, rows_are_packed(shape.matrix.columns, gradients, input));
        finish_channels(device, shape, room.data(),
                        FinishParameterGradients<A>{BatchNormParameterGradients<A>(a, means.data())});
    }
    if (!a.grad_input) return;
    T *grad_input = a.grad_input.as<T>();
    launch(batch_norm_backward_kernel<T>, grid, dim3(kColumnThreads), 0, stream, shape, grad_input, gradients, input,
           mean, rstd, a.weight.as_or_null<const A>(), means.data(),
           rows_are_packed(shape.matrix.columns, grad_input, gradients, input));
}

void forward_on_cuda(Device &device, const BatchNormForward &a) {
    visit_floating_dtype(a.input.dtype, [&](auto tag) { forward<typename decltype(tag)::type>(device, a); });
}
void backward_on_cuda(Device &device, const BatchNormBackward &a) {
    visit_floating_dtype(a.input.dtype, [&](auto tag) { backward<typename decltype(tag)::type>(device, a); });
}

const Implementation<BatchNormForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);
const Implementation<BatchNormBackward> cuda_backward(MEZZO_DEVICE_TYPE_CUDA, backward_on_cuda);

} // namespace
} // namespace mezzo
