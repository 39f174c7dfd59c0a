// SPDX-License-Identifier: MIT
// binary_cross_entropy: loss = (1/n) sum_i w l(x, z),  grad_input[i] = scale (1/n) w dl/dx
//
//   from logits         l = (1 - z) softplus(x) + p z softplus(-x),  dl/dx = (1 - z) s - p z (1 - s),
//                       softplus(x) = max(x, 0) + log(1 + exp(-|x|)),  s = 1 / (1 + exp(-x))
//   from probabilities  l = -((1 - z) max(log(1 - x), -100) + z max(log x, -100)),
//                       dl/dx = (x - z) / max(x (1 - x), 1e-12)
//
//   input x           any shape, T: a floating dtype
//   target z          its shape; R: f32 for a half T, else T
//   weight w          the same; may be null, for 1
//   pos_weight p      scalar, or as long as the last dimension, R; may be null, for 1
//   loss              scalar, R
//   grad_input        input's shape, T
//   scale             f32 or f64 scalar; may be null
//
// Elements are computed in R; their losses are accumulated in f64 as ops/reduction.h says, whatever the number of
// threads. scale (1/n) is computed in f64, rounded to R and multiplied there, and only the product is rounded to T.
// About 60 FLOP an element; one pass over the data.
// Source: PyTorch's binary_cross_entropy and binary_cross_entropy_with_logits.
#include "ops/binary_cross_entropy.h"

#include <mezzo/ops.h>

#include "core/descriptor.h"
#include "ops/reduction.h"

namespace mezzo {
namespace {

/// Weights of the elements [begin, end) in a buffer, since an index modulo the columns cannot be vectorised.
template <class Real>
MEZZO_ALWAYS_INLINE inline const Real *spread(const Real *columns_first, int64_t columns, int64_t begin, int64_t end,
                                              Real *buffer) {
    int64_t column = begin % columns;
    for (int64_t i = begin; i < end; ++i) {
        buffer[i - begin] = columns_first == nullptr ? Real(1) : columns_first[column];
        column = column + 1 == columns ? 0 : column + 1;
    }
    return buffer;
}

/// Losses of a block in a buffer, so that the loop over functions and the sum in f64 are each vectorised; gradients
/// where they are wanted.
template <class Source, class T>
double run(Device &device, const BinaryCrossEntropyForward &a) {
    using Real = Arithmetic<T>;
    const auto multiplier = cross_entropy_multiplier<Real>(a.scale, a.divisor);
    T *gradients = a.grad_input ? a.grad_input.as<T>() : nullptr;
    const T *inputs = a.input.as<const T>();
    const Real *targets = a.target.as<const Real>();
    const Real *weights = a.weight ? a.weight.as<const Real>() : nullptr;
    const Real *pos_weights = a.pos_weight ? a.pos_weight.as<const Real>() : nullptr;
    const int64_t columns = a.columns;
    const auto block = [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        Real losses[kReductionBlock];
        Real pos_buffer[kReductionBlock];
        Real weight_buffer[kReductionBlock];
        const Real *pos_weight = spread(pos_weights, columns, begin, end, pos_buffer);
        const Real *weight =
            weights != nullptr ? weights + begin : spread<Real>(nullptr, columns, begin, end, weight_buffer);
        const T *input = inputs + begin;
        const Real *target = targets + begin;
        const int64_t count = end - begin;
        if (gradients == nullptr) {
#pragma GCC ivdep
            for (int64_t i = 0; i < count; ++i) {
                losses[i] = weight[i] * Source::of(widen(input[i]), target[i], pos_weight[i]).loss;
            }
        } else {
            T *gradient = gradients + begin;
#pragma GCC ivdep
            for (int64_t i = 0; i < count; ++i) {
                const auto entropy = Source::of(widen(input[i]), target[i], pos_weight[i]);
                losses[i] = weight[i] * entropy.loss;
                gradient[i] = convert<T>(multiplier * (weight[i] * entropy.gradient));
            }
        }
        const auto term = [&](int64_t i) MEZZO_ALWAYS_INLINE { return static_cast<double>(losses[i]); };
        return sum_block(0, count, term);
    };
    return sum_blocks(device, a.input.elements, block);
}

void forward_on_cpu(Device &device, const BinaryCrossEntropyForward &a) {
    visit_floating_dtype(a.input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const double sum = a.from_logits ? run<FromLogits, T>(device, a) : run<FromProbabilities, T>(device, a);
        if (a.loss) *a.loss.as<Arithmetic<T>>() = static_cast<Arithmetic<T>>(sum / a.divisor);
    });
}

const Implementation<BinaryCrossEntropyForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);

/// The tensors of a call.
struct Tensors {
    TensorRef loss;
    TensorRef grad_input;
    TensorRef input;
    TensorRef target;
    TensorRef weight;
    TensorRef pos_weight;
    TensorRef scale;
};

int64_t last_dimension(const TensorRef &tensor) {
    return tensor.shape().empty() ? 1 : tensor.shape().back();
}

void check(const Tensors &tensors, bool from_logits) {
    const auto &[loss, grad_input, input, target, weight, pos_weight, scale] = tensors;
    if (!loss && !grad_input) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "loss and grad_input are both null, expected at least one of them");
    }
    expect_same_device({&loss, &grad_input, &input, &target, &weight, &pos_weight, &scale});
    expect_floating(input);
    expect_same_shape_and_dtype(grad_input, input);
    for (const TensorRef *tensor : {&target, &weight}) {
        expect_same_shape(*tensor, input);
        expect_dtype(*tensor, {reduced_dtype(input.dtype())});
    }
    if (pos_weight && !from_logits) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "pos_weight is given, expected null from probabilities");
    }
    if (pos_weight && !pos_weight.shape().empty()) expect_shape(pos_weight, {last_dimension(input)});
    expect_dtype(pos_weight, {reduced_dtype(input.dtype())});
    expect_scalar(loss);
    expect_dtype(loss, {reduced_dtype(input.dtype())});
    expect_scalar(scale);
    expect_dtype(scale, {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64});
    expect_no_overlap(loss, grad_input);
    for (const TensorRef *out : {&loss, &grad_input}) {
        for (const TensorRef *in : {&input, &target, &weight, &pos_weight, &scale}) expect_no_overlap(*out, *in);
    }
}

void binary_cross_entropy_forward(const Tensors &tensors, const mezzo_binary_cross_entropy_desc &desc) {
    expect_enumerator(desc.reduction, MEZZO_REDUCTION_SUM, "reduction", "reduction");
    expect_flag(desc.from_logits, "from_logits");
    expect_reserved(desc.reserved, "reserved");
    const bool from_logits = desc.from_logits != 0;
    check(tensors, from_logits);
    const auto &[loss, grad_input, input, target, weight, pos_weight, scale] = tensors;
    const int64_t columns = pos_weight && !pos_weight.shape().empty() ? last_dimension(input) : 1;
    const double divisor = desc.reduction == MEZZO_REDUCTION_MEAN ? static_cast<double>(input.elements()) : 1.0;
    run_op(input.device(), BinaryCrossEntropyForward{loss, grad_input, input, target, weight, pos_weight, scale,
                                                     columns, divisor, from_logits});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_binary_cross_entropy_forward(mezzo_tensor loss, mezzo_tensor grad_input, mezzo_tensor input,
                                                mezzo_tensor target, mezzo_tensor weight, mezzo_tensor pos_weight,
                                                mezzo_tensor scale, const mezzo_binary_cross_entropy_desc *desc) {
    return mezzo::guard("binary_cross_entropy_forward", [&] {
        constexpr mezzo_binary_cross_entropy_desc kDefaults = {sizeof(mezzo_binary_cross_entropy_desc),
                                                               MEZZO_REDUCTION_MEAN, 0, 0};
        mezzo::binary_cross_entropy_forward(
            {mezzo::optional_tensor(loss, "loss"), mezzo::optional_tensor(grad_input, "grad_input"),
             mezzo::require_tensor(input, "input"), mezzo::require_tensor(target, "target"),
             mezzo::optional_tensor(weight, "weight"), mezzo::optional_tensor(pos_weight, "pos_weight"),
             mezzo::optional_tensor(scale, "scale")},
            mezzo::read_descriptor(desc, kDefaults));
    });
}
