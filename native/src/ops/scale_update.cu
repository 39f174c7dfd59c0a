// SPDX-License-Identifier: MIT
// scale_update on CUDA: one warp, whose lanes look at the found_infs and whose first lane changes the scale
//
//   found = any found_infs[i] != 0;  scale, growth_tracker, hysteresis_tracker = next_scale(..., found)
//
// The pointers to the found_infs travel in the kernel's parameters, 500 of them, about as many as every driver takes.
// More are first put together into one, in as many launches as it takes. 4 bytes for each found_inf, at most 28 for
// scale, trackers and at_minimum, at most 1 FLOP: the time of a launch.
#include "ops/scale_update.h"

#include <optional>

#include "cuda/cuda_device.h"
#include "device/launch.cuh"

namespace mezzo {
namespace {

struct FoundInfs {
    static constexpr int kCapacity = 500;
    int count;
    const float *data[kCapacity];
};
static_assert(sizeof(FoundInfs) + sizeof(mezzo_scale_update_desc) + sizeof(LossScalePlaces) <= 4096,
              "a kernel's parameters");

/// The same for all lanes of the one warp.
__device__ bool found_any(const FoundInfs &found_infs) {
    bool found = false;
    for (int i = static_cast<int>(threadIdx.x); i < found_infs.count; i += kWarpSize) {
        found = found || *found_infs.data[i] != 0;
    }
    return __any_sync(kFullMask, found) != 0;
}

__global__ void scale_update_kernel(LossScalePlaces places, mezzo_scale_update_desc desc, const FoundInfs found_infs) {
    const bool found = found_any(found_infs);
    if (threadIdx.x == 0) places.update(found, desc);
}

/// *found = 1 or 0, where `found` may be one of found_infs.
__global__ void scale_update_gather_kernel(float *found, const FoundInfs found_infs) {
    const bool any = found_any(found_infs);
    if (threadIdx.x == 0) *found = any ? 1.0F : 0.0F;
}

void update_on_cuda(Device &device, const ScaleUpdate &a) {
    const cudaStream_t stream = cuda_device(device).stream();
    std::optional<Scratch<float>> gathered;
    FoundInfs found_infs{};
    for (const TensorData &found_inf : a.found_infs) {
        if (found_infs.count == FoundInfs::kCapacity) {
            if (!gathered) gathered.emplace(device.memory(), 1);
            launch(scale_update_gather_kernel, 1, kWarpSize, 0, stream, gathered->data(), found_infs);
            found_infs.count = 0;
            found_infs.data[found_infs.count++] = gathered->data();
        }
        found_infs.data[found_infs.count++] = found_inf.as<const float>();
    }
    launch(scale_update_kernel, 1, kWarpSize, 0, stream, places_of(a), a.desc, found_infs);
}

const Implementation<ScaleUpdate> cuda_update(MEZZO_DEVICE_TYPE_CUDA, update_on_cuda);

} // namespace
} // namespace mezzo
