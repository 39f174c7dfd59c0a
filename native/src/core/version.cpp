// SPDX-License-Identifier: MIT
#include "core/error.h"

#define MEZZO_TEXT_OF(value) #value
#define MEZZO_TEXT(value) MEZZO_TEXT_OF(value)

const char *mezzo_version(void) {
    return MEZZO_TEXT(MEZZO_VERSION_MAJOR) "." MEZZO_TEXT(MEZZO_VERSION_MINOR) "." MEZZO_TEXT(MEZZO_VERSION_PATCH);
}

mezzo_status mezzo_abi_check(uint32_t abi_version) {
    using namespace mezzo;
    return guard("abi_check", [&] {
        if (abi_version != MEZZO_ABI_VERSION) {
            fail(MEZZO_STATUS_ABI_MISMATCH, "abi_version is %u, expected %d, the version of libmezzo %s", abi_version,
                 MEZZO_ABI_VERSION, mezzo_version());
        }
    });
}
