// SPDX-License-Identifier: MIT
#pragma once

#include "core/error.h"

namespace mezzo {

/// INVALID_ARGUMENT unless a struct of the caller's is of a known size.
template <class Struct>
void expect_struct_size(const Struct &given, const char *name) {
    if (given.struct_size == sizeof(Struct)) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "%s.struct_size is %u, expected %zu", name, given.struct_size, sizeof(Struct));
}

/// Reads an op's descriptor: a null one stands for `defaults`, any other must be of a known size.
template <class Descriptor>
Descriptor read_descriptor(const Descriptor *desc, const Descriptor &defaults) {
    if (desc == nullptr) return defaults;
    expect_struct_size(*desc, "desc");
    return *desc;
}

// Checks of a descriptor's fields.

/// For fields of either sign.
inline void expect_flag(int64_t value, const char *name) {
    if (value == 0 || value == 1) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.%s is %lld, expected 0 or 1", name, static_cast<long long>(value));
}

inline void expect_reserved(uint32_t value, const char *name) {
    if (value != 0) fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.%s is %u, expected 0", name, value);
}

/// Enumerators go from 0 to the last.
template <class Enum>
void expect_enumerator(Enum value, Enum last, const char *type, const char *name) {
    const int given = static_cast<int>(value);
    if (given >= 0 && given <= static_cast<int>(last)) return;
    fail(MEZZO_STATUS_INVALID_ARGUMENT, "desc.%s is %d, expected a mezzo_%s (0 to %d)", name, given, type,
         static_cast<int>(last));
}

} // namespace mezzo
