// SPDX-License-Identifier: MIT
// mse_loss on CUDA: loss = (1/n) sum_i d[i]^2,  grad_prediction[i] = scale (2/n) d[i],  d = prediction - target
//
//   prediction, target  one shape, f32 or f64
//   loss                scalar, prediction's dtype; may be missing
//   grad_prediction     prediction's shape; prediction's dtype, f16 or bf16; may be missing
//   scale               f32 or f64 scalar; may be missing
//
// Loss and gradient in one pass and one launch. Squares are accumulated in f64 in the order of ops/reduction.h:
// deterministic, the CPU's bits but for the payload of a NaN. 4 FLOP, 2 of them in f64
// after a conversion (f64: all 4), and 2 sizeof(T) + sizeof(G) bytes an element; device/reduce.cuh says what bounds the
// speed.
// Source: as mse_loss.cpp.
#include "ops/mse_loss.h"

#include "device/reduce.cuh"

namespace mezzo {
namespace {

__device__ unsigned int arrived; // blocks of the running launch that have finished

template <class T>
struct Pair {
    T prediction;
    T target;
};

template <class T, class Gradient>
__global__ void __launch_bounds__(kSumThreads, kSumBlocks)
    mse_loss_forward_kernel(double *sums, T *loss, Gradient *gradient, const T *prediction, const T *target,
                            int64_t elements, TensorData scale, double divisor, double two_over_divisor) {
    const T multiplier = mse_multiplier<T>(scale, two_over_divisor);
    const auto load = [=](int64_t i) { return Pair<T>{prediction[i], target[i]}; };
    const auto term = [=](int64_t i, const Pair<T> &pair) {
        if (gradient != nullptr) gradient[i] = mse_gradient<Gradient>(pair.prediction, pair.target, multiplier);
        return squared_error(pair.prediction, pair.target);
    };
    const auto block = [&](int64_t begin, int64_t end) { return warp_sum<kSumRows<Pair<T>>>(begin, end, load, term); };
    const auto finish = [=](double sum) {
        if (loss != nullptr) *loss = static_cast<T>(sum / divisor);
    };
    sum_blocks(elements, sums, &arrived, block, finish);
}

template <class T, class Gradient>
void forward(Device &device, const MseLossForward &a, Gradient *gradient) {
    T *loss = a.loss ? a.loss.as<T>() : nullptr;
    launch_sum(device, a.prediction.elements, mse_loss_forward_kernel<T, Gradient>, loss, gradient,
               a.prediction.as<const T>(), a.target.as<const T>(), a.prediction.elements, a.scale, a.divisor,
               2 / a.divisor);
}

template <class T>
void forward(Device &device, const MseLossForward &a) {
    if (!a.grad_prediction) return forward<T, T>(device, a, nullptr);
    visit_floating_dtype(a.grad_prediction.dtype, [&](auto tag) {
        using Gradient = typename decltype(tag)::type;
        if constexpr (is_half<Gradient> || std::is_same_v<Gradient, T>) {
            forward<T, Gradient>(device, a, a.grad_prediction.as<Gradient>());
        }
    });
}

void forward_on_cuda(Device &device, const MseLossForward &a) {
    if (a.prediction.dtype == MEZZO_DTYPE_F64) {
        forward<double>(device, a);
    } else {
        forward<float>(device, a);
    }
}

const Implementation<MseLossForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);

} // namespace
} // namespace mezzo
