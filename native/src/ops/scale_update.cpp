// SPDX-License-Identifier: MIT
// scale_update: the next dynamic loss scale
//
//   found:  growth_tracker = 0
//           hysteresis_tracker > 1 ? hysteresis_tracker -= 1 : scale = f32(max(scale * backoff_factor, min_scale)),
//           unless no scale cures it: the gradients hold NaN without Inf, and the loss was not finite or scale <= 1
//   clean:  growth_tracker += 1;  at the interval scale = f32(min(scale * growth_factor, max_scale)), unless that is
//           not finite
//
//   scale           f32 scalar       hysteresis_tracker, cause  i32 scalars; may be missing
//   growth_tracker  i32 scalar       loss_nonfinite             f32 scalar; may be missing
//   found_infs, grad_summaries       an f32 scalar and an i64 [5] for each optimizer; the latter may be missing
//
// The products are computed in f64. Without a ceiling the scale stops growing at 2^127; without a floor it backs off
// through the subnormals down to 0. An interval set below the tracker is not met again before the next backoff, as in
// PyTorch, where growth restarts.
// Sources: PyTorch's _amp_update_scale_ (the defaults); apex's amp.scaler.LossScaler (max_scale 2^24), its
// update_scale_hysteresis (refill on clean steps) and fp16_utils.DynamicLossScaler (growth repeats, floor 1);
// DeepSpeed's DynamicLossScaler (growth repeats after the first, floor 1, hysteresis); Megatron-LM's DynamicGradScaler
// (hysteresis 2, floor 1).
#include "ops/scale_update.h"

#include <mezzo/ops.h>

#include <algorithm>
#include <cmath>

#include "core/descriptor.h"

namespace mezzo {
namespace {

void update_on_cpu(Device &, const ScaleUpdate &a) {
    Finding all{false, false};
    for (const FoundInf &optimizer : a.found_infs) {
        const Finding finding = Finding::of(optimizer);
        all = {all.found || finding.found, all.curable || finding.curable};
    }
    a.places.update(all, a.desc);
}

const Implementation<ScaleUpdate> cpu_update(MEZZO_DEVICE_TYPE_CPU, update_on_cpu);

void expect_factor(double factor, const char *name) {
    if (std::isfinite(factor) && factor > 0) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.%s is %g, expected a finite number above 0", name, factor);
}

void expect_bound(double bound, const char *name) {
    if (bound == 0) return;
    if (bound > 0 && bound <= std::numeric_limits<float>::max() && static_cast<float>(bound) > 0) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.%s is %g, expected 0 or a finite number above 0 in f32", name, bound);
}

void check_descriptor(const mezzo_scale_update_desc &desc) {
    if (desc.growth_interval < 1) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.growth_interval is %d, expected at least 1", desc.growth_interval);
    }
    expect_factor(desc.growth_factor, "growth_factor");
    expect_factor(desc.backoff_factor, "backoff_factor");
    expect_bound(desc.min_scale, "min_scale");
    expect_bound(desc.max_scale, "max_scale");
    if (desc.max_scale > 0 && desc.max_scale < desc.min_scale) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.max_scale is %g, expected 0 or at least desc.min_scale, %g",
             desc.max_scale, desc.min_scale);
    }
    if (desc.hysteresis < 0) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.hysteresis is %d, expected at least 0", desc.hysteresis);
    }
    expect_enumerator(desc.growth, MEZZO_GROWTH_REPEATS_AFTER_FIRST, "growth", "growth");
    expect_enumerator(desc.refill, MEZZO_HYSTERESIS_REFILL_ON_CLEAN_STEP, "hysteresis_refill", "refill");
}

struct Tensors {
    TensorRef scale, growth_tracker, hysteresis_tracker, cause, loss_nonfinite;
    std::vector<TensorRef> found_infs, grad_summaries;
};

void expect_scalar_of(const TensorRef &tensor, mezzo_dtype dtype, const TensorRef &scale) {
    expect_same_device(tensor, scale);
    expect_scalar(tensor);
    expect_dtype(tensor, {dtype});
}

void check_tensors(const Tensors &tensors, const mezzo_scale_update_desc &desc) {
    const auto &[scale, growth_tracker, hysteresis_tracker, cause, loss_nonfinite, found_infs, grad_summaries] =
        tensors;
    expect_scalar_of(scale, MEZZO_DTYPE_F32, scale);
    expect_scalar_of(growth_tracker, MEZZO_DTYPE_I32, scale);
    expect_scalar_of(hysteresis_tracker, MEZZO_DTYPE_I32, scale);
    expect_scalar_of(cause, MEZZO_DTYPE_I32, scale);
    expect_scalar_of(loss_nonfinite, MEZZO_DTYPE_F32, scale);
    if (!hysteresis_tracker && desc.hysteresis > 1) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "hysteresis_tracker is missing, expected i32[] as desc.hysteresis is %d",
             desc.hysteresis);
    }
    for (const TensorRef &found_inf : found_infs) expect_scalar_of(found_inf, MEZZO_DTYPE_F32, scale);
    for (const TensorRef &summary : grad_summaries) {
        if (!summary) continue;
        expect_same_device(summary, scale);
        expect_dtype(summary, {MEZZO_DTYPE_I64});
        expect_shape(summary, {MEZZO_GRAD_SUMMARY_LENGTH});
    }
    OverlapCheck overlap;
    for (const TensorRef *written : {&scale, &growth_tracker, &hysteresis_tracker, &cause, &loss_nonfinite}) {
        overlap.add_written(*written);
    }
    overlap.add_read(found_infs);
    overlap.add_read(grad_summaries);
    overlap.run();
}

void scale_update(const Tensors &tensors, const mezzo_scale_update_desc &desc) {
    check_descriptor(desc);
    check_tensors(tensors, desc);
    ScaleUpdate update{{data_or_null<float>(tensors.scale), data_or_null<int32_t>(tensors.growth_tracker),
                        data_or_null<int32_t>(tensors.hysteresis_tracker), data_or_null<int32_t>(tensors.cause),
                        data_or_null<float>(tensors.loss_nonfinite)},
                       {},
                       desc};
    for (size_t k = 0; k < tensors.found_infs.size(); ++k) {
        update.found_infs.push_back(
            {data_or_null<const float>(tensors.found_infs[k]), data_or_null<const int64_t>(tensors.grad_summaries[k])});
    }
    run_op(tensors.scale.device(), update);
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_scale_update(mezzo_tensor scale, mezzo_tensor growth_tracker, mezzo_tensor hysteresis_tracker,
                                mezzo_tensor cause, mezzo_tensor loss_nonfinite, const mezzo_tensor *found_infs,
                                const mezzo_tensor *grad_summaries, int32_t count,
                                const mezzo_scale_update_desc *desc) {
    return mezzo::guard("scale_update", [&] {
        constexpr mezzo_scale_update_desc kDefaults = {
            .struct_size = sizeof(mezzo_scale_update_desc),
            .growth_interval = 2000,
            .growth_factor = 2.0,
            .backoff_factor = 0.5,
            .min_scale = 0,
            .max_scale = 0,
            .hysteresis = 0,
            .growth = MEZZO_GROWTH_RESTARTS,
            .refill = MEZZO_HYSTERESIS_REFILL_ON_GROWTH,
            .reserved = 0,
        };
        mezzo::expect_count(count, 1);
        mezzo::scale_update(
            {mezzo::require_tensor(scale, "scale"), mezzo::require_tensor(growth_tracker, "growth_tracker"),
             mezzo::optional_tensor(hysteresis_tracker, "hysteresis_tracker"), mezzo::optional_tensor(cause, "cause"),
             mezzo::optional_tensor(loss_nonfinite, "loss_nonfinite"),
             mezzo::require_tensors(found_infs, count, "found_infs"),
             mezzo::optional_tensors(grad_summaries, count, "grad_summaries")},
            mezzo::read_descriptor(desc, kDefaults));
    });
}
