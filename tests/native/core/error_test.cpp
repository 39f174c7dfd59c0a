// SPDX-License-Identifier: MIT
#include "core/error.h"

#include "support/enum.h"
#include "support/status.h"

#include <filesystem>
#include <ios>
#include <new>
#include <regex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <typeinfo>
#include <variant>

namespace mezzo::testing {
namespace {

template <class Exception>
mezzo_status throw_through_guard(Exception exception) {
    return guard("thrower", [&] { throw exception; });
}

struct NotAnException {};

TEST(Error, Guard_WithoutException_IsOkAndKeepsTheLastError) {
    EXPECT_FAILS(throw_through_guard(Error(MEZZO_STATUS_INVALID_ARGUMENT, "first")), INVALID_ARGUMENT,
                 "thrower: first");
    EXPECT_OK(guard("quiet", [] {}));
    EXPECT_STREQ(mezzo_last_error(), "thrower: first");
}

TEST(Error, Guard_TurnsEachStatusOfAnError_IntoItself) {
#define EXPECT_STATUS(name, value, text) \
    EXPECT_FAILS(throw_through_guard(Error(MEZZO_STATUS_##name, #name)), name, "thrower: " #name);
    MEZZO_STATUS_LIST(EXPECT_STATUS)
#undef EXPECT_STATUS
}

TEST(Error, Guard_TurnsBadAlloc_IntoOutOfMemory) {
    EXPECT_FAILS(throw_through_guard(std::bad_alloc()), OUT_OF_MEMORY, "thrower: the host has not enough free memory");
    EXPECT_FAILS(throw_through_guard(std::bad_array_new_length()), OUT_OF_MEMORY,
                 "thrower: the host has not enough free memory");
}

TEST(Error, Guard_TurnsStandardExceptions_IntoInternalWithTheirText) {
    EXPECT_FAILS(throw_through_guard(std::runtime_error("runtime")), INTERNAL, "thrower: runtime");
    EXPECT_FAILS(throw_through_guard(std::logic_error("logic")), INTERNAL, "thrower: logic");
    EXPECT_FAILS(throw_through_guard(std::out_of_range("range")), INTERNAL, "thrower: range");
    EXPECT_FAILS(throw_through_guard(std::overflow_error("overflow")), INTERNAL, "thrower: overflow");
    EXPECT_FAILS(throw_through_guard(std::exception()), INTERNAL, "thrower: std::exception");
    EXPECT_FAILS(throw_through_guard(std::bad_cast()), INTERNAL, "thrower: std::bad_cast");
    EXPECT_FAILS(throw_through_guard(std::bad_variant_access()), INTERNAL, "thrower: bad variant access");
    EXPECT_EQ(throw_through_guard(std::system_error(std::make_error_code(std::errc::io_error))), MEZZO_STATUS_INTERNAL);
    EXPECT_EQ(throw_through_guard(std::ios_base::failure("stream")), MEZZO_STATUS_INTERNAL);
    EXPECT_EQ(throw_through_guard(std::filesystem::filesystem_error("path", std::error_code())), MEZZO_STATUS_INTERNAL);
    EXPECT_EQ(throw_through_guard(std::regex_error(std::regex_constants::error_brack)), MEZZO_STATUS_INTERNAL);
}

TEST(Error, Guard_TurnsAnythingElse_IntoInternal) {
    const char *const text = "thrower: an exception of an unknown type was thrown";
    EXPECT_FAILS(throw_through_guard(42), INTERNAL, text);
    EXPECT_FAILS(throw_through_guard("text"), INTERNAL, text);
    EXPECT_FAILS(throw_through_guard(nullptr), INTERNAL, text);
    EXPECT_FAILS(throw_through_guard(1.5), INTERNAL, text);
    EXPECT_FAILS(throw_through_guard(std::string("string")), INTERNAL, text);
    EXPECT_FAILS(throw_through_guard(NotAnException{}), INTERNAL, text);
    EXPECT_FAILS(throw_through_guard(MEZZO_STATUS_OK), INTERNAL, text);
    EXPECT_FAILS(throw_through_guard(std::make_exception_ptr(1)), INTERNAL, text);
}

TEST(Error, Fail_WithATextThatIsTooLong_CutsIt) {
    const std::string text(5000, 'x');
    EXPECT_EQ(guard("thrower", [&] { fail(MEZZO_STATUS_INTERNAL, "%s", text.c_str()); }), MEZZO_STATUS_INTERNAL);
    const std::string_view reported = mezzo_last_error();
    EXPECT_TRUE(reported.starts_with("thrower: xxx"));
    EXPECT_LT(reported.size(), 1024u);
}

TEST(Error, LastError_BelongsToItsThread) {
    EXPECT_EQ(throw_through_guard(std::runtime_error("here")), MEZZO_STATUS_INTERNAL);
    std::thread([] {
        EXPECT_STREQ(mezzo_last_error(), "");
        EXPECT_EQ(throw_through_guard(std::runtime_error("there")), MEZZO_STATUS_INTERNAL);
        EXPECT_STREQ(mezzo_last_error(), "thrower: there");
    }).join();
    EXPECT_STREQ(mezzo_last_error(), "thrower: here");
}

TEST(Error, StatusText_OfEachStatus_IsTheHeaders) {
#define EXPECT_TEXT(name, value, text) EXPECT_STREQ(mezzo_status_text(static_cast<mezzo_status>(value)), text);
    MEZZO_STATUS_LIST(EXPECT_TEXT)
#undef EXPECT_TEXT
}

TEST(Error, StatusText_OfAnUnknownValue_SaysSo) {
    EXPECT_STREQ(mezzo_status_text(enum_of<mezzo_status>(99)), "unknown status");
}

} // namespace
} // namespace mezzo::testing
