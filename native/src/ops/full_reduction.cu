// SPDX-License-Identifier: MIT
// sum and mean on CUDA: out = (sum_i input[i]) / divisor;  grad_input[i] = grad_output / divisor
//
//   input, grad_input  any shape, a floating dtype
//   out, grad_output   scalar; the same dtype, f32 for halves
//
// Accumulated and divided in f64 in the order of ops/reduction.h: deterministic, the CPU's bits but for the payload
// of a NaN. One launch. Each element is read (backward: written) once; device/reduce.cuh says what bounds the speed.
#include "ops/full_reduction.h"

#include "device/elementwise.cuh"
#include "device/reduce.cuh"

namespace mezzo {
namespace {

__device__ unsigned int arrived; // blocks of the running launch that have finished

template <class T>
__global__ void __launch_bounds__(kSumThreads, kSumBlocks)
    full_reduction_forward_kernel(double *sums, Arithmetic<T> *out, const T *input, int64_t elements, double divisor) {
    const auto load = [input](int64_t i) { return input[i]; };
    const auto term = [](int64_t, T value) { return convert<double>(value); };
    const auto block = [&](int64_t begin, int64_t end) { return warp_sum<kSumRows<T>>(begin, end, load, term); };
    const auto finish = [&](double sum) { *out = static_cast<Arithmetic<T>>(sum / divisor); };
    sum_blocks(elements, sums, &arrived, block, finish);
}

// One thread of a block divides: f64 is slow on most GPUs.
template <class T>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    full_reduction_backward_kernel(MapShape shape, T *grad_input, TensorData grad_output, double divisor) {
    MEZZO_SHARED(T, shared_gradient);
    if (threadIdx.x == 0) shared_gradient = full_reduction_gradient<T>(grad_output, divisor);
    __syncthreads();
    const T gradient = shared_gradient;
    map_elements(shape, grad_input, [gradient] { return gradient; });
}

void forward_on_cuda(Device &device, const FullReductionForward &arguments) {
    visit_floating_dtype(arguments.input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        launch_sum(device, arguments.input.elements, full_reduction_forward_kernel<T>,
                   arguments.out.as<Arithmetic<T>>(), arguments.input.as<const T>(), arguments.input.elements,
                   arguments.divisor);
    });
}

void backward_on_cuda(Device &device, const FullReductionBackward &arguments) {
    visit_floating_dtype(arguments.grad_input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T *grad_input = arguments.grad_input.as<T>();
        launch_map(device, map_shape(arguments.grad_input.elements, grad_input), full_reduction_backward_kernel<T>,
                   grad_input, arguments.grad_output, arguments.divisor);
    });
}

const Implementation<FullReductionForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);
const Implementation<FullReductionBackward> cuda_backward(MEZZO_DEVICE_TYPE_CUDA, backward_on_cuda);

} // namespace
} // namespace mezzo
