// SPDX-License-Identifier: MIT
#pragma once

#include "core/error.h"

namespace mezzo {

/// Reads an op's descriptor: a null one stands for `defaults`, any other must be of a known size.
template <class Descriptor>
Descriptor read_descriptor(const Descriptor *desc, const Descriptor &defaults) {
    if (desc == nullptr) return defaults;
    if (desc->struct_size != sizeof(Descriptor)) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.struct_size is %u, expected %zu", desc->struct_size,
             sizeof(Descriptor));
    }
    return *desc;
}

} // namespace mezzo
