// SPDX-License-Identifier: MIT
// batch_norm, over the m values x of each channel:
//
//   when training: mean = (1/m) sum x;  variance = (1/m) sum (x - mean)^2
//     running_mean = (1 - s) running_mean + s mean;  running_var = (1 - s) running_var + s variance m / (m - 1)
//     s = momentum, or 1 / (number of batches so far, this one counted)
//   else: mean = running_mean;  variance = running_var
//   y = (x - mean) rstd;  rstd = 1 / sqrt(variance + eps);  out = y weight + bias
//
//   grad_weight = sum grad_output y;  grad_bias = sum grad_output
//   grad_input  = weight rstd (grad_output - grad_bias / m - y grad_weight / m), when training
//               = weight rstd grad_output, else
//
//   input, out, grad_input, grad_output  [n, channels, places...]  T: a floating dtype
//   all others                           [channels]                A: f32 for halves, else T
//
// Sums are f64, over the columns of the matrix [n, channels places] in the order of ops/column.h, and then over the
// places of a channel in that of ops/row.h. One pass makes both sums of the statistics: deviations are taken from the
// channel's first value x0, and since (x0 - mean)^2 <= m variance the subtraction of sum^2 / m loses at most a factor
// m of f64's precision, and of values that are no outliers nothing. Statistics are rounded to A once; all else is in A.
// Sources: Ioffe and Szegedy, "Batch Normalization", 2015; PyTorch's batch_norm; Chan, Golub and LeVeque, "Algorithms
// for computing the sample variance", 1983, for the shift.
#include "ops/batch_norm.h"

#include "ops/row.h"

namespace mezzo {
namespace {

constexpr int64_t kTile = 512; // columns that a task takes

/// Calls body(block, begin, end) for the blocks of rows and tiles [begin, end) of columns.
template <class Body>
void each_tile(const ColumnShape &matrix, const Body &body) {
    const int64_t tiles = divide_up(matrix.columns, kTile);
    const int64_t grain = divide_up(kElementGrain, std::min(matrix.block_rows, matrix.rows) * kTile);
    parallel_for(matrix.blocks() * tiles, grain, [=](int64_t first, int64_t past) MEZZO_ALWAYS_INLINE {
        for (int64_t task = first; task < past; ++task) {
            const int64_t begin = task % tiles * kTile;
            body(task / tiles, begin, std::min(begin + kTile, matrix.columns));
        }
    });
}

/// Writes the sums of blocks and tiles: term(at, column of the tile) is the ColumnPair of the element number `at`;
/// prepare(begin, end) gives that function for a tile.
template <class Prepare>
void add_rows(const ColumnShape &matrix, double *room, const Prepare &prepare) {
    each_tile(matrix, [=](int64_t block, int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        const auto term = prepare(begin, end);
        double first[kTile] = {};
        double second[kTile] = {};
        for (int64_t row = matrix.begin(block); row < matrix.end(block); ++row) {
            const int64_t from = row * matrix.columns + begin;
            for (int64_t k = 0; k < end - begin; ++k) {
                const ColumnPair pair = term(from + k, k);
                first[k] += pair.first;
                second[k] += pair.second;
            }
        }
        double *sums = matrix.sums(room, block) + begin;
        std::copy_n(first, end - begin, sums);
        std::copy_n(second, end - begin, sums + matrix.columns);
    });
}

/// Adds the sums of blocks and of a channel's columns, and calls finish(channel, ColumnPair).
template <class Finish>
void finish_channels(Device &device, const BatchNormShape &shape, const double *room, const Finish &finish) {
    if (shape.places == 1) return finish_columns(shape.matrix, room, finish);
    const int64_t columns = shape.matrix.columns;
    const Scratch<double> totals(device.memory(), 2 * columns);
    finish_columns(shape.matrix, room,
                   [to = totals.data(), columns](int64_t column, const ColumnPair &pair) MEZZO_ALWAYS_INLINE {
                       to[column] = pair.first;
                       to[columns + column] = pair.second;
                   });
    const auto channels = [=, places = shape.places, from = totals.data()](int64_t begin, int64_t end)
                              MEZZO_ALWAYS_INLINE {
                                  for (int64_t channel = begin; channel < end; ++channel) {
                                      const double *first = from + channel * places;
                                      const double *second = first + columns;
                                      const auto one = [=](int64_t i) MEZZO_ALWAYS_INLINE { return first[i]; };
                                      const auto other = [=](int64_t i) MEZZO_ALWAYS_INLINE { return second[i]; };
                                      finish(channel, ColumnPair{sum_row(places, one), sum_row(places, other)});
                                  }
                              };
    parallel_for(shape.channels, row_grain(shape.places), channels);
}

/// The coefficients of a tile's columns, side by side.
template <class A>
struct Tile {
    A mean[kTile], rstd[kTile], weight[kTile], bias[kTile], gradient_mean[kTile], product_mean[kTile];

    template <class Of>
    MEZZO_ALWAYS_INLINE void fill(const BatchNormShape &shape, int64_t begin, int64_t end, const Of &of) {
        for (int64_t k = 0; k < end - begin; ++k) {
            const BatchNormChannel<A> channel = of(shape.channel(begin + k));
            mean[k] = channel.row.mean;
            rstd[k] = channel.row.rstd;
            weight[k] = channel.weight;
            bias[k] = channel.bias;
            gradient_mean[k] = channel.means.mean;
            product_mean[k] = channel.means.product;
        }
    }

    MEZZO_ALWAYS_INLINE BatchNormChannel<A> operator[](int64_t k) const {
        return {{mean[k], rstd[k]}, weight[k], bias[k], {gradient_mean[k], product_mean[k]}};
    }
};

template <class T>
void forward(Device &device, const BatchNormForward &a) {
    using A = Arithmetic<T>;
    const BatchNormShape &shape = a.shape;
    const T *input = a.input.as<const T>();
    const BatchNormStatistics<A> statistics(a);
    if (shape.training) {
        const Scratch<double> room(device.memory(), shape.matrix.room());
        const auto prepare = [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            std::array<double, kTile> shift;
            for (int64_t k = 0; k < end - begin; ++k) {
                shift[static_cast<size_t>(k)] = convert<double>(input[shape.channel(begin + k) * shape.places]);
            }
            return [shift, input](int64_t at, int64_t k)
                       MEZZO_ALWAYS_INLINE { return batch_norm_deviation(input[at], shift[static_cast<size_t>(k)]); };
        };
        add_rows(shape.matrix, room.data(), prepare);
        finish_channels(device, shape, room.data(), [=](int64_t channel, const ColumnPair &sums) MEZZO_ALWAYS_INLINE {
            statistics.finish(channel, convert<double>(input[channel * shape.places]), sums);
        });
        if (a.batches) *a.batches.as<int64_t>() += 1;
    } else {
        for (int64_t channel = 0; channel < shape.channels; ++channel) statistics.take_running(channel);
    }
    const auto normalize = [=, out = a.out.as<T>(), weight = a.weight.as_or_null<const A>(),
                            bias = a.bias.as_or_null<const A>()](int64_t block, int64_t begin,
                                                                 int64_t end) MEZZO_ALWAYS_INLINE {
        Tile<A> tile;
        tile.fill(shape, begin, end, [=](int64_t c) MEZZO_ALWAYS_INLINE {
            return BatchNormChannel<A>{{statistics.mean[c], statistics.rstd[c]},
                                       weight != nullptr ? weight[c] : A{1},
                                       bias != nullptr ? bias[c] : A{},
                                       {}};
        });
        for (int64_t row = shape.matrix.begin(block); row < shape.matrix.end(block); ++row) {
            const int64_t from = row * shape.matrix.columns + begin;
#pragma GCC ivdep
            for (int64_t k = 0; k < end - begin; ++k) {
                out[from + k] = tile[k].out(input[from + k], weight != nullptr, bias != nullptr);
            }
        }
    };
    each_tile(shape.matrix, normalize);
}

template <class T>
void backward(Device &device, const BatchNormBackward &a) {
    using A = Arithmetic<T>;
    const BatchNormShape &shape = a.shape;
    const T *input = a.input.as<const T>();
    const T *gradients = a.grad_output.as<const T>();
    const A *mean = a.mean.as<const A>();
    const A *rstd = a.rstd.as<const A>();
    const Scratch<A> means(device.memory(), 2 * shape.channels);
    if (shape.training || a.grad_weight || a.grad_bias) {
        const Scratch<double> room(device.memory(), shape.matrix.room());
        const auto prepare = [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
            std::array<NormRow<A>, kTile> rows;
            for (int64_t k = 0; k < end - begin; ++k) {
                const int64_t channel = shape.channel(begin + k);
                rows[static_cast<size_t>(k)] = {mean[channel], rstd[channel]};
            }
            return [rows, input, gradients](int64_t at, int64_t k) MEZZO_ALWAYS_INLINE {
                return batch_norm_product(gradients[at], input[at], rows[static_cast<size_t>(k)]);
            };
        };
        add_rows(shape.matrix, room.data(), prepare);
        const BatchNormParameterGradients<A> parameters(a, means.data());
        finish_channels(device, shape, room.data(), [=](int64_t channel, const ColumnPair &sums) MEZZO_ALWAYS_INLINE {
            parameters.finish(channel, sums);
        });
    }
    if (!a.grad_input) return;
    const auto differentiate = [=, to = a.grad_input.as<T>(), weight = a.weight.as_or_null<const A>(),
                                averages = means.data()](int64_t block, int64_t begin,
                                                         int64_t end) MEZZO_ALWAYS_INLINE {
        Tile<A> tile;
        tile.fill(shape, begin, end, [=](int64_t c) MEZZO_ALWAYS_INLINE {
            return BatchNormChannel<A>{
                {mean[c], rstd[c]},
                weight != nullptr ? weight[c] : A{1},
                A{},
                shape.training ? NormRowGradient<A>{averages[c], averages[shape.channels + c]} : NormRowGradient<A>{}};
        });
        for (int64_t row = shape.matrix.begin(block); row < shape.matrix.end(block); ++row) {
            const int64_t from = row * shape.matrix.columns + begin;
#pragma GCC ivdep
            for (int64_t k = 0; k < end - begin; ++k) {
                to[from + k] = tile[k].gradient(input[from + k], gradients[from + k], shape.training);
            }
        }
    };
    each_tile(shape.matrix, differentiate);
}

void forward_on_cpu(Device &device, const BatchNormForward &a) {
    visit_floating_dtype(a.input.dtype, [&](auto tag) { forward<typename decltype(tag)::type>(device, a); });
}
void backward_on_cpu(Device &device, const BatchNormBackward &a) {
    visit_floating_dtype(a.input.dtype, [&](auto tag) { backward<typename decltype(tag)::type>(device, a); });
}

const Implementation<BatchNormForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);
const Implementation<BatchNormBackward> cpu_backward(MEZZO_DEVICE_TYPE_CPU, backward_on_cpu);

constexpr mezzo_batch_norm_desc kDefaults = {sizeof(mezzo_batch_norm_desc), 1, 0.1, 1e-5, 0, 0};

mezzo_batch_norm_desc batch_norm_descriptor(const mezzo_batch_norm_desc *given) {
    const mezzo_batch_norm_desc desc = read_descriptor(given, kDefaults);
    expect_flag(desc.training, "training");
    expect_flag(desc.cumulative, "cumulative");
    expect_reserved(desc.reserved, "reserved");
    if (!(desc.momentum >= 0 && desc.momentum <= 1)) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.momentum is %g, expected 0 to 1", desc.momentum);
    }
    if (!(desc.eps >= 0 && std::isfinite(desc.eps))) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.eps is %g, expected a finite number of at least 0", desc.eps);
    }
    return desc;
}

BatchNormShape batch_norm_shape(const TensorRef &input, bool training) {
    expect_floating(input);
    if (input.rank() < 2) {
        fail(MEZZO_STATUS_SHAPE_MISMATCH, "input is %s, expected at least two dimensions", input.text().c_str());
    }
    const int64_t rows = input.dim(0);
    const int64_t channels = input.dim(1);
    const int64_t places = input.elements() / (rows * channels);
    if (training && rows * places == 1) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "input is %s, expected more than 1 value for each channel when training",
             input.text().c_str());
    }
    return {ColumnShape(rows, channels * places), channels, places, static_cast<double>(rows * places), training};
}

void expect_channels(std::initializer_list<const TensorRef *> tensors, const TensorRef &input) {
    for (const TensorRef *tensor : tensors) {
        expect_dtype(*tensor, {arithmetic_dtype(input.dtype())});
        expect_shape(*tensor, {input.dim(1)});
    }
}

struct ForwardTensors {
    TensorRef out, mean, rstd, running_mean, running_var, batches, input, weight, bias;
};

void batch_norm_forward(const ForwardTensors &tensors, const mezzo_batch_norm_desc &desc) {
    const auto &[out, mean, rstd, running_mean, running_var, batches, input, weight, bias] = tensors;
    expect_same_device({&out, &mean, &rstd, &running_mean, &running_var, &batches, &input, &weight, &bias});
    const BatchNormShape shape = batch_norm_shape(input, desc.training != 0);
    expect_same_shape_and_dtype(out, input);
    expect_channels({&mean, &rstd, &running_mean, &running_var, &weight, &bias}, input);
    expect_dtype(batches, {MEZZO_DTYPE_I64});
    expect_scalar(batches);
    if (static_cast<bool>(running_mean) != static_cast<bool>(running_var) || (desc.training == 0 && !running_mean)) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "%s is null, expected both running_mean and running_var%s",
             running_mean ? "running_var" : "running_mean", desc.training == 0 ? "" : ", or neither");
    }
    if (desc.training != 0 && desc.cumulative != 0 && running_mean && !batches) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "batches is null, expected it for desc.cumulative 1");
    }
    expect_separate({&out, &mean, &rstd, &running_mean, &running_var, &batches}, {&input, &weight, &bias});
    run_op(out.device(), BatchNormForward{shape, out, mean, rstd, running_mean, running_var, batches, input, weight,
                                          bias, desc.eps, desc.momentum, desc.cumulative != 0});
}

struct BackwardTensors {
    TensorRef grad_input, grad_weight, grad_bias, grad_output, input, mean, rstd, weight;
};

void batch_norm_backward(const BackwardTensors &tensors, const mezzo_batch_norm_desc &desc) {
    const auto &[grad_input, grad_weight, grad_bias, grad_output, input, mean, rstd, weight] = tensors;
    if (!grad_input && !grad_weight && !grad_bias) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "all gradients are null, expected at least one of them");
    }
    expect_same_device({&grad_input, &grad_weight, &grad_bias, &grad_output, &input, &mean, &rstd, &weight});
    const BatchNormShape shape = batch_norm_shape(input, desc.training != 0);
    expect_same_shape_and_dtype(grad_input, input);
    expect_same_shape_and_dtype(grad_output, input);
    expect_channels({&grad_weight, &grad_bias, &mean, &rstd, &weight}, input);
    expect_separate({&grad_input, &grad_weight, &grad_bias}, {&grad_output, &input, &mean, &rstd, &weight});
    run_op(input.device(),
           BatchNormBackward{shape, grad_input, grad_weight, grad_bias, grad_output, input, mean, rstd, weight});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_batch_norm_forward(mezzo_tensor out, mezzo_tensor mean, mezzo_tensor rstd, mezzo_tensor running_mean,
                                      mezzo_tensor running_var, mezzo_tensor batches, mezzo_tensor input,
                                      mezzo_tensor weight, mezzo_tensor bias, const mezzo_batch_norm_desc *desc) {
    using namespace mezzo;
    return guard("batch_norm_forward", [&] {
        batch_norm_forward({require_tensor(out, "out"), require_tensor(mean, "mean"), require_tensor(rstd, "rstd"),
                            optional_tensor(running_mean, "running_mean"), optional_tensor(running_var, "running_var"),
                            optional_tensor(batches, "batches"), require_tensor(input, "input"),
                            optional_tensor(weight, "weight"), optional_tensor(bias, "bias")},
                           batch_norm_descriptor(desc));
    });
}

mezzo_status mezzo_batch_norm_backward(mezzo_tensor grad_input, mezzo_tensor grad_weight, mezzo_tensor grad_bias,
                                       mezzo_tensor grad_output, mezzo_tensor input, mezzo_tensor mean,
                                       mezzo_tensor rstd, mezzo_tensor weight, const mezzo_batch_norm_desc *desc) {
    using namespace mezzo;
    return guard("batch_norm_backward", [&] {
        batch_norm_backward({optional_tensor(grad_input, "grad_input"), optional_tensor(grad_weight, "grad_weight"),
                             optional_tensor(grad_bias, "grad_bias"), require_tensor(grad_output, "grad_output"),
                             require_tensor(input, "input"), require_tensor(mean, "mean"), require_tensor(rstd, "rstd"),
                             optional_tensor(weight, "weight")},
                            batch_norm_descriptor(desc));
    });
}
