// SPDX-License-Identifier: MIT
// scale: out[i] = input[i] * (factor * device_factor)
//
//   out, input     one shape, one floating dtype; out may be input
//   device_factor  f32 or f64 scalar; may be null
//
// The two factors are multiplied in f64 and rounded to the arithmetic's dtype, f32 for halves, before the
// elements are multiplied. 1 FLOP and 2 sizeof(T) bytes an element.
#include "ops/scale.h"

#include <mezzo/ops.h>

#include "ops/elementwise.h"

namespace mezzo {
namespace {

void forward_on_cpu(Device &, const ScaleForward &arguments) {
    visit_floating_dtype(arguments.out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const auto multiplier = scale_multiplier<T>(arguments.factor, arguments.device_factor);
        const auto product = [=](T value) MEZZO_ALWAYS_INLINE { return scaled(value, multiplier); };
        map_elements(arguments.out.elements, arguments.out.as<T>(), product, arguments.input.as<const T>());
    });
}

const Implementation<ScaleForward> cpu_forward(MEZZO_DEVICE_TYPE_CPU, forward_on_cpu);

void scale_forward(const TensorRef &out, const TensorRef &input, double factor, const TensorRef &device_factor) {
    expect_same_device({&out, &input, &device_factor});
    expect_floating(input);
    expect_same_shape_and_dtype(out, input);
    expect_scalar(device_factor);
    expect_dtype(device_factor, {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64});
    expect_in_place_or_no_overlap(out, input);
    expect_no_overlap(out, device_factor);
    run_op(out.device(), ScaleForward{out, input, factor, device_factor});
}

} // namespace
} // namespace mezzo

mezzo_status mezzo_scale_forward(mezzo_tensor out, mezzo_tensor input, double factor, mezzo_tensor device_factor) {
    return mezzo::guard("scale_forward", [&] {
        mezzo::scale_forward(mezzo::require_tensor(out, "out"), mezzo::require_tensor(input, "input"), factor,
                             mezzo::optional_tensor(device_factor, "device_factor"));
    });
}
