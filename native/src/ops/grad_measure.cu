// SPDX-License-Identifier: MIT
// unscale with norms and statistics on CUDA: two launches for each table of gradients (device/tensor_list.cuh)
//
// In the first, a warp takes a block of kReductionBlock elements of one gradient: it counts, adds the squares as
// device/reduce.cuh says and, where the factor is not 1, writes the products back. In the second, a thread block puts
// together what belongs to one gradient, and the block that finishes last what belongs to all. The CPU's bits.
// sizeof(T) bytes an element, twice that to unscale too, one element a lane and up to 256 bytes of a lane under way;
// f64 arithmetic bounds the speed where it runs at 1/64 of f32's rate, as of all sums.
// Where only a found Inf or NaN is to be looked into, both leave at once without one.
#include "ops/grad_measure.h"

#include "device/reduce.cuh"
#include "device/tensor_list.cuh"

namespace mezzo {
namespace {

/// What the launches of one call share.
struct MeasureCall {
    double *sums;
    GradCounts *counts;
    double *squares; // of each gradient, and room to add them
    GradCounts *all; // of each gradient
    int64_t count;   // of the gradients
    float *found_inf;
    const float *scale; // null for 1
    MeasuredResults results;
    bool sums_up;
    bool check_only;
    bool only_if_found;

    __device__ bool is_off() const { return only_if_found && *found_inf == 0; }
};

struct MeasureLaunch {
    MeasureCall call;
    bool is_last; // of the call
    TensorTable<MeasuredGrad, table_capacity<MeasuredGrad>(sizeof(MeasureCall) + sizeof(int64_t))> grads;
};
static_assert(sizeof(MeasureLaunch) <= kParameterBytes);

/// Adds up over the calling warp: for lane 0.
__device__ __forceinline__ GradCounts warp_counts(GradCounts counts) {
    MEZZO_UNROLL
    for (unsigned int width = kWarpSize / 2; width > 0; width /= 2) {
        counts.add({__shfl_down_sync(kFullMask, counts.infs, width), __shfl_down_sync(kFullMask, counts.nans, width),
                    __shfl_down_sync(kFullMask, counts.zeros, width),
                    __shfl_down_sync(kFullMask, counts.exponent, width)});
    }
    return counts;
}

/// Measures a block of a gradient by the calling warp.
template <class T>
__device__ __forceinline__ void measure_block(const MeasuredGrad &grad, int64_t block, int64_t begin, int64_t end,
                                              const MeasureCall &call, float factor) {
    T *const data = reinterpret_cast<T *>(grad.data);
    const bool multiplies = !call.check_only && factor != 1;
    BitsOf<T> largest = 0;
    int infs = 0;
    int nans = 0;
    int zeros = 0;
    const auto load = [data](int64_t i) { return data[i]; };
    const auto square = [&](int64_t i, T element) {
        const BitsOf<T> magnitude = magnitude_of(element);
        infs += magnitude == kExponentMask<T> ? 1 : 0;
        nans += magnitude > kExponentMask<T> ? 1 : 0;
        zeros += magnitude == 0 ? 1 : 0;
        largest = magnitude < kExponentMask<T> && magnitude > largest ? magnitude : largest;
        if (multiplies) data[i] = convert<T>(convert<Arithmetic<T>>(element) * factor);
        const auto wide = convert<double>(element);
        return wide * wide;
    };
    const double sum = warp_sum<kSumRows<T>>(begin, end, load, square);
    const GradCounts counts = warp_counts({infs, nans, zeros, exponent_of_magnitude<T>(largest)});
    if (threadIdx.x % kWarpSize == 0) {
        call.counts[grad.first_count + block] = counts;
        if (call.sums_up) call.sums[grad.first_sum + block] = sum;
    }
}

__global__ void __launch_bounds__(kSumThreads, kSumBlocks) grad_measure_kernel(const MeasureLaunch a) {
    if (a.call.is_off()) return;
    const float factor = inverse_of_scale(a.call.scale);
    run_warp_blocks(a.grads, [&](int tensor, int64_t block, int64_t begin, int64_t end) {
        const MeasuredGrad &grad = a.grads[tensor];
        if (grad.dtype == MEZZO_DTYPE_F32) {
            measure_block<float>(grad, block, begin, end, a.call, factor);
        } else if (grad.dtype == MEZZO_DTYPE_F16) {
            measure_block<Half>(grad, block, begin, end, a.call, factor);
        } else if (grad.dtype == MEZZO_DTYPE_BF16) {
            measure_block<BFloat16>(grad, block, begin, end, a.call, factor);
        } else {
            measure_block<double>(grad, block, begin, end, a.call, factor);
        }
    });
}

__device__ unsigned int arrived; // blocks of the running launch that have finished

/// Adds up over the calling thread block: for all of its threads.
__device__ __forceinline__ GradCounts block_counts(const GradCounts *counts, int64_t blocks) {
    MEZZO_SHARED(GradCounts[kSumThreads / kWarpSize], of_warps);
    GradCounts mine;
    for (int64_t b = threadIdx.x; b < blocks; b += kSumThreads) mine.add(counts[b]);
    mine = warp_counts(mine);
    __syncthreads(); // the former call's have been read
    if (threadIdx.x % kWarpSize == 0) of_warps[threadIdx.x / kWarpSize] = mine;
    __syncthreads();
    GradCounts all;
    MEZZO_UNROLL
    for (const GradCounts &warp : of_warps) all.add(warp);
    return all;
}

/// The index of the first gradient that is not finite, or -1, by the calling thread block.
__device__ __forceinline__ int64_t find_nonfinite(const GradCounts *all, int64_t count) {
    MEZZO_SHARED(unsigned long long, first);
    if (threadIdx.x == 0) first = static_cast<unsigned long long>(count);
    __syncthreads();
    for (int64_t k = threadIdx.x; k < count; k += kSumThreads) {
        if (!all[k].is_finite()) atomicMin(&first, static_cast<unsigned long long>(k));
    }
    __syncthreads();
    return first == static_cast<unsigned long long>(count) ? -1 : static_cast<int64_t>(first);
}

/// What belongs to all gradients, by the thread block that finishes last.
__device__ void finish_all(const MeasureCall &call, float factor) {
    const GradCounts together = block_counts(call.all, call.count);
    const int64_t first = find_nonfinite(call.all, call.count);
    double sum = 0;
    if (call.results.norm != nullptr && call.count > 0) sum = sum_detail::sum_of_sums(call.squares, call.count);
    if (threadIdx.x != 0) return;
    if (first >= 0) *call.found_inf = 1;
    if (call.results.summary != nullptr) store_summary(call.results.summary, together, first);
    if (call.results.norm != nullptr) *call.results.norm = unscaled_norm(sum, factor);
}

/// A thread block for each gradient; at least one block.
__global__ void __launch_bounds__(kSumThreads) grad_measure_finish_kernel(const MeasureLaunch a) {
    const MeasureCall &call = a.call;
    if (call.is_off()) {
        const bool writes = call.results.summary != nullptr && blockIdx.x == 0 && threadIdx.x == 0;
        if (writes) store_summary(call.results.summary, GradCounts(), -1);
        return;
    }
    const float factor = inverse_of_scale(call.scale);
    if (a.grads.count() > 0) {
        const MeasuredGrad &grad = a.grads[static_cast<int>(blockIdx.x)];
        const int64_t blocks = reduction_blocks(grad.elements);
        const GradCounts all = block_counts(call.counts + grad.first_count, blocks);
        const double sum = call.sums_up ? sum_detail::sum_of_sums(call.sums + grad.first_sum, blocks) : 0;
        if (threadIdx.x == 0) {
            call.all[grad.index] = all;
            call.squares[grad.index] = sum;
            if (call.results.stats != nullptr) all.store(call.results.stats + grad.index * kGradStats);
            if (call.results.norms != nullptr) call.results.norms[grad.index] = unscaled_norm(sum, factor);
        }
    }
    if (!sum_detail::is_last_block(&arrived)) return;
    if (a.is_last) finish_all(call, factor);
}

void measure_on_cuda(Device &device, const GradMeasure &a) {
    const CudaDevice &cuda = cuda_device(device);
    const auto count = static_cast<int64_t>(a.grads.size());
    const Scratch<double> sums(device.memory(), a.sums);
    const Scratch<GradCounts> counts(device.memory(), a.counts + count);
    MeasureLaunch launched{};
    launched.call = {sums.data(),
                     counts.data(),
                     sums.data() + a.sums - sum_room(count),
                     counts.data() + a.counts,
                     count,
                     a.found_inf.as<float>(),
                     a.scale ? a.scale.as<const float>() : nullptr,
                     a.results,
                     a.results.norm != nullptr || a.results.norms != nullptr,
                     a.check_only,
                     a.only_if_found};
    const auto launch_table = [&] {
        const int tensors = launched.grads.count();
        if (tensors > 0) {
            const dim3 grid = launched.grads.grid(cuda, kSumBlocks);
            launch(grad_measure_kernel, grid, kSumThreads, 0, cuda.stream(), launched);
        }
        const dim3 blocks(static_cast<unsigned int>(std::max(tensors, 1)));
        launch(grad_measure_finish_kernel, blocks, kSumThreads, 0, cuda.stream(), launched);
        launched.grads.clear();
    };
    for (const MeasuredGrad &grad : a.grads) {
        if (launched.grads.is_full()) launch_table();
        launched.grads.add(grad, grad.elements, kReductionBlock);
    }
    launched.is_last = true;
    launch_table();
}

const Implementation<GradMeasure> cuda_measure(MEZZO_DEVICE_TYPE_CUDA, measure_on_cuda);

} // namespace
} // namespace mezzo
