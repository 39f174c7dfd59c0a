// SPDX-License-Identifier: MIT
// An optimizer's step on CUDA: one launch for all parameters of one combination of dtypes (device/tensor_list.cuh)
//
// Functions of ops/optimizer.h and of the Rule, shared with the CPU, so its bits, NaN payloads aside.
//
// Step counter, learning rate, scale and found_inf are read on the device. One thread of each block turns them into the
// coefficients while the block's first loads are under way. In the last launch of a step the blocks count themselves
// once they have read the counters, and the last one to come writes them: nobody reads them after that, the launches
// before are over, and no launch is spent on it. Where found_inf is set, nothing is written but lr_step, by one thread,
// since the others do not need it, and nobody counts.
// Accesses are of 16 bytes for what is computed in, 8 for halves beside f32, 4 for halves beside f64. The copy, or
// where there is none the parameter, is read next by the forward pass and may stay in a cache; the rest is streamed.
//
// Usage, in ops/<op>.cu:
//
//     const Implementation<OptimizerStep<AdamRule>> cuda_step(MEZZO_DEVICE_TYPE_CUDA, step_on_cuda<AdamRule>);
#pragma once

#include "device/tensor_list.cuh"
#include "ops/optimizer.h"

namespace mezzo {

/// One optimizer's step for one group of parameters, whose tensors are in a table.
template <class Rule>
struct OptimizerLaunch {
    using Entry = ParamEntry<Rule::kStates>;

    struct Step {
        StepInputs inputs;
        typename Rule::Desc desc;
        bool is_last; // launch of the step
    };

    Step step;
    TensorTable<Entry, table_capacity<Entry>(sizeof(Step))> params;
};

namespace optimizer_detail {

inline constexpr int kPacks = 2;

/// Of a multiprocessor: f64 needs more registers than three leave on compute capability 7.5, two shares of a parameter
/// more than they do on 8.6 and 8.9.
template <class Param>
inline constexpr int kBlocks = sizeof(Param) == 8 || std::is_same_v<Param, Split> ? 2 : 3;

/// What all threads of a block compute with.
template <class Rule, class T>
struct Shared {
    GradFactors<T> factors;
    typename Rule::template Coefficients<T> coefficients;
};

/// Counts a block that has read the counters, by one of its threads; `arrivals` is 0 between launches.
__device__ __forceinline__ void arrive(const StepInputs &inputs, unsigned int *arrivals) {
    __threadfence(); // the counters are read before the arrival shows
    if (atomicAdd(arrivals, 1U) == gridDim.x - 1) {
        __threadfence();
        *arrivals = 0;
        count_one(inputs.step);
        if (inputs.lr_step != nullptr) count_one(inputs.lr_step);
    }
}

/// Counts a step that is skipped, in its last launch, by one thread of the grid.
__device__ __forceinline__ void count_skipped(const StepInputs &inputs, bool is_last) {
    const bool counts = is_last && inputs.lr_step != nullptr;
    if (counts && blockIdx.x == 0 && threadIdx.x == 0) count_one(inputs.lr_step);
}

/// The tile's elements of a tensor, which begin at `first`; null stays null.
template <class E, class Byte>
__device__ __forceinline__ E *elements_from(Byte *data, int64_t first) {
    return data == nullptr ? nullptr : reinterpret_cast<E *>(data) + first;
}

/// A thread's share of a tile of a parameter, with what is kept beside it.
template <class Param, int kWidth>
class ParamShare {
  public:
    template <class Entry>
    __device__ __forceinline__ void load(const Entry &entry, int64_t first, int size, bool packed) {
        values_.load(elements_from<Param>(entry.param, first), size, packed);
    }

    __device__ __forceinline__ UpdateType<Param> get(int i) { return widen(values_[i]); }
    __device__ __forceinline__ void set(int i, UpdateType<Param> value) { values_[i] = convert<Param>(value); }

    /// Stores the parameter and its copy, of which the one that the forward pass reads may stay in a cache.
    template <class Entry>
    __device__ __forceinline__ void store(const Entry &entry, int64_t first, int size, bool packed) {
        Param *const param = elements_from<Param>(entry.param, first);
        if (entry.copy == nullptr) {
            values_.template store<false>(param, size, packed);
            return;
        }
        if constexpr (!is_half<Param>) {
            values_.template store<true>(param, size, packed);
            if (entry.copy_dtype == MEZZO_DTYPE_F16) {
                store_copy(elements_from<Half>(entry.copy, first), size, packed);
            } else {
                store_copy(elements_from<BFloat16>(entry.copy, first), size, packed);
            }
        }
    }

  private:
    template <class Copy>
    __device__ __forceinline__ void store_copy(Copy *to, int size, bool packed) {
        Share<Copy, kWidth, kPacks> copy;
        MEZZO_UNROLL
        for (int i = 0; i < copy.kElements; ++i) copy[i] = convert<Copy>(values_[i]);
        copy.template store<false>(to, size, packed);
    }

    Share<Param, kWidth, kPacks> values_;
};

template <int kWidth>
class ParamShare<Split, kWidth> {
  public:
    template <class Entry>
    __device__ __forceinline__ void load(const Entry &entry, int64_t first, int size, bool packed) {
        high_.load(elements_from<uint16_t>(entry.param, first), size, packed);
        low_.load(elements_from<uint16_t>(entry.copy, first), size, packed);
    }

    __device__ __forceinline__ float get(int i) { return Split{high_[i], low_[i]}.value(); }
    __device__ __forceinline__ void set(int i, float value) {
        const Split split = Split::of(value);
        high_[i] = split.high;
        low_[i] = split.low;
    }

    template <class Entry>
    __device__ __forceinline__ void store(const Entry &entry, int64_t first, int size, bool packed) {
        high_.template store<false>(elements_from<uint16_t>(entry.param, first), size, packed);
        low_.template store<true>(elements_from<uint16_t>(entry.copy, first), size, packed);
    }

  private:
    Share<uint16_t, kWidth, kPacks> high_;
    Share<uint16_t, kWidth, kPacks> low_;
};

/// The bytes of a parameter's element in memory.
template <class Param>
using StoredParam = std::conditional_t<std::is_same_v<Param, Split>, uint16_t, Param>;

/// A thread's elements of one tile, from loading to storing.
template <class Rule, class Param, class Grad>
struct Work {
    using T = UpdateType<Param>;
    static constexpr int kWidth = kPackWidth<T>;
    template <class E>
    using ShareOf = Share<E, kWidth, kPacks>;
    static constexpr int kElements = ShareOf<T>::kElements;
    static constexpr int kTile = ShareOf<T>::kTile;

    ParamShare<Param, kWidth> param;
    ShareOf<T> states[slots_of(Rule::kStates)];
    ShareOf<Grad> grad;
    int tensor;
    int size;
    int64_t first;
    bool packed;

    __device__ __forceinline__ void load(const OptimizerLaunch<Rule> &a, int64_t tile) {
        tensor = a.params.tensor_of(tile);
        first = (tile - a.params.first_tile(tensor)) * kTile;
        const int64_t rest = a.params.elements(tensor) - first;
        size = static_cast<int>(rest < kTile ? rest : kTile);
        const auto &entry = a.params[tensor];
        packed = size == kTile && is_pack_aligned<kWidth>(of<StoredParam<Param>>(entry.param)) &&
                 is_pack_aligned<kWidth>(of<const Grad>(entry.grad)) &&
                 is_pack_aligned<kWidth>(of<Half>(entry.copy)); // null is
        MEZZO_UNROLL
        for (int k = 0; k < Rule::kStates; ++k) packed = packed && is_pack_aligned<kWidth>(of<T>(entry.states[k]));
        param.load(entry, first, size, packed);
        MEZZO_UNROLL
        for (int k = 0; k < Rule::kStates; ++k) states[k].load(of<T>(entry.states[k]), size, packed);
        grad.load(of<const Grad>(entry.grad), size, packed);
    }

    __device__ __forceinline__ void update(const OptimizerLaunch<Rule> &a, const Shared<Rule, T> &shared) {
        const T coefficient = shared.factors.coefficient(a.params[tensor].grad_norm);
        MEZZO_UNROLL
        for (int i = 0; i < kElements; ++i) {
            T state[slots_of(Rule::kStates)];
            MEZZO_UNROLL
            for (int k = 0; k < Rule::kStates; ++k) state[k] = states[k][i];
            const T g = shared.factors.apply(convert<T>(grad[i]), coefficient);
            param.set(i, Rule::update(param.get(i), g, state, shared.coefficients));
            MEZZO_UNROLL
            for (int k = 0; k < Rule::kStates; ++k) states[k][i] = state[k];
        }
    }

    __device__ __forceinline__ void store(const OptimizerLaunch<Rule> &a) {
        const auto &entry = a.params[tensor];
        MEZZO_UNROLL
        for (int k = 0; k < Rule::kStates; ++k) states[k].template store<true>(of<T>(entry.states[k]), size, packed);
        param.store(entry, first, size, packed);
    }

  private:
    template <class E, class Byte>
    __device__ __forceinline__ E *of(Byte *data) const {
        return elements_from<E>(data, first);
    }
};

/// What the kernel does.
template <class Rule, class Param, class Grad>
__device__ __forceinline__ void run(const OptimizerLaunch<Rule> &a, Shared<Rule, UpdateType<Param>> *shared,
                                    unsigned int *arrivals) {
    using T = UpdateType<Param>;
    Work<Rule, Param, Grad> work;
    int64_t tile = blockIdx.x;
    work.load(a, tile); // of a list without elements, an empty tile
    const StepInputs &inputs = a.step.inputs;
    // Read together: each takes as long as all of them.
    const bool is_skipped = inputs.is_skipped();
    const int64_t applied = threadIdx.x == 0 ? *inputs.step : 0;
    const double lr_factor = threadIdx.x == 0 ? inputs.lr_factor(applied) : 0;
    if (is_skipped) {
        count_skipped(inputs, a.step.is_last);
        return;
    }
    if (threadIdx.x == 0) {
        *shared = {GradFactors<T>::of(inputs), Rule::template coefficients<T>(a.step.desc, a.step.desc.lr * lr_factor,
                                                                              static_cast<uint64_t>(applied) + 1)};
    }
    __syncthreads();
    if (threadIdx.x == 0 && a.step.is_last) arrive(inputs, arrivals); // when nobody waits for this thread
    const Shared<Rule, T> all = *shared;
    while (true) {
        work.update(a, all);
        work.store(a);
        tile += gridDim.x;
        if (tile >= a.params.tiles()) return;
        work.load(a, tile);
    }
}

} // namespace optimizer_detail

/// Blocks of the launch under way that have read the counters; 0 between launches. A device has one stream, so one
/// variable is enough for all launches of a Rule.
template <class Rule>
__device__ unsigned int arrivals = 0;

template <class Rule, class Param, class Grad>
__global__ void __launch_bounds__(kListThreads, optimizer_detail::kBlocks<Param>)
    optimizer_step_kernel(const OptimizerLaunch<Rule> a) {
    using Shared = optimizer_detail::Shared<Rule, UpdateType<Param>>;
    MEZZO_SHARED(Shared, shared);
    optimizer_detail::run<Rule, Param, Grad>(a, &shared, &arrivals<Rule>);
}

template <class Rule>
void step_on_cuda(Device &device, const OptimizerStep<Rule> &a) {
    static_assert(sizeof(OptimizerLaunch<Rule>) <= kParameterBytes);
    const CudaDevice &cuda = cuda_device(device);
    OptimizerLaunch<Rule> call{};
    call.step = {a.inputs, a.desc, false};
    const auto launch_call = [&](auto kernel, int blocks) {
        launch(kernel, call.params.grid(cuda, blocks), kListThreads, 0, cuda.stream(), call);
        call.params.clear();
    };
    for (const auto &group : a.groups) {
        visit_group(group, [&](auto param, auto grad) {
            using Param = typename decltype(param)::type;
            using Grad = typename decltype(grad)::type;
            constexpr auto kTile = optimizer_detail::Work<Rule, Param, Grad>::kTile;
            const auto kernel = optimizer_step_kernel<Rule, Param, Grad>;
            constexpr int kBlocks = optimizer_detail::kBlocks<Param>;
            for (size_t k = 0; k < group.params.size(); ++k) {
                if (call.params.is_full()) launch_call(kernel, kBlocks);
                call.params.add(group.params[k], group.params.elements(k), kTile);
            }
            call.step.is_last = &group == &a.groups.back();
            launch_call(kernel, kBlocks);
        });
    }
    if (a.groups.empty()) {
        call.step.is_last = true;
        launch_call(optimizer_step_kernel<Rule, float, float>, optimizer_detail::kBlocks<float>);
    }
}

} // namespace mezzo
