// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>

namespace mezzo::testing {

/// An enum of the ABI with any value, as a caller in another language may pass it.
template <class Enum>
Enum enum_of(int32_t value) {
    static_assert(sizeof(Enum) == sizeof value);
    Enum result;
    std::memcpy(&result, &value, sizeof value);
    return result;
}

} // namespace mezzo::testing
