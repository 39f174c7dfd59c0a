// SPDX-License-Identifier: MIT
// scale_update on CUDA: one warp, whose lanes look at the found_infs and whose first lane changes the scale
//
//   found = any found_infs[i] != 0;  scale, growth_tracker, hysteresis_tracker = next_scale(..., found)
//
// The pointers to the found_infs and summaries travel in the kernel's parameters, 240 pairs, about as many as every
// driver takes. More are first put together into one finding, in as many launches as it takes. 4 bytes for each
// found_inf, 16 for each summary of one that is set, at most 32 for scale, trackers, cause and loss, at most 1 FLOP:
// the time of a launch.
#include "ops/scale_update.h"

#include <optional>

#include "cuda/cuda_device.h"
#include "device/launch.cuh"

namespace mezzo {
namespace {

struct FoundInfs {
    static constexpr int kCapacity = 240;
    const Finding *before; // of those that did not fit; may be null
    int count;
    FoundInf optimizers[kCapacity];
};
static_assert(sizeof(FoundInfs) + sizeof(mezzo_scale_update_desc) + sizeof(LossScalePlaces) <= 4096,
              "a kernel's parameters");

/// The same for all lanes of the one warp.
__device__ Finding find(const FoundInfs &found_infs) {
    Finding mine{false, false};
    if (found_infs.before != nullptr) mine = *found_infs.before;
    for (int i = static_cast<int>(threadIdx.x); i < found_infs.count; i += kWarpSize) {
        const Finding finding = Finding::of(found_infs.optimizers[i]);
        mine = {mine.found || finding.found, mine.curable || finding.curable};
    }
    return {__any_sync(kFullMask, mine.found) != 0, __any_sync(kFullMask, mine.curable) != 0};
}

__global__ void scale_update_kernel(LossScalePlaces places, mezzo_scale_update_desc desc, const FoundInfs found_infs) {
    const Finding finding = find(found_infs);
    if (threadIdx.x == 0) places.update(finding, desc);
}

/// `finding` may be found_infs.before.
__global__ void scale_update_gather_kernel(Finding *finding, const FoundInfs found_infs) {
    const Finding all = find(found_infs);
    if (threadIdx.x == 0) *finding = all;
}

void update_on_cuda(Device &device, const ScaleUpdate &a) {
    const cudaStream_t stream = cuda_device(device).stream();
    std::optional<Scratch<Finding>> gathered;
    FoundInfs found_infs{};
    for (const FoundInf &optimizer : a.found_infs) {
        if (found_infs.count == FoundInfs::kCapacity) {
            if (!gathered) gathered.emplace(device.memory(), 1);
            launch(scale_update_gather_kernel, 1, kWarpSize, 0, stream, gathered->data(), found_infs);
            found_infs.before = gathered->data();
            found_infs.count = 0;
        }
        found_infs.optimizers[found_infs.count++] = optimizer;
    }
    launch(scale_update_kernel, 1, kWarpSize, 0, stream, a.places, a.desc, found_infs);
}

const Implementation<ScaleUpdate> cuda_update(MEZZO_DEVICE_TYPE_CUDA, update_on_cuda);

} // namespace
} // namespace mezzo
