// SPDX-License-Identifier: MIT
// mse_loss: loss = (1/n) sum_i d[i]^2,  grad_prediction[i] = scale (2/n) d[i],  d = prediction - target
//
//   prediction, target  one shape, f32 or f64
//   loss                scalar, prediction's dtype
//   grad_prediction     prediction's shape; prediction's dtype, f16 or bf16
//   scale               f32 or f64 scalar; may be null
//
// d is computed in prediction's dtype; its squares are exact or rounded in f64 and accumulated there, as
// ops/reduction.h says, whatever the number of threads. scale (2/n) is computed in f64, rounded to
// prediction's dtype and multiplied by d there, and only the product is rounded to grad_prediction's dtype:
// an error of 6e-4 over 20,000 elements is a subnormal f16 gradient without the scale, a normal one with it.
// The reduction by sum leaves 1/n out of both. 5 FLOP and 2 sizeof(T) + sizeof(G) bytes an element.
// Source: PyTorch's mse_loss.
#include <mezzo/ops.h>

#include "core/descriptor.h"
#include "core/tensor.h"
#include "ops/elementwise.h"
#include "ops/reduction.h"
#include "ops/scalar.h"

namespace mezzo {
namespace {

/// Writes the gradient, a block at a time while it is in the cache, and returns the sum of squares.
template <class T, class Gradient>
double squares_and_gradient(Device &device, int64_t elements, Gradient *gradient, const T *prediction, const T *target,
                            T multiplier) {
    return sum_blocks(device, elements, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
#pragma GCC ivdep
        for (int64_t i = begin; i < end; ++i) {
            gradient[i] = convert<Gradient>(multiplier * (prediction[i] - target[i]));
        }
        return sum_block(begin, end, [=](int64_t i) MEZZO_ALWAYS_INLINE {
            const auto difference = static_cast<double>(prediction[i] - target[i]);
            return difference * difference;
        });
    });
}

template <class T>
double squares(Device &device, int64_t elements, const T *prediction, const T *target) {
    return sum_blocks(device, elements, [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        return sum_block(begin, end, [=](int64_t i) MEZZO_ALWAYS_INLINE {
            const auto difference = static_cast<double>(prediction[i] - target[i]);
            return difference * difference;
        });
    });
}

struct Arguments {
    TensorRef loss;
    TensorRef grad_prediction;
    TensorRef prediction;
    TensorRef target;
    TensorRef scale;
};

void check(const Arguments &arguments) {
    const auto &[loss, grad_prediction, prediction, target, scale] = arguments;
    if (!loss && !grad_prediction) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "loss and grad_prediction are both null, expected at least one of them");
    }
    expect_same_device({&loss, &grad_prediction, &prediction, &target, &scale});
    expect_dtype(prediction, {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64});
    expect_same_shape_and_dtype(target, prediction);
    expect_scalar(loss);
    expect_dtype(loss, {prediction.dtype()});
    if (grad_prediction) expect_same_shape(grad_prediction, prediction);
    expect_dtype(grad_prediction, {prediction.dtype(), MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16});
    expect_scalar(scale);
    expect_dtype(scale, {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64});
    expect_no_overlap(loss, grad_prediction);
    for (const TensorRef *out : {&loss, &grad_prediction}) {
        for (const TensorRef *in : {&prediction, &target, &scale}) expect_no_overlap(*out, *in);
    }
}

template <class T>
void mse_loss(const Arguments &arguments, double divisor) {
    const auto &[loss, grad_prediction, prediction, target, scale] = arguments;
    const int64_t elements = prediction.elements();
    const T *from = prediction.data<const T>();
    const T *wanted = target.data<const T>();
    const auto multiplier = static_cast<T>(2 * factor_or_one(scale) / divisor);
    double sum = 0;
    if (grad_prediction) {
        visit_floating_dtype(grad_prediction.dtype(), [&](auto tag) {
            using Gradient = typename decltype(tag)::type;
            if constexpr (is_half<Gradient> || std::is_same_v<Gradient, T>) {
                sum = squares_and_gradient(prediction.device(), elements, grad_prediction.data<Gradient>(), from,
                                           wanted, multiplier);
            }
        });
    } else {
        sum = squares(prediction.device(), elements, from, wanted);
    }
    if (loss) *loss.data<T>() = static_cast<T>(sum / divisor);
}

void mse_loss_forward(const Arguments &arguments, const mezzo_mse_loss_desc &desc) {
    if (desc.reduction != MEZZO_REDUCTION_MEAN && desc.reduction != MEZZO_REDUCTION_SUM) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.reduction is %d, expected a mezzo_reduction (0 or 1)",
             static_cast<int>(desc.reduction));
    }
    check(arguments);
    const auto elements = static_cast<double>(arguments.prediction.elements());
    const double divisor = desc.reduction == MEZZO_REDUCTION_MEAN ? elements : 1.0;
    if (arguments.prediction.dtype() == MEZZO_DTYPE_F64) {
        mse_loss<double>(arguments, divisor);
    } else {
        mse_loss<float>(arguments, divisor);
    }
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_mse_loss_forward(mezzo_tensor loss, mezzo_tensor grad_prediction, mezzo_tensor prediction,
                                    mezzo_tensor target, mezzo_tensor scale, const mezzo_mse_loss_desc *desc) {
    return mezzo::guard("mse_loss_forward", [&] {
        constexpr mezzo_mse_loss_desc kDefaults = {sizeof(mezzo_mse_loss_desc), MEZZO_REDUCTION_MEAN};
        mezzo::mse_loss_forward(
            {mezzo::optional_tensor(loss, "loss"), mezzo::optional_tensor(grad_prediction, "grad_prediction"),
             mezzo::require_tensor(prediction, "prediction"), mezzo::require_tensor(target, "target"),
             mezzo::optional_tensor(scale, "scale")},
            mezzo::read_descriptor(desc, kDefaults));
    });
}
