// SPDX-License-Identifier: MIT
// unscale with norms and statistics:
//
//   found_inf |= any gradient is Inf or NaN;  grads[k][i] *= 1 / scale, unless only a check is wanted
//   grad_norms[k] = sqrt(sum_i grads[k][i]^2) / scale;  grad_norm = sqrt(sum_k sum_i grads[k][i]^2) / scale
//   grad_stats[k] = numbers of Inf, NaN and 0, and the exponent of the largest finite element, before unscaling
//   grad_summary = the same of all gradients, and the least k with Inf or NaN, or -1
//
// Squares are added in f64 in the order of ops/reduction.h, each gradient by itself and then the gradients, so that no
// norm depends on the device or the number of threads. A block of kReductionBlock elements stays in the first-level
// cache while it is looked at, summed and multiplied: sizeof(T) bytes an element, twice that to unscale too.
// Source of the norm: PyTorch's clip_grad_norm_, which takes the norm of the norms.
#include "ops/grad_measure.h"

#include <algorithm>

#include "ops/reduction.h"

namespace mezzo {
namespace {

/// Counts what is in a block. Inf and NaN, which are rare, are told apart in a second look.
template <class T>
MEZZO_ALWAYS_INLINE inline GradCounts count_block(const T *data, int64_t begin, int64_t end) {
    using Bits = BitsOf<T>;
    static_assert(kReductionBlock <= std::numeric_limits<uint16_t>::max(), "Bits count the elements of a block");
    Bits largest = 0;
    Bits zeros = 0;
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) {
        const Bits magnitude = magnitude_of(data[i]);
        largest = magnitude > largest ? magnitude : largest;
        const auto less_one = static_cast<Bits>(magnitude - 1); // whose first bit is set for 0 alone; vectorises
        zeros = static_cast<Bits>(zeros + (less_one >> (std::numeric_limits<Bits>::digits - 1)));
    }
    GradCounts counts;
    counts.zeros = static_cast<int64_t>(zeros);
    if (largest >= kExponentMask<T>) {
        largest = 0;
        for (int64_t i = begin; i < end; ++i) {
            const Bits magnitude = magnitude_of(data[i]);
            if (magnitude > kExponentMask<T>) {
                ++counts.nans;
            } else if (magnitude == kExponentMask<T>) {
                ++counts.infs;
            } else {
                largest = magnitude > largest ? magnitude : largest;
            }
        }
    }
    counts.exponent = exponent_of_magnitude<T>(largest);
    return counts;
}

template <class T>
MEZZO_ALWAYS_INLINE inline void multiply_block(T *data, int64_t begin, int64_t end, Arithmetic<T> factor) {
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) data[i] = convert<T>(convert<Arithmetic<T>>(data[i]) * factor);
}

/// Measures, and multiplies where the factor is not 1, all gradients of dtype T from `first` to `past`.
template <class T>
void measure_grads(const MeasuredGrad *first, const MeasuredGrad *past, double *sums, GradCounts *counts, bool sums_up,
                   float factor) {
    const int64_t first_count = first->first_count;
    const int64_t blocks = past[-1].first_count + reduction_blocks(past[-1].elements) - first_count;
    constexpr int64_t kGrain = kElementGrain / kReductionBlock;
    parallel_for(blocks, kGrain, [=](int64_t from, int64_t to) MEZZO_ALWAYS_INLINE {
        const MeasuredGrad *grad = first;
        for (int64_t b = from; b < to; ++b) {
            while (grad + 1 < past && grad[1].first_count <= first_count + b) ++grad;
            const int64_t block = first_count + b - grad->first_count;
            T *data = reinterpret_cast<T *>(grad->data);
            const int64_t begin = block * kReductionBlock;
            const int64_t end = begin + kReductionBlock < grad->elements ? begin + kReductionBlock : grad->elements;
            counts[first_count + b] = count_block(data, begin, end);
            if (sums_up) {
                const auto square = [=](int64_t i) MEZZO_ALWAYS_INLINE {
                    const auto element = convert<double>(data[i]);
                    return element * element;
                };
                sums[grad->first_sum + block] = sum_block(begin, end, square);
            }
            if (factor != 1) multiply_block<T>(data, begin, end, factor);
        }
    });
}

void measure_on_cpu(Device &device, const GradMeasure &a) {
    const MeasuredResults &results = a.results;
    if (results.summary != nullptr) store_summary(results.summary, GradCounts(), -1);
    float *found_inf = a.found_inf.as<float>();
    if (a.only_if_found && *found_inf == 0) return;

    const float factor = inverse_of_scale(a.scale ? a.scale.as<const float>() : nullptr);
    const bool sums_up = results.norm != nullptr || results.norms != nullptr;
    const auto count = static_cast<int64_t>(a.grads.size());
    const Scratch<double> sums(device.memory(), a.sums);
    const Scratch<GradCounts> counts(device.memory(), a.counts);
    for (auto first = a.grads.begin(); first != a.grads.end();) {
        const auto past =
            std::find_if(first, a.grads.end(), [&](const auto &grad) { return grad.dtype != first->dtype; });
        visit_floating_dtype(first->dtype, [&](auto tag) {
            measure_grads<typename decltype(tag)::type>(&*first, &*first + (past - first), sums.data(), counts.data(),
                                                        sums_up, a.check_only ? 1 : factor);
        });
        first = past;
    }

    double *const squares = sums.data() + a.sums - sum_room(count);
    GradCounts together;
    int64_t first_nonfinite = -1;
    for (const MeasuredGrad &grad : a.grads) {
        const int64_t blocks = reduction_blocks(grad.elements);
        GradCounts all;
        for (int64_t b = 0; b < blocks; ++b) all.add(counts.data()[grad.first_count + b]);
        if (results.stats != nullptr) all.store(results.stats + grad.index * kGradStats);
        together.add(all);
        if (!all.is_finite()) {
            *found_inf = 1;
            if (first_nonfinite < 0 || grad.index < first_nonfinite) first_nonfinite = grad.index;
        }
        if (!sums_up) continue;
        squares[grad.index] = sum_levels(sums.data() + grad.first_sum, blocks);
        if (results.norms != nullptr) results.norms[grad.index] = unscaled_norm(squares[grad.index], factor);
    }
    if (results.summary != nullptr) store_summary(results.summary, together, first_nonfinite);
    if (results.norm != nullptr) *results.norm = count == 0 ? 0 : unscaled_norm(sum_levels(squares, count), factor);
}

const Implementation<GradMeasure> cpu_measure(MEZZO_DEVICE_TYPE_CPU, measure_on_cpu);

} // namespace

GradMeasure measured_grads(std::span<const TensorData> grads, const TensorData &found_inf, const TensorData &scale,
                           const MeasuredResults &results, bool check_only, bool only_if_found) {
    GradMeasure measure{{}, 0, 0, found_inf, scale, results, check_only, only_if_found};
    for (size_t k = 0; k < grads.size(); ++k) {
        measure.grads.push_back({grads[k].data, grads[k].elements, 0, 0, static_cast<int32_t>(k), grads[k].dtype});
    }
    std::stable_sort(measure.grads.begin(), measure.grads.end(),
                     [](const MeasuredGrad &left, const MeasuredGrad &right) { return left.dtype < right.dtype; });
    for (MeasuredGrad &grad : measure.grads) {
        const int64_t blocks = reduction_blocks(grad.elements);
        grad.first_sum = measure.sums;
        grad.first_count = measure.counts;
        measure.sums += sum_room(blocks);
        measure.counts += blocks;
    }
    measure.sums += sum_room(static_cast<int64_t>(grads.size()));
    measure.sums = std::max(measure.sums, int64_t{1}); // there is no empty scratch memory
    measure.counts = std::max(measure.counts, int64_t{1});
    return measure;
}

} // namespace mezzo
