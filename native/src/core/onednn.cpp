// SPDX-License-Identifier: MIT
#include <mezzo/mezzo.h>

#if defined(MEZZO_HAVE_ONEDNN)

#include <oneapi/dnnl/dnnl.h>

#include <string>

const char *mezzo_onednn_version(void) {
    static const std::string text = [] {
        const dnnl_version_t &version = *dnnl_version();
        return std::to_string(version.major) + "." + std::to_string(version.minor) + "." +
               std::to_string(version.patch);
    }();
    return text.c_str();
}

#else

const char *mezzo_onednn_version(void) {
    return "";
}

#endif
