// SPDX-License-Identifier: MIT
// Failures: thrown as Error inside the library, answered as a mezzo_status at the ABI.
#pragma once

#include <mezzo/mezzo.h>

#include <exception>
#include <string>
#include <utility>

namespace mezzo {

class Error : public std::exception {
  public:
    Error(mezzo_status status, std::string text) : status_(status), text_(std::move(text)) {}

    mezzo_status status() const noexcept { return status_; }
    const char *what() const noexcept override { return text_.c_str(); }

  private:
    mezzo_status status_;
    std::string text_;
};

/// Throws an Error. The text says what was wrong, expected and got; guard() adds the function's name.
[[noreturn]] void fail(mezzo_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/// Turns the exception being handled into a status and the thread's last error "function: text".
mezzo_status report_current_exception(const char *function) noexcept;

/// Runs the body of an ABI function; `function` is its name without the prefix, as in "linear_forward".
/// Whatever the body throws becomes a status: nothing leaves the library.
template <class Body>
mezzo_status guard(const char *function, Body &&body) noexcept {
    try {
        std::forward<Body>(body)();
        return MEZZO_STATUS_OK;
    } catch (...) {
        return report_current_exception(function);
    }
}

/// Checks a pointer argument of the ABI.
template <class T>
T &require_pointer(T *pointer, const char *name) {
    if (pointer == nullptr) fail(MEZZO_STATUS_INVALID_ARGUMENT, "%s is a null pointer", name);
    return *pointer;
}

} // namespace mezzo
