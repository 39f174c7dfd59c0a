// SPDX-License-Identifier: MIT
// adam on CUDA: one launch for all parameters of one combination of dtypes, with copies and without
// (device/tensor_list.cuh)
//
//   the formulas of adam.cpp, in the parameter's dtype; functions shared with the CPU, so its bits, NaN payloads aside
//
// Step counter, scale and found_inf are read on the device. One thread of each block turns them into the coefficients
// while the block's first loads are under way. In the last launch of a step the blocks count themselves once they have
// read the step counter, and the last one to come writes it: nobody reads it after that, the launches before are over,
// and no launch is spent on it. Where found_inf is set, nothing is written and nobody counts.
// f32 parameters: 28 bytes an element with an f32 gradient, 26 with a half one, in accesses of 16 bytes (8 for the
// halves). f64: 56 with an f64 gradient, 50 with a half one, in accesses of 16 bytes (4 for the halves). 2 more for a
// copy. Eight loads are under way in each thread. The copy, or where there is none the parameter, is read next by the
// forward pass and may stay in a cache; the rest is streamed.
#include "ops/adam.h"

#include "device/tensor_list.cuh"
#include "ops/unscale.h"

namespace mezzo {
namespace {

constexpr int kPacks = 2;

/// Of a multiprocessor: f64 needs more registers than three leave on compute capability 7.5.
template <class T>
inline constexpr int kBlocks = sizeof(T) == 8 ? 2 : 3;

struct StepState {
    mezzo_adam_desc desc;
    int64_t *step;
    const float *grad_scale; // null for 1
    const float *found_inf;  // null for 0
    bool is_last;            // launch of the step
};

struct AdamLaunch {
    StepState state;
    TensorTable<AdamEntry, table_capacity<AdamEntry>(sizeof(StepState))> params;
};
static_assert(sizeof(AdamLaunch) <= kParameterBytes);

/// Blocks of the launch under way that have read the step counter; 0 between launches. A device has one stream.
__device__ unsigned int arrivals = 0;

/// Counts a block that has read the step counter, by one of its threads.
__device__ void arrive(int64_t *counter, int64_t step) {
    __threadfence(); // the counter is read before the arrival shows
    if (atomicAdd(&arrivals, 1U) == gridDim.x - 1) {
        __threadfence();
        arrivals = 0;
        *counter = static_cast<int64_t>(static_cast<uint64_t>(step) + 1);
    }
}

/// A thread's elements of one tile, from loading to storing.
template <class T, class Grad, class Copy>
struct Work {
    static constexpr int kWidth = kPackWidth<T>;
    template <class E>
    using ShareOf = Share<E, kWidth, kPacks>;
    static constexpr int kTile = ShareOf<T>::kTile;

    ShareOf<T> param, exp_avg, exp_avg_sq;
    ShareOf<Grad> grad;
    int tensor;
    int size;
    int64_t first;
    bool packed;

    __device__ __forceinline__ void load(const AdamLaunch &a, int64_t tile) {
        tensor = a.params.tensor_of(tile);
        first = (tile - a.params.first_tile(tensor)) * kTile;
        const int64_t rest = a.params.elements(tensor) - first;
        size = static_cast<int>(rest < kTile ? rest : kTile);
        const AdamEntry &entry = a.params[tensor];
        packed = size == kTile && is_pack_aligned<kWidth>(of<T>(entry.param)) &&
                 is_pack_aligned<kWidth>(of<T>(entry.exp_avg)) && is_pack_aligned<kWidth>(of<T>(entry.exp_avg_sq)) &&
                 is_pack_aligned<kWidth>(of<const Grad>(entry.grad)) && is_copy_aligned(entry);
        param.load(of<T>(entry.param), size, packed);
        exp_avg.load(of<T>(entry.exp_avg), size, packed);
        exp_avg_sq.load(of<T>(entry.exp_avg_sq), size, packed);
        grad.load(of<const Grad>(entry.grad), size, packed);
    }

    __device__ __forceinline__ void update(const AdamCoefficients<T> &c) {
        MEZZO_UNROLL
        for (int k = 0; k < ShareOf<T>::kElements; ++k) {
            T g;
            if constexpr (is_half<Grad>) {
                g = static_cast<T>(ptx::to_float(grad[k]));
            } else {
                g = grad[k];
            }
            const AdamElement<T> next = adam_update({param[k], exp_avg[k], exp_avg_sq[k]}, g, c);
            param[k] = next.param;
            exp_avg[k] = next.exp_avg;
            exp_avg_sq[k] = next.exp_avg_sq;
        }
    }

    __device__ __forceinline__ void store(const AdamLaunch &a) {
        const AdamEntry &entry = a.params[tensor];
        exp_avg.template store<true>(of<T>(entry.exp_avg), size, packed);
        exp_avg_sq.template store<true>(of<T>(entry.exp_avg_sq), size, packed);
        if (std::is_same_v<Copy, NoCopy> || entry.copy == nullptr) {
            param.template store<false>(of<T>(entry.param), size, packed);
            return;
        }
        if constexpr (!std::is_same_v<Copy, NoCopy>) {
            param.template store<true>(of<T>(entry.param), size, packed);
            ShareOf<Copy> copy;
            MEZZO_UNROLL
            for (int k = 0; k < copy.kElements; ++k) {
                if constexpr (std::is_same_v<T, float>) {
                    copy[k] = ptx::from_float<Copy>(param[k]);
                } else {
                    copy[k] = convert<Copy>(param[k]);
                }
            }
            copy.template store<false>(of<Copy>(entry.copy), size, packed);
        }
    }

  private:
    /// The tile's elements of one of the tensors.
    template <class E, class Byte>
    __device__ __forceinline__ E *of(Byte *data) const {
        return reinterpret_cast<E *>(data) + first;
    }

    __device__ __forceinline__ bool is_copy_aligned(const AdamEntry &entry) const {
        if constexpr (std::is_same_v<Copy, NoCopy>) {
            return true;
        } else {
            return entry.copy == nullptr || is_pack_aligned<kWidth>(of<Copy>(entry.copy));
        }
    }
};

/// Entries without a copy may be among those with one.
template <class T, class Grad, class Copy>
__global__ void __launch_bounds__(kListThreads, kBlocks<T>) adam_step_kernel(const AdamLaunch a) {
    MEZZO_SHARED(AdamCoefficients<T>, coefficients);
    Work<T, Grad, Copy> work;
    int64_t tile = blockIdx.x;
    work.load(a, tile); // of a list without elements, an empty tile
    // Read together: each takes as long as all three.
    const float found_inf = a.state.found_inf == nullptr ? 0.0F : *a.state.found_inf;
    const int64_t step = threadIdx.x == 0 ? *a.state.step : 0;
    const float inverse_scale = threadIdx.x == 0 ? inverse_of_scale(a.state.grad_scale) : 1.0F;
    if (found_inf != 0) return;
    if (threadIdx.x == 0) coefficients = adam_coefficients<T>(a.state.desc, step, inverse_scale);
    __syncthreads();
    if (threadIdx.x == 0 && a.state.is_last) arrive(a.state.step, step); // when nobody waits for this thread
    const AdamCoefficients<T> c = coefficients;
    while (true) {
        work.update(c);
        work.store(a);
        tile += gridDim.x;
        if (tile >= a.params.tiles()) return;
        work.load(a, tile);
    }
}

/// Groups that one kernel takes: one, and that of the same dtypes without copies.
struct GroupLaunch {
    const AdamGroup *kind;
    const AdamGroup *without_copies; // or null
};

std::vector<GroupLaunch> pair_groups(const std::vector<AdamGroup> &groups) {
    std::vector<GroupLaunch> launches;
    for (const AdamGroup &group : groups) {
        if (group.copy_dtype) launches.push_back({&group, nullptr});
    }
    for (const AdamGroup &group : groups) {
        if (group.copy_dtype) continue;
        const auto partner = std::find_if(launches.begin(), launches.end(), [&](const GroupLaunch &launch) {
            return launch.kind->dtype == group.dtype && launch.kind->grad_dtype == group.grad_dtype;
        });
        if (partner != launches.end()) {
            partner->without_copies = &group;
        } else {
            launches.push_back({&group, nullptr});
        }
    }
    return launches;
}

void step_on_cuda(Device &device, const AdamStep &a) {
    const CudaDevice &cuda = cuda_device(device);
    AdamLaunch call{};
    call.state = {a.desc, a.step.as<int64_t>(), a.grad_scale ? a.grad_scale.as<const float>() : nullptr,
                  a.found_inf ? a.found_inf.as<const float>() : nullptr, false};
    const auto launch_call = [&](auto kernel, int blocks) {
        launch(kernel, call.params.grid(cuda, blocks), kListThreads, 0, cuda.stream(), call);
        call.params.clear();
    };
    const std::vector<GroupLaunch> launches = pair_groups(a.groups);
    for (const GroupLaunch &groups : launches) {
        visit_group(*groups.kind, [&](auto type, auto grad, auto copy) {
            using Kernel =
                Work<typename decltype(type)::type, typename decltype(grad)::type, typename decltype(copy)::type>;
            const auto kernel = adam_step_kernel<typename decltype(type)::type, typename decltype(grad)::type,
                                                 typename decltype(copy)::type>;
            constexpr int blocks = kBlocks<typename decltype(type)::type>;
            for (const AdamGroup *group : {groups.kind, groups.without_copies}) {
                for (size_t k = 0; group != nullptr && k < group->params.size(); ++k) {
                    if (call.params.is_full()) launch_call(kernel, blocks);
                    call.params.add(group->params[k], group->params.elements(k), Kernel::kTile);
                }
            }
            call.state.is_last = &groups == &launches.back();
            launch_call(kernel, blocks);
        });
    }
    if (a.groups.empty()) {
        call.state.is_last = true;
        launch_call(adam_step_kernel<float, float, NoCopy>, kBlocks<float>);
    }
}

const Implementation<AdamStep> cuda_step(MEZZO_DEVICE_TYPE_CUDA, step_on_cuda);

} // namespace
} // namespace mezzo
