// SPDX-License-Identifier: MIT
// unscale on CUDA: one launch for all gradients, whatever their dtypes (device/tensor_list.cuh)
//
//   found_inf = 1 if any grads[k][i] is Inf or NaN;  grads[k][i] *= 1 / scale
//
// Every thread makes the factor from the scale on the device; where it is 1, or only a check is wanted, nothing is
// written. Inf and NaN are told by their exponents; each warp that met one stores a plain 1, so that the result does
// not depend on who comes last. Elementwise: the CPU's bits, NaN payloads aside.
// 2 sizeof(T) bytes and 1 FLOP an element, half of the bytes and no FLOP to check only, in accesses of 16 bytes, four
// under way in each thread.
#include "ops/unscale.h"

#include "device/tensor_list.cuh"

namespace mezzo {
namespace {

constexpr int kPacks = 4;
constexpr int kBlocks = 4; // of a multiprocessor

template <class T>
using GradShare = Share<T, kPackWidth<T>, kPacks>;

struct Grad {
    std::byte *data;
    mezzo_dtype dtype;
};

struct UnscaleLaunch {
    float *found_inf;
    const float *scale; // null for 1
    bool check_only;
    TensorTable<Grad, table_capacity<Grad>(3 * sizeof(int64_t))> grads;
};
static_assert(sizeof(UnscaleLaunch) <= kParameterBytes);

/// Unscales tile `number` of a gradient, and returns whether all of the thread's elements were finite before.
template <class T>
__device__ __forceinline__ bool unscale_tile(std::byte *data, int64_t elements, int64_t number, bool multiply,
                                             float factor) {
    constexpr int64_t kTile = GradShare<T>::kTile;
    T *const tile = reinterpret_cast<T *>(data) + number * kTile;
    const int64_t rest = elements - number * kTile;
    const bool packed = rest >= kTile && is_pack_aligned<kPackWidth<T>>(tile);
    const int size = static_cast<int>(rest < kTile ? rest : kTile);

    GradShare<T> share;
    share.load(tile, size, packed);
    bool finite = true;
    MEZZO_UNROLL
    for (int k = 0; k < share.kElements; ++k) finite = finite && is_finite(share[k]);
    if (multiply) {
        MEZZO_UNROLL
        for (int k = 0; k < share.kElements; ++k) {
            if constexpr (is_half<T>) {
                share[k] = ptx::from_float<T>(ptx::to_float(share[k]) * factor);
            } else {
                share[k] = share[k] * factor;
            }
        }
        share.template store<false>(tile, size, packed);
    }
    return finite;
}

__global__ void __launch_bounds__(kListThreads, kBlocks) unscale_kernel(const UnscaleLaunch a) {
    const float factor = inverse_of_scale(a.scale);
    const bool multiply = !a.check_only && factor != 1;
    bool finite = true;
    for (int64_t tile = blockIdx.x; tile < a.grads.tiles(); tile += gridDim.x) {
        const int tensor = a.grads.tensor_of(tile);
        const Grad grad = a.grads[tensor];
        const int64_t elements = a.grads.elements(tensor);
        const int64_t number = tile - a.grads.first_tile(tensor);
        bool tile_finite;
        if (grad.dtype == MEZZO_DTYPE_F32) {
            tile_finite = unscale_tile<float>(grad.data, elements, number, multiply, factor);
        } else if (grad.dtype == MEZZO_DTYPE_F16) {
            tile_finite = unscale_tile<Half>(grad.data, elements, number, multiply, factor);
        } else if (grad.dtype == MEZZO_DTYPE_BF16) {
            tile_finite = unscale_tile<BFloat16>(grad.data, elements, number, multiply, factor);
        } else {
            tile_finite = unscale_tile<double>(grad.data, elements, number, multiply, factor);
        }
        finite = finite && tile_finite;
    }
    report_any(a.found_inf, !finite);
}

void unscale_on_cuda(Device &device, const Unscale &a) {
    const CudaDevice &cuda = cuda_device(device);
    UnscaleLaunch call{};
    call.found_inf = a.found_inf.as<float>();
    call.scale = a.scale ? a.scale.as<const float>() : nullptr;
    call.check_only = a.check_only;
    const auto launch_call = [&] {
        if (call.grads.tiles() == 0) return;
        launch(unscale_kernel, call.grads.grid(cuda, kBlocks), kListThreads, 0, cuda.stream(), call);
        call.grads.clear();
    };
    for (const UnscaleGroup &group : a.groups) {
        const int64_t tile = visit_floating_dtype(
            group.dtype, [](auto tag) -> int64_t { return GradShare<typename decltype(tag)::type>::kTile; });
        for (size_t k = 0; k < group.grads.size(); ++k) {
            if (call.grads.is_full()) launch_call();
            call.grads.add({group.grads[k], group.dtype}, group.grads.elements(k), tile);
        }
    }
    launch_call();
}

const Implementation<Unscale> cuda_unscale(MEZZO_DEVICE_TYPE_CUDA, unscale_on_cuda);

} // namespace
} // namespace mezzo
