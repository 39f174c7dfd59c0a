// SPDX-License-Identifier: MIT
// lamb on CUDA: three launches for each table of parameters of one combination of dtypes (device/tensor_list.cuh)
//
// In the first, a warp takes a block of kReductionBlock elements of one parameter, moves its moments and adds the
// squares of parameters and updates as device/reduce.cuh says. In the second, a thread block makes the step size of one
// parameter. In the third, tiles are updated as in device/optimizer.cuh, and the counters moved on by the block that
// comes last. Functions of ops/lamb.h, shared with the CPU, so its bits, NaN payloads aside.
// f32 parameters with an f32 gradient: 24 bytes an element in the first, one element a lane, 16 in the third, in
// accesses of 16 bytes; 2 more for a copy. f64 arithmetic bounds the first where it runs at 1/64 of f32's rate.
#include "ops/lamb.h"

#include "device/optimizer.cuh"
#include "device/reduce.cuh"

namespace mezzo {
namespace {

/// One parameter, and where what is computed of it goes.
struct LambEntry {
    ParamEntry<2> at;
    int64_t first_sum; // of its blocks
    int64_t index;     // of its step size
};

struct LambCall {
    StepInputs inputs;
    mezzo_lamb_desc desc;
    double *param_sums;
    double *update_sums;
    double *step_sizes;
    bool is_last; // table of the step
};

struct LambLaunch {
    LambCall call;
    TensorTable<LambEntry, table_capacity<LambEntry>(sizeof(LambCall))> params;
};
static_assert(sizeof(LambLaunch) <= kParameterBytes);

/// Rows of 32 elements that a warp has under way: four tensors of each, up to 256 bytes of a lane.
constexpr int kLambRows = 8;

template <class T>
__device__ __forceinline__ LambRule::Coefficients<T> coefficients_of(const LambCall &call) {
    return LambRule::coefficients<T>(call.inputs, call.desc, static_cast<uint64_t>(*call.inputs.step) + 1);
}

template <class Param, class Grad>
__global__ void __launch_bounds__(kSumThreads) lamb_moments_kernel(const LambLaunch a) {
    using T = UpdateType<Param>;
    MEZZO_SHARED(LambRule::Coefficients<T>, shared);
    if (a.call.inputs.is_skipped()) return;
    if (threadIdx.x == 0) shared = coefficients_of<T>(a.call);
    __syncthreads();
    const LambRule::Coefficients<T> c = shared;
    run_warp_blocks(a.params, [&](int tensor, int64_t block, int64_t begin, int64_t end) {
        const LambEntry &entry = a.params[tensor];
        const T divisor = c.divisor(entry.at.grad_norm);
        auto *const ms = reinterpret_cast<T *>(entry.at.states[0]);
        auto *const vs = reinterpret_cast<T *>(entry.at.states[1]);
        const ParamElements<Param> params(entry.at);
        const auto *const grads = reinterpret_cast<const Grad *>(entry.at.grad);
        double update_sum = 0; // of the lane, in the order in which the parameters' squares are added
        struct Element {
            T param;
            Grad grad;
            T m, v;
        };
        const auto load = [=](int64_t i) { return Element{params.get(i), grads[i], ms[i], vs[i]}; };
        const auto square = [&](int64_t i, Element element) {
            const T param = element.param;
            LambRule::move_moments(param, convert<T>(element.grad), divisor, element.m, element.v, c);
            ms[i] = element.m;
            vs[i] = element.v;
            const auto u = static_cast<double>(LambRule::update(param, element.m, element.v, c));
            update_sum += u * u;
            const auto p = static_cast<double>(param);
            return p * p;
        };
        const double param_sum = warp_sum<kLambRows>(begin, end, load, square);
        update_sum = sum_of_lanes(update_sum);
        if (threadIdx.x % kWarpSize == 0) {
            a.call.param_sums[entry.first_sum + block] = param_sum;
            a.call.update_sums[entry.first_sum + block] = update_sum;
        }
    });
}

/// A thread block for each parameter.
__global__ void __launch_bounds__(kSumThreads) lamb_step_size_kernel(const LambLaunch a) {
    const LambCall &call = a.call;
    if (call.inputs.is_skipped()) return;
    const auto tensor = static_cast<int>(blockIdx.x);
    const LambEntry &entry = a.params[tensor];
    const int64_t blocks = reduction_blocks(a.params.elements(tensor));
    const double params = sum_detail::sum_of_sums(call.param_sums + entry.first_sum, blocks);
    const double updates = sum_detail::sum_of_sums(call.update_sums + entry.first_sum, blocks);
    if (threadIdx.x != 0) return;
    const double lr = call.desc.lr * call.inputs.lr_factor(*call.inputs.step);
    call.step_sizes[entry.index] = LambRule::step_size(lr, params, updates, call.desc);
}

template <class Param>
__global__ void __launch_bounds__(kListThreads, optimizer_detail::kBlocks<Param>)
    lamb_update_kernel(const LambLaunch a) {
    using T = UpdateType<Param>;
    constexpr int kWidth = kPackWidth<T>;
    constexpr int kPacks = optimizer_detail::kPacks;
    MEZZO_SHARED(LambRule::Coefficients<T>, shared);
    const StepInputs &inputs = a.call.inputs;
    if (inputs.is_skipped()) {
        optimizer_detail::count_skipped(inputs, a.call.is_last);
        return;
    }
    if (threadIdx.x == 0) shared = coefficients_of<T>(a.call);
    __syncthreads();
    if (threadIdx.x == 0 && a.call.is_last) optimizer_detail::arrive(inputs, &arrivals<LambRule>);
    const LambRule::Coefficients<T> c = shared;
    for (int64_t tile = blockIdx.x; tile < a.params.tiles(); tile += gridDim.x) {
        const int tensor = a.params.tensor_of(tile);
        const LambEntry &entry = a.params[tensor];
        const int64_t first = (tile - a.params.first_tile(tensor)) * Share<T, kWidth, kPacks>::kTile;
        const int64_t rest = a.params.elements(tensor) - first;
        constexpr int64_t kTile = Share<T, kWidth, kPacks>::kTile;
        const int size = static_cast<int>(rest < kTile ? rest : kTile);
        using Stored = optimizer_detail::StoredParam<Param>;
        const auto *const params = reinterpret_cast<const Stored *>(entry.at.param) + first;
        const auto *const ms = reinterpret_cast<const T *>(entry.at.states[0]) + first;
        const auto *const vs = reinterpret_cast<const T *>(entry.at.states[1]) + first;
        const bool packed = size == kTile && is_pack_aligned<kWidth>(params) && is_pack_aligned<kWidth>(ms) &&
                            is_pack_aligned<kWidth>(vs) &&
                            is_pack_aligned<kWidth>(reinterpret_cast<const Half *>(entry.at.copy));
        optimizer_detail::ParamShare<Param, kWidth> param;
        Share<T, kWidth, kPacks> m, v;
        param.load(entry.at, first, size, packed);
        m.load(ms, size, packed);
        v.load(vs, size, packed);
        const auto step_size = static_cast<T>(a.call.step_sizes[entry.index]);
        MEZZO_UNROLL
        for (int i = 0; i < m.kElements; ++i) {
            const T p = param.get(i);
            param.set(i, p - step_size * LambRule::update(p, m[i], v[i], c));
        }
        param.store(entry.at, first, size, packed);
    }
}

/// The three launches of a table, whose tiles are blocks of sums in the first and tiles of elements in the third.
template <class Param, class Grad>
void launch_table(const CudaDevice &cuda, const LambCall &call,
                  const std::vector<std::pair<LambEntry, int64_t>> &params) {
    LambLaunch by_blocks{};
    LambLaunch by_tiles{};
    by_blocks.call = by_tiles.call = call;
    using T = UpdateType<Param>;
    constexpr int64_t kTile = Share<T, kPackWidth<T>, optimizer_detail::kPacks>::kTile;
    for (const auto &[entry, elements] : params) {
        by_blocks.params.add(entry, elements, kReductionBlock);
        by_tiles.params.add(entry, elements, kTile);
    }
    if (!params.empty()) {
        launch(lamb_moments_kernel<Param, Grad>, by_blocks.params.grid(cuda, kSumBlocks), kSumThreads, 0, cuda.stream(),
               by_blocks);
        launch(lamb_step_size_kernel, dim3(static_cast<unsigned int>(params.size())), kSumThreads, 0, cuda.stream(),
               by_blocks);
    }
    launch(lamb_update_kernel<Param>, by_tiles.params.grid(cuda, optimizer_detail::kBlocks<Param>), kListThreads, 0,
           cuda.stream(), by_tiles);
}

void lamb_on_cuda(Device &device, const OptimizerStep<LambRule> &a) {
    constexpr size_t kCapacity = table_capacity<LambEntry>(sizeof(LambCall));
    const CudaDevice &cuda = cuda_device(device);
    const Scratch<double> scratch(device.memory(), lamb_room(a));
    LambCall call{a.inputs, a.desc, nullptr, nullptr, nullptr, false};
    for (const auto &group : a.groups) {
        const LambLayout layout = LambLayout::of(group);
        const int64_t room = layout.first_sums.back();
        const size_t count = group.params.size();
        call.param_sums = scratch.data();
        call.update_sums = scratch.data() + room;
        call.step_sizes = scratch.data() + 2 * room;
        for (size_t first = 0; first < count; first += kCapacity) {
            std::vector<std::pair<LambEntry, int64_t>> params;
            for (size_t k = first; k < std::min(count, first + kCapacity); ++k) {
                params.push_back(
                    {{group.params[k], layout.first_sums[k], static_cast<int64_t>(k)}, group.params.elements(k)});
            }
            call.is_last = &group == &a.groups.back() && first + kCapacity >= count;
            visit_group(group, [&](auto param, auto grad) {
                launch_table<typename decltype(param)::type, typename decltype(grad)::type>(cuda, call, params);
            });
        }
    }
    if (a.groups.empty()) {
        call.is_last = true;
        launch_table<float, float>(cuda, call, {});
    }
}

const Implementation<OptimizerStep<LambRule>> cuda_step(MEZZO_DEVICE_TYPE_CUDA, lamb_on_cuda);

} // namespace
} // namespace mezzo
