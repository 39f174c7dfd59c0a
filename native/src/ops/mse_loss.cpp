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
#include "ops/mse_loss.h"

#include <mezzo/ops.h>

#include "core/descriptor.h"
#include "ops/reduction.h"

namespace mezzo {
namespace {

/// Sum of squares of a block.
template <class T>
MEZZO_ALWAYS_INLINE inline double squares(int64_t begin, int64_t end, const T *prediction, const T *target) {
    const auto square = [=](int64_t i) MEZZO_ALWAYS_INLINE { return squared_error(prediction[i], target[i]); };
    return sum_block(begin, end, square);
}

/// The same, with the block's gradient written first, which leaves the block in the cache.
template <class T, class Gradient>
double squares_and_gradient(Device &device, const MseLossForward &arguments, T multiplier) {
    Gradient *gradient = arguments.grad_prediction.as<Gradient>();
    const T *prediction = arguments.prediction.as<const T>();
    const T *target = arguments.target.as<const T>();
    const auto block = [=](int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
#pragma GCC ivdep
        for (int64_t i = begin; i < end; ++i) {
            gradient[i] = mse_gradient<Gradient>(prediction[i], target[i], multiplier);
        }
        return squares(begin, end, prediction, target);
    };
    return sum_blocks(device, arguments.prediction.elements, block);
}

template <class T>
void run(Device &device, const MseLossForward &arguments) {
    double sum = 0;
    if (arguments.grad_prediction) {
        const T multiplier = mse_multiplier<T>(arguments.scale, 2 / arguments.divisor);
        visit_floating_dtype(arguments.grad_prediction.dtype, [&](auto tag) {
            using Gradient = typename decltype(tag)::type;
            if constexpr (is_half<Gradient> || std::is_same_v<Gradient, T>) {
                sum = squares_and_gradient<T, Gradient>(device, arguments, multiplier);
            }
        });
    } else {
        const T *prediction = arguments.prediction.as<const T>();
        const T *target = arguments.target.as<const T>();
        const auto block = [=](int64_t begin, int64_t end)
                               MEZZO_ALWAYS_INLINE { return squares(begin, end, prediction, target); };
        sum = sum_blocks(device, arguments.prediction.elements, block);
    }
    if (arguments.loss) *arguments.loss.as<T>() = static_cast<T>(sum / arguments.divisor);
}

void forward_on_cpu(Device &device, const MseLossForward &arguments) {
    if (arguments.prediction.dtype == MEZZO_DTYPE_F64) {
        run<double>(device, arguments);
    } else {
        run<float>(device, arguments);
    }
}

const Implementation<MseLossForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);

/// The tensors of a call.
struct Tensors {
    TensorRef loss;
    TensorRef grad_prediction;
    TensorRef prediction;
    TensorRef target;
    TensorRef scale;
};

void check(const Tensors &tensors) {
    const auto &[loss, grad_prediction, prediction, target, scale] = tensors;
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

void mse_loss_forward(const Tensors &tensors, const mezzo_mse_loss_desc &desc) {
    if (desc.reduction != MEZZO_REDUCTION_MEAN && desc.reduction != MEZZO_REDUCTION_SUM) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.reduction is %d, expected a mezzo_reduction (0 or 1)",
             static_cast<int>(desc.reduction));
    }
    check(tensors);
    const auto &[loss, grad_prediction, prediction, target, scale] = tensors;
    const double divisor = desc.reduction == MEZZO_REDUCTION_MEAN ? static_cast<double>(prediction.elements()) : 1.0;
    run_op(prediction.device(), MseLossForward{loss, grad_prediction, prediction, target, scale, divisor});
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
