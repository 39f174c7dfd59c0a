// SPDX-License-Identifier: MIT
// binary_cross_entropy on CUDA: the formulas of binary_cross_entropy.cpp
//
// Loss and gradient in one pass and one launch. Losses are accumulated in f64 in the order of ops/reduction.h:
// deterministic, the CPU's bits but for the payload of a NaN. About 60 FLOP an element bound the speed, as far as the
// sums in f64 do not (device/reduce.cuh).
#include "ops/binary_cross_entropy.h"

#include "device/reduce.cuh"

namespace mezzo {
namespace {

__device__ unsigned int arrived; // blocks of the running launch that have finished

/// Rows of 32 elements that a warp has under way: so few that unrolling the functions keeps the code small.
inline constexpr int kRows = 8;

/// What an element is made of.
template <class T>
struct Element {
    Arithmetic<T> target;
    Arithmetic<T> weight;
    Arithmetic<T> pos_weight;
    T input;
};

template <class Source, class T>
__global__ void __launch_bounds__(kSumThreads, kSumBlocks)
    binary_cross_entropy_forward_kernel(double *sums, Arithmetic<T> *loss, T *gradient, const T *input,
                                        const Arithmetic<T> *target, const Arithmetic<T> *weight,
                                        const Arithmetic<T> *pos_weight, int64_t columns, int64_t elements,
                                        TensorData scale, double divisor) {
    using Real = Arithmetic<T>;
    const auto multiplier = cross_entropy_multiplier<Real>(scale, divisor);
    const auto load = [=](int64_t i) {
        return Element<T>{target[i], weight == nullptr ? Real(1) : weight[i],
                          pos_weight == nullptr ? Real(1) : pos_weight[columns == 1 ? 0 : i % columns], input[i]};
    };
    const auto term = [=](int64_t i, const Element<T> &element) {
        const auto entropy = Source::of(widen(element.input), element.target, element.pos_weight);
        if (gradient != nullptr) gradient[i] = convert<T>(multiplier * (element.weight * entropy.gradient));
        return static_cast<double>(element.weight * entropy.loss);
    };
    const auto block = [&](int64_t begin, int64_t end) { return warp_sum<kRows>(begin, end, load, term); };
    const auto finish = [=](double sum) {
        if (loss != nullptr) *loss = static_cast<Real>(sum / divisor);
    };
    sum_blocks(elements, sums, &arrived, block, finish);
}

template <class Source, class T>
void forward(Device &device, const BinaryCrossEntropyForward &a) {
    using Real = Arithmetic<T>;
    launch_sum(device, a.input.elements, binary_cross_entropy_forward_kernel<Source, T>,
               a.loss ? a.loss.as<Real>() : nullptr, a.grad_input ? a.grad_input.as<T>() : nullptr,
               a.input.as<const T>(), a.target.as<const Real>(), a.weight ? a.weight.as<const Real>() : nullptr,
               a.pos_weight ? a.pos_weight.as<const Real>() : nullptr, a.columns, a.input.elements, a.scale, a.divisor);
}

void forward_on_cuda(Device &device, const BinaryCrossEntropyForward &a) {
    visit_floating_dtype(a.input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        if (a.from_logits) {
            forward<FromLogits, T>(device, a);
        } else {
            forward<FromProbabilities, T>(device, a);
        }
    });
}

const Implementation<BinaryCrossEntropyForward> cuda_forward(MEZZO_DEVICE_TYPE_CUDA, forward_on_cuda);

} // namespace
} // namespace mezzo
