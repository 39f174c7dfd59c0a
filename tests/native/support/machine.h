// SPDX-License-Identifier: MIT
// Machines that a test can only have simulated. Each has a process of its own, since a process looks for its devices
// once, and a device that is lost stays so.
#pragma once

#if defined(MEZZO_CUDA_SIM)

#include <cuda_sim/control.h>

#include "support/tensor.h"

#include <functional>

namespace mezzo::testing {

inline constexpr mezzo_device kFirst{MEZZO_DEVICE_TYPE_CUDA, 0};
inline constexpr mezzo_device kSecond{MEZZO_DEVICE_TYPE_CUDA, 1};

/// Runs a test's body in a new process, which finds a machine of its own in its environment. Its tensors are on kFirst
/// where nothing else is said.
void on_machine(const cuda_sim::Machine &machine, const std::function<void()> &body);

/// A tensor of f32.
TestTensor tensor_on(mezzo_device device, const Shape &shape);

} // namespace mezzo::testing

#endif
