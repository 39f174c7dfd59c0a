// SPDX-License-Identifier: MIT
// cast as the devices see it; the formula is convert() of core/convert.h.
#pragma once

#include "core/convert.h"
#include "core/op.h"

namespace mezzo {

struct CastForward {
    TensorData out;
    TensorData input;
};

} // namespace mezzo
