// SPDX-License-Identifier: MIT
#include "core/error.h"

#include <cstdarg>
#include <cstdio>
#include <new>

namespace mezzo {
namespace {

// Fixed storage, so that reporting a failure, running out of memory included, cannot itself fail.
thread_local char last_error[1024];

mezzo_status report(mezzo_status status, const char *function, const char *text) noexcept {
    std::snprintf(last_error, sizeof last_error, "%s: %s", function, text);
    return status;
}

} // namespace

void fail(mezzo_status status, const char *format, ...) {
    char text[768];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Error(status, text);
}

mezzo_status report_current_exception(const char *function) noexcept {
    try {
        throw;
    } catch (const Error &error) {
        return report(error.status(), function, error.what());
    } catch (const std::bad_alloc &) {
        return report(MEZZO_STATUS_OUT_OF_MEMORY, function, "the host has not enough free memory");
    } catch (const std::exception &error) {
        return report(MEZZO_STATUS_INTERNAL, function, error.what());
    } catch (...) {
        return report(MEZZO_STATUS_INTERNAL, function, "an exception of an unknown type was thrown");
    }
}

} // namespace mezzo

const char *mezzo_status_text(mezzo_status status) {
    switch (status) {
#define MEZZO_STATUS_CASE(name, value, text) \
    case MEZZO_STATUS_##name:                \
        return text;
        MEZZO_STATUS_LIST(MEZZO_STATUS_CASE)
#undef MEZZO_STATUS_CASE
    }
    return "unknown status";
}

const char *mezzo_last_error(void) {
    return mezzo::last_error;
}
