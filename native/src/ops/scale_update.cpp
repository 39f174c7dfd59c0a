// SPDX-License-Identifier: MIT
// scale_update: the next dynamic loss scale
//
//   found:  scale = f32(scale * backoff_factor), growth_tracker = 0
//   clean:  growth_tracker + 1 == growth_interval
//             ? scale = f32(scale * growth_factor) unless that is not finite, growth_tracker = 0
//             : growth_tracker += 1
//
//   scale           f32 scalar       found_infs  one f32 scalar for each optimizer
//   growth_tracker  i32 scalar
//
// The products are computed in f64. The scale stops growing at 2^127, and backs off through the subnormals
// down to 0. An interval set below the tracker is not met again before the next backoff, as in PyTorch.
// Source: PyTorch's _amp_update_scale_.
#include "ops/scale_update.h"

#include <mezzo/ops.h>

#include <algorithm>
#include <cmath>

#include "core/descriptor.h"

namespace mezzo {
namespace {

void update_on_cpu(Device &, const ScaleUpdate &a) {
    const bool found = std::any_of(a.found_infs.begin(), a.found_infs.end(),
                                   [](const TensorData &found_inf) { return *found_inf.as<const float>() != 0; });
    float &scale = *a.scale.as<float>();
    int32_t &growth_tracker = *a.growth_tracker.as<int32_t>();
    const LossScale next = next_scale({scale, growth_tracker}, found, a.desc);
    scale = next.scale;
    growth_tracker = next.growth_tracker;
}

const Implementation<ScaleUpdate> cpu_update(MEZZO_DEVICE_TYPE_CPU, update_on_cpu);

void expect_factor(double factor, const char *name) {
    if (std::isfinite(factor) && factor > 0) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.%s is %g, expected a finite number above 0", name, factor);
}

void check_descriptor(const mezzo_scale_update_desc &desc) {
    if (desc.growth_interval < 1) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.growth_interval is %d, expected at least 1", desc.growth_interval);
    }
    expect_factor(desc.growth_factor, "growth_factor");
    expect_factor(desc.backoff_factor, "backoff_factor");
}

void check_tensors(const TensorRef &scale, const TensorRef &growth_tracker, std::span<const TensorRef> found_infs) {
    expect_same_device(growth_tracker, scale);
    expect_scalar(scale);
    expect_dtype(scale, {MEZZO_DTYPE_F32});
    expect_scalar(growth_tracker);
    expect_dtype(growth_tracker, {MEZZO_DTYPE_I32});
    for (const TensorRef &found_inf : found_infs) {
        expect_same_device(found_inf, scale);
        expect_scalar(found_inf);
        expect_dtype(found_inf, {MEZZO_DTYPE_F32});
    }
    OverlapCheck overlap;
    overlap.add_written(scale);
    overlap.add_written(growth_tracker);
    overlap.add_read(found_infs);
    overlap.run();
}

void scale_update(const TensorRef &scale, const TensorRef &growth_tracker, std::span<const TensorRef> found_infs,
                  const mezzo_scale_update_desc &desc) {
    check_descriptor(desc);
    check_tensors(scale, growth_tracker, found_infs);
    run_op(scale.device(), ScaleUpdate{scale, growth_tracker, {found_infs.begin(), found_infs.end()}, desc});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_scale_update(mezzo_tensor scale, mezzo_tensor growth_tracker, const mezzo_tensor *found_infs,
                                int32_t count, const mezzo_scale_update_desc *desc) {
    return mezzo::guard("scale_update", [&] {
        constexpr mezzo_scale_update_desc kDefaults = {sizeof(mezzo_scale_update_desc), 2000, 2.0, 0.5};
        mezzo::expect_count(count, 1);
        mezzo::scale_update(
            mezzo::require_tensor(scale, "scale"), mezzo::require_tensor(growth_tracker, "growth_tracker"),
            mezzo::require_tensors(found_infs, count, "found_infs"), mezzo::read_descriptor(desc, kDefaults));
    });
}
