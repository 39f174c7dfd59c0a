// SPDX-License-Identifier: MIT
// fill as the devices see it.
#pragma once

#include "core/convert.h"
#include "core/op.h"

namespace mezzo {

struct Fill {
    TensorData out;
    double value; // one that the dtype can hold, but for rounding
};

} // namespace mezzo
