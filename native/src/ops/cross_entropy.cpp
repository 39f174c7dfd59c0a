// SPDX-License-Identifier: MIT
// cross_entropy: loss = (1/d) sum over rows of -(sum_c q[c] log p[c]),  p = softmax of a row of logits x
//
//   q[c] = w[c] ((1 - s) [c = target] + s / C);  d = sum over rows of w[target], or 1 for the sum; ignored rows left
//   out with m = max x and e[c] = exp(x[c] - m):  -log p[c] = log(sum e) - (x[c] - m) grad_logits[c] = scale / d ((sum
//   q) e[c] / sum e - q[c])
//
//   logits, grad_logits  [rows, C]  T: a floating dtype     target  [rows]  an integer dtype
//   weight               [C]        A: f32 for halves, else T
//   maxima, sums         [rows]     A                       totals  [2]     f64: d and sum_c w[c]
//
// Exponentials and differences are in A. Sums over a row are f64 in the order of ops/row.h, and so is the row's loss;
// the losses and weights of rows are added in that of ops/reduction.h. The gradient's factors are made in f64, scale
// included, and rounded to A once; the result is rounded to T once. The same bits for any number of threads.
// Forward reads the logits, backward reads them and writes the gradient; neither makes log p.
// Sources: as ops.h says.
#include "ops/cross_entropy.h"

#include <cmath>

#include <mezzo/ops.h>

#include "core/descriptor.h"

namespace mezzo {
namespace {

/// An entry cannot look at elements, and the loops of parallel_for() must not throw, hence a pass of its own.
void expect_classes(const CrossEntropyTarget &to) {
    for (int64_t row = 0; row < to.rows; ++row) {
        const int64_t target = class_at(to.target, row);
        if (target == to.ignore_index || (target >= 0 && target < to.classes)) continue;
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "target[%lld] is %lld, expected a class, 0 to %lld, or ignore_index, %lld",
             static_cast<long long>(row), static_cast<long long>(target), static_cast<long long>(to.classes - 1),
             static_cast<long long>(to.ignore_index));
    }
}

template <class T>
MEZZO_ALWAYS_INLINE inline CrossEntropyTerms sums_of_row(const CrossEntropyTarget &to, const T *x,
                                                         const Arithmetic<T> *weight, Arithmetic<T> maximum) {
    using A = Arithmetic<T>;
    const int64_t classes = to.classes;
    const auto exponential = [=](int64_t c)
                                 MEZZO_ALWAYS_INLINE { return static_cast<double>(exponential_below(x[c], maximum)); };
    CrossEntropyTerms sums{sum_row(classes, exponential), 0, 0};
    if (to.smoothing == 0) return sums;
    const auto weight_of = [=](int64_t c) MEZZO_ALWAYS_INLINE { return weight != nullptr ? weight[c] : A{1}; };
    sums.logit =
        sum_row(classes, [=](int64_t c) MEZZO_ALWAYS_INLINE { return weighted_logit(x[c], maximum, weight_of(c)); });
    sums.weight = sum_row(classes, [=](int64_t c) MEZZO_ALWAYS_INLINE { return static_cast<double>(weight_of(c)); });
    return sums;
}

template <class T>
void forward(Device &device, const CrossEntropyForward &a) {
    using A = Arithmetic<T>;
    const CrossEntropyTarget to = a.to;
    const int64_t room = sum_room(to.rows);
    const Scratch<double> scratch(device.memory(), 2 * room);
    double *losses = scratch.data();
    double *weights = losses + room;
    const auto rows = [=, logits = a.logits.as<const T>(), weight = to.weight.as_or_null<const A>(),
                       maxima = a.maxima.as_or_null<A>(), sums = a.sums.as_or_null<A>(),
                       totals = a.totals.as_or_null<double>()](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        for (int64_t r = begin; r < end; ++r) {
            const T *x = logits + r * to.classes;
            const CrossEntropyRow<A> row(to, weight, r);
            const A maximum = largest_of_row<A>(to.classes, [=](int64_t c) MEZZO_ALWAYS_INLINE { return widen(x[c]); });
            const CrossEntropyTerms terms = sums_of_row(to, x, weight, maximum);
            const A logit = row.is_valid ? widen(x[row.target]) - maximum : A{};
            losses[r] = cross_entropy_of_row(to, row, logit, terms);
            weights[r] = row.counts ? static_cast<double>(row.weight) : 0;
            if (maxima != nullptr) maxima[r] = maximum + A{0}; // 0 for -0, whichever the row has first
            if (sums != nullptr) sums[r] = static_cast<A>(terms.exponential);
            if (r == 0 && totals != nullptr) totals[1] = terms.weight;
        }
    };
    parallel_for(to.rows, row_grain(to.classes), rows);
    const double loss = sum_levels(losses, to.rows);
    const double divisor = to.mean ? sum_levels(weights, to.rows) : 1;
    *a.loss.as<A>() = static_cast<A>(loss / divisor);
    if (a.totals) *a.totals.as<double>() = divisor;
}

template <class T>
void backward(const CrossEntropyBackward &a) {
    using A = Arithmetic<T>;
    const CrossEntropyTarget to = a.to;
    const auto rows = [=, grad_logits = a.grad_logits.as<T>(), logits = a.logits.as<const T>(),
                       weight = to.weight.as_or_null<const A>(), maxima = a.maxima.as<const A>(),
                       sums = a.sums.as<const A>(), totals = a.totals.as<const double>(),
                       scale = factor_or_one(a.scale)](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        for (int64_t r = begin; r < end; ++r) {
            const T *x = logits + r * to.classes;
            T *gradient = grad_logits + r * to.classes;
            const CrossEntropyRow<A> row(to, weight, r);
            if (!row.counts) {
                std::fill(gradient, gradient + to.classes, T{});
                continue;
            }
            const CrossEntropyGradient<A> parts(to, row, maxima[r], sums[r], totals, scale);
            const A *spread = parts.smooths ? weight : nullptr;
            if (spread == nullptr) {
#pragma GCC ivdep
                for (int64_t c = 0; c < to.classes; ++c) gradient[c] = convert<T>(parts.of_class(x[c], A{1}));
            } else {
#pragma GCC ivdep
                for (int64_t c = 0; c < to.classes; ++c) gradient[c] = convert<T>(parts.of_class(x[c], spread[c]));
            }
            if (!row.is_valid) continue;
            const A own = parts.of_class(x[row.target], spread != nullptr ? row.weight : A{1});
            gradient[row.target] = convert<T>(own - parts.target);
        }
    };
    parallel_for(to.rows, row_grain(to.classes), rows);
}

void forward_on_cpu(Device &device, const CrossEntropyForward &a) {
    expect_classes(a.to);
    visit_floating_dtype(a.logits.dtype, [&](auto tag) { forward<typename decltype(tag)::type>(device, a); });
}
void backward_on_cpu(Device &, const CrossEntropyBackward &a) {
    expect_classes(a.to);
    visit_floating_dtype(a.logits.dtype, [&](auto tag) { backward<typename decltype(tag)::type>(a); });
}

const Implementation<CrossEntropyForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);
const Implementation<CrossEntropyBackward> cpu_backward(MEZZO_DEVICE_TYPE_CPU, backward_on_cpu);

mezzo_cross_entropy_desc cross_entropy_descriptor(const mezzo_cross_entropy_desc *given) {
    const mezzo_cross_entropy_desc desc =
        read_descriptor(given, {sizeof(mezzo_cross_entropy_desc), MEZZO_REDUCTION_MEAN, -100, 0});
    expect_enumerator(desc.reduction, MEZZO_REDUCTION_SUM, "reduction", "reduction");
    if (!(desc.label_smoothing >= 0 && desc.label_smoothing <= 1)) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.label_smoothing is %g, expected 0 to 1", desc.label_smoothing);
    }
    return desc;
}

CrossEntropyTarget check_target(const TensorRef &logits, const TensorRef &target, const TensorRef &weight,
                                const mezzo_cross_entropy_desc &desc) {
    expect_floating(logits);
    if (logits.rank() != 1 && logits.rank() != 2) {
        fail(MEZZO_STATUS_SHAPE_MISMATCH, "logits is %s, expected [rows,classes] or [classes]", logits.text().c_str());
    }
    expect_dtype(target, {MEZZO_DTYPE_I64, MEZZO_DTYPE_I32, MEZZO_DTYPE_U8});
    expect_shape(target, logits.shape().first(static_cast<size_t>(logits.rank() - 1)));
    const int64_t classes = logits.dim(logits.rank() - 1);
    expect_dtype(weight, {arithmetic_dtype(logits.dtype())});
    expect_shape(weight, {classes});
    return {target,
            weight,
            target.elements(),
            classes,
            desc.ignore_index,
            desc.label_smoothing,
            desc.reduction == MEZZO_REDUCTION_MEAN};
}

void check_statistics(const TensorRef &maxima, const TensorRef &sums, const TensorRef &totals, const TensorRef &logits,
                      const TensorRef &target) {
    for (const TensorRef *of_rows : {&maxima, &sums}) {
        expect_dtype(*of_rows, {arithmetic_dtype(logits.dtype())});
        expect_same_shape(*of_rows, target);
    }
    expect_dtype(totals, {MEZZO_DTYPE_F64});
    expect_shape(totals, {2});
}

struct ForwardTensors {
    TensorRef loss, maxima, sums, totals, logits, target, weight;
};

void cross_entropy_forward(const ForwardTensors &tensors, const mezzo_cross_entropy_desc &desc) {
    const auto &[loss, maxima, sums, totals, logits, target, weight] = tensors;
    expect_same_device({&loss, &maxima, &sums, &totals, &logits, &target, &weight});
    const CrossEntropyTarget to = check_target(logits, target, weight, desc);
    expect_scalar(loss);
    expect_dtype(loss, {arithmetic_dtype(logits.dtype())});
    check_statistics(maxima, sums, totals, logits, target);
    expect_separate({&loss, &maxima, &sums, &totals}, {&logits, &target, &weight});
    run_op(logits.device(), CrossEntropyForward{to, loss, maxima, sums, totals, logits});
}

struct BackwardTensors {
    TensorRef grad_logits, logits, target, maxima, sums, totals, weight, scale;
};

void cross_entropy_backward(const BackwardTensors &tensors, const mezzo_cross_entropy_desc &desc) {
    const auto &[grad_logits, logits, target, maxima, sums, totals, weight, scale] = tensors;
    expect_same_device({&grad_logits, &logits, &target, &maxima, &sums, &totals, &weight, &scale});
    const CrossEntropyTarget to = check_target(logits, target, weight, desc);
    expect_same_shape_and_dtype(grad_logits, logits);
    check_statistics(maxima, sums, totals, logits, target);
    expect_scalar(scale);
    expect_dtype(scale, {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64});
    expect_separate({&grad_logits}, {&logits, &target, &maxima, &sums, &totals, &weight, &scale});
    run_op(logits.device(), CrossEntropyBackward{to, grad_logits, logits, maxima, sums, totals, scale});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_cross_entropy_forward(mezzo_tensor loss, mezzo_tensor maxima, mezzo_tensor sums, mezzo_tensor totals,
                                         mezzo_tensor logits, mezzo_tensor target, mezzo_tensor weight,
                                         const mezzo_cross_entropy_desc *desc) {
    using namespace mezzo;
    return guard("cross_entropy_forward", [&] {
        cross_entropy_forward(
            {require_tensor(loss, "loss"), optional_tensor(maxima, "maxima"), optional_tensor(sums, "sums"),
             optional_tensor(totals, "totals"), require_tensor(logits, "logits"), require_tensor(target, "target"),
             optional_tensor(weight, "weight")},
            cross_entropy_descriptor(desc));
    });
}

mezzo_status mezzo_cross_entropy_backward(mezzo_tensor grad_logits, mezzo_tensor logits, mezzo_tensor target,
                                          mezzo_tensor maxima, mezzo_tensor sums, mezzo_tensor totals,
                                          mezzo_tensor weight, mezzo_tensor scale,
                                          const mezzo_cross_entropy_desc *desc) {
    using namespace mezzo;
    return guard("cross_entropy_backward", [&] {
        cross_entropy_backward(
            {require_tensor(grad_logits, "grad_logits"), require_tensor(logits, "logits"),
             require_tensor(target, "target"), require_tensor(maxima, "maxima"), require_tensor(sums, "sums"),
             require_tensor(totals, "totals"), optional_tensor(weight, "weight"), optional_tensor(scale, "scale")},
            cross_entropy_descriptor(desc));
    });
}
