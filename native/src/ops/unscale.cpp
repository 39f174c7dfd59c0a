// SPDX-License-Identifier: MIT
// unscale: found_inf |= any gradient is Inf or NaN;  grads[k][i] *= 1 / scale
//
//   grads      any number of tensors, any shapes, each of a floating dtype
//   found_inf  f32 scalar, only ever set to 1
//   scale      f32 scalar; may be null
//
// The check sees the value before the multiplication, as bits: an exponent of all ones. 1 / scale is one
// division in f32; halves are multiplied in f32 and rounded once; a factor of 1 writes nothing.
// Elementwise, so independent of the number of threads. 2 sizeof(T) bytes an element, half of it to check only.
// Where norms or statistics are wanted as well, ops/grad_measure.cpp does all of it in one pass.
// Source: PyTorch's _amp_foreach_non_finite_check_and_unscale_.
#include "ops/unscale.h"

#include <mezzo/ops.h>

#include <algorithm>
#include <atomic>

#include "core/descriptor.h"
#include "ops/grad_measure.h"

namespace mezzo {
namespace {

/// Multiplies where Multiply is set, and returns whether all elements were finite before.
template <class T, bool Multiply>
MEZZO_ALWAYS_INLINE inline bool unscale_range(T *data, int64_t begin, int64_t end, Arithmetic<T> factor) {
    BitsOf<T> largest = 0;
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) {
        const T element = data[i];
        const auto exponent = exponent_of(element);
        largest = exponent > largest ? exponent : largest;
        if constexpr (Multiply) data[i] = convert<T>(widen(element) * factor);
    }
    return largest != kExponentMask<T>;
}

/// Unscales gradients of dtype T and returns whether all of their elements were finite.
template <class T, bool Multiply>
bool unscale_list(const ElementList<std::byte *> &grads, float factor) {
    // One thread looks at what fits in its cache, often just written, sooner than a second one wakes up.
    constexpr int64_t kGrain = Multiply ? kElementGrain : 8 * kElementGrain;
    std::atomic<bool> found{false};
    const auto run = [&found, factor](std::byte *data, int64_t begin, int64_t end) MEZZO_ALWAYS_INLINE {
        const bool finite = unscale_range<T, Multiply>(reinterpret_cast<T *>(data), begin, end, factor);
        if (!finite) found.store(true, std::memory_order_relaxed);
    };
    grads.parallel_run(run, kGrain);
    return !found;
}

const Implementation<Unscale> cpu_unscale(MEZZO_DEVICE_TYPE_CPU, unscale_on_cpu);

/// What was given to a call.
struct UnscaleTensors {
    TensorRef found_inf;
    std::vector<TensorRef> grads;
    TensorRef scale, grad_norm, grad_norms, grad_stats, grad_summary;

    bool measures() const { return grad_norm || grad_norms || grad_stats || grad_summary; }
};

void check_tensors(const UnscaleTensors &tensors, bool check_only) {
    const auto &[found_inf, grads, scale, grad_norm, grad_norms, grad_stats, grad_summary] = tensors;
    const auto count = static_cast<int64_t>(grads.size());
    for (const TensorRef *scalar : {&found_inf, &scale}) {
        expect_same_device(*scalar, found_inf);
        expect_scalar(*scalar);
        expect_dtype(*scalar, {MEZZO_DTYPE_F32});
    }
    for (const TensorRef &grad : grads) {
        expect_same_device(grad, found_inf);
        expect_floating(grad);
    }
    const auto expect_result = [&](const TensorRef &result, mezzo_dtype dtype, std::initializer_list<int64_t> shape) {
        if (!result) return;
        expect_same_device(result, found_inf);
        expect_dtype(result, {dtype});
        expect_shape(result, shape);
    };
    expect_result(grad_norm, MEZZO_DTYPE_F64, {});
    expect_result(grad_norms, MEZZO_DTYPE_F64, {count});
    expect_result(grad_stats, MEZZO_DTYPE_I64, {count, kGradStats});
    expect_result(grad_summary, MEZZO_DTYPE_I64, {MEZZO_GRAD_SUMMARY_LENGTH});

    OverlapCheck overlap;
    overlap.add_written(found_inf);
    if (check_only) {
        overlap.add_read(grads);
    } else {
        overlap.add_written(grads);
    }
    for (const TensorRef *result : {&grad_norm, &grad_norms, &grad_stats, &grad_summary}) {
        overlap.add_written(*result);
    }
    overlap.add_read(scale);
    overlap.run();
}

void check_descriptor(const mezzo_unscale_desc &desc) {
    expect_flag(desc.check_only, "check_only");
    expect_flag(desc.only_if_found, "only_if_found");
    expect_reserved(desc.reserved, "reserved");
}

void unscale(const UnscaleTensors &tensors, const mezzo_unscale_desc &desc) {
    const bool check_only = desc.check_only == 1;
    check_tensors(tensors, check_only);
    Device &device = tensors.found_inf.device();
    const std::vector<TensorData> grads(tensors.grads.begin(), tensors.grads.end());
    if (tensors.measures() || desc.only_if_found == 1) {
        run_op(device,
               measured_grads(grads, tensors.found_inf, tensors.scale,
                              {data_or_null<double>(tensors.grad_norm), data_or_null<double>(tensors.grad_norms),
                               data_or_null<int64_t>(tensors.grad_stats), data_or_null<int64_t>(tensors.grad_summary)},
                              check_only, desc.only_if_found == 1));
    } else {
        run_op(device, Unscale{group_by_dtype(grads), tensors.found_inf, tensors.scale, check_only});
    }
}

} // namespace

std::vector<UnscaleGroup> group_by_dtype(std::span<const TensorData> grads) {
    std::vector<UnscaleGroup> groups;
    for (const TensorData &grad : grads) {
        if (!grad) continue;
        auto group = std::find_if(groups.begin(), groups.end(),
                                  [&](const UnscaleGroup &other) { return other.dtype == grad.dtype; });
        if (group == groups.end()) group = groups.insert(group, {grad.dtype, {}});
        group->grads.add(grad.data, grad.elements);
    }
    return groups;
}

void unscale_on_cpu(Device &, const Unscale &a) {
    const float factor = inverse_of_scale(a.scale ? a.scale.as<const float>() : nullptr);
    const bool multiply = !a.check_only && factor != 1.0F;
    bool finite = true;
    for (const UnscaleGroup &group : a.groups) {
        finite &= visit_floating_dtype(group.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            return multiply ? unscale_list<T, true>(group.grads, factor) : unscale_list<T, false>(group.grads, factor);
        });
    }
    if (!finite) *a.found_inf.as<float>() = 1.0F;
}

} // namespace mezzo

mezzo_status mezzo_unscale(mezzo_tensor found_inf, const mezzo_tensor *grads, int32_t count, mezzo_tensor scale,
                           const mezzo_unscale_desc *desc) {
    return mezzo::guard("unscale", [&] {
        constexpr mezzo_unscale_desc kDefaults = {sizeof(mezzo_unscale_desc), 0, 0, 0, {}, {}, {}, {}};
        const mezzo_unscale_desc variant = mezzo::read_descriptor(desc, kDefaults);
        mezzo::check_descriptor(variant);
        mezzo::expect_count(count, 0);
        mezzo::unscale(
            {mezzo::require_tensor(found_inf, "found_inf"), mezzo::require_tensors(grads, count, "grads"),
             mezzo::optional_tensor(scale, "scale"), mezzo::optional_tensor(variant.grad_norm, "desc.grad_norm"),
             mezzo::optional_tensor(variant.grad_norms, "desc.grad_norms"),
             mezzo::optional_tensor(variant.grad_stats, "desc.grad_stats"),
             mezzo::optional_tensor(variant.grad_summary, "desc.grad_summary")},
            variant);
    });
}
