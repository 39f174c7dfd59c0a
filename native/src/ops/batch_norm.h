// SPDX-License-Identifier: MIT
// batch_norm as the devices see it; the formulas are said in batch_norm.cpp.
//
// The input is a matrix: a row for each of its first index, a column for each place in a channel.
#pragma once

#include "ops/column.h"
#include "ops/norm.h"

namespace mezzo {

/// What input and options make of a call.
struct BatchNormShape {
    ColumnShape matrix;
    int64_t channels;
    int64_t places; // of a channel: a channel's columns are neighbours
    double values;  // of a channel, as many as its statistics are made of
    bool training;  // whether statistics are those of the batch

    MEZZO_HOST_DEVICE int64_t channel(int64_t column) const { return column / places; }
};

struct BatchNormForward {
    BatchNormShape shape;
    TensorData out;
    TensorData mean;
    TensorData rstd;
    TensorData running_mean; // may be missing when training
    TensorData running_var;  // the same
    TensorData batches;      // i64 scalar; may be missing
    TensorData input;
    TensorData weight; // may be missing
    TensorData bias;   // may be missing
    double eps;
    double momentum;
    bool cumulative; // whether 1 / batches stands for the momentum
};

struct BatchNormBackward {
    BatchNormShape shape;
    TensorData grad_input;  // may be missing
    TensorData grad_weight; // may be missing
    TensorData grad_bias;   // may be missing
    TensorData grad_output;
    TensorData input;
    TensorData mean;
    TensorData rstd;
    TensorData weight; // may be missing
};

/// Where the statistics of channels go, and how they are made of the sums over a channel.
template <class A>
struct BatchNormStatistics {
    A *mean;
    A *rstd;
    A *running_mean; // may be null
    A *running_var;  // may be null
    const int64_t *batches;
    double values;
    double eps;
    double momentum;
    bool cumulative;

    explicit BatchNormStatistics(const BatchNormForward &a)
        : mean(a.mean.as<A>()),
          rstd(a.rstd.as<A>()),
          running_mean(a.running_mean.as_or_null<A>()),
          running_var(a.running_var.as_or_null<A>()),
          batches(a.batches.as_or_null<const int64_t>()),
          values(a.shape.values),
          eps(a.eps),
          momentum(a.momentum),
          cumulative(a.cumulative) {}

    /// `sums`: of the deviations from `shift`, an element of the channel, and of their squares.
    MEZZO_HOST_DEVICE void finish(int64_t channel, double shift, const ColumnPair &sums) const {
        const double deviation = sums.first / values;
        const double square = sums.first * deviation;
        const double rest = (sums.second - square) / values;
        const double variance = rest < 0 ? 0 : rest; // by rounding; NaN stays
        const double centre = shift + deviation;
        mean[channel] = static_cast<A>(centre);
        rstd[channel] = reciprocal_deviation<A>(variance, eps);
        if (running_mean == nullptr) return;
        const double share = cumulative ? 1 / static_cast<double>(*batches + 1) : momentum;
        update(running_mean[channel], centre, share);
        update(running_var[channel], variance * (values / (values - 1)), share);
    }

    /// Takes the statistics from what is running.
    MEZZO_HOST_DEVICE void take_running(int64_t channel) const {
        mean[channel] = running_mean[channel];
        rstd[channel] = reciprocal_deviation<A>(static_cast<double>(running_var[channel]), eps);
    }

  private:
    MEZZO_HOST_DEVICE static void update(A &running, double now, double share) {
        const double kept = (1 - share) * static_cast<double>(running);
        const double added = share * now;
        running = static_cast<A>(kept + added);
    }
};

/// Where the gradients of weight and bias go, and the means that the gradient of the input takes, [2, channels].
template <class A>
struct BatchNormParameterGradients {
    A *grad_weight; // may be null
    A *grad_bias;   // may be null
    A *means;
    int64_t channels;
    double values;

    BatchNormParameterGradients(const BatchNormBackward &a, A *room)
        : grad_weight(a.grad_weight.as_or_null<A>()),
          grad_bias(a.grad_bias.as_or_null<A>()),
          means(room),
          channels(a.shape.channels),
          values(a.shape.values) {}

    /// `sums`: of the gradients times the normalized input, and of the gradients.
    MEZZO_HOST_DEVICE void finish(int64_t channel, const ColumnPair &sums) const {
        if (grad_weight != nullptr) grad_weight[channel] = static_cast<A>(sums.first);
        if (grad_bias != nullptr) grad_bias[channel] = static_cast<A>(sums.second);
        means[channel] = static_cast<A>(sums.second / values);
        means[channels + channel] = static_cast<A>(sums.first / values);
    }
};

/// What a channel's elements go through.
template <class A>
struct BatchNormChannel {
    NormRow<A> row;
    A weight;
    A bias;
    NormRowGradient<A> means; // of the backward

    template <class T>
    MEZZO_HOST_DEVICE T out(T element, bool scales, bool shifts) const {
        return convert<T>(scaled_and_shifted(row.normalize(element), scales, weight, shifts, bias));
    }

    /// Where statistics were not those of the batch, they do not depend on the input.
    template <class T>
    MEZZO_HOST_DEVICE T gradient(T element, T gradient, bool training) const {
        const A factor = weight * row.rstd;
        const A value = widen(gradient);
        return convert<T>(training ? means.of_input(value, row.normalize(element), factor) : factor * value);
    }
};

/// The term of an element in the sums of the forward.
template <class T>
MEZZO_HOST_DEVICE ColumnPair batch_norm_deviation(T element, double shift) {
    const double deviation = convert<double>(element) - shift;
    return {deviation, deviation * deviation};
}

/// The same in those of the backward.
template <class T, class A>
MEZZO_HOST_DEVICE ColumnPair batch_norm_product(T gradient, T element, const NormRow<A> &row) {
    const auto value = convert<double>(gradient);
    return {value * static_cast<double>(row.normalize(element)), value};
}

} // namespace mezzo
