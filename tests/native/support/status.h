// SPDX-License-Identifier: MIT
// Assertions on what a call of the ABI answers.
#pragma once

#include <mezzo/mezzo.h>

#include <gtest/gtest.h>

#include <string_view>

namespace mezzo::testing {

inline ::testing::AssertionResult is_ok(mezzo_status status) {
    if (status == MEZZO_STATUS_OK) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << mezzo_status_text(status) << ": " << mezzo_last_error();
}

inline ::testing::AssertionResult fails_with(mezzo_status status, mezzo_status expected, const char *expected_error) {
    if (status != expected) {
        return ::testing::AssertionFailure()
               << "answered \"" << mezzo_status_text(status) << "\", expected \"" << mezzo_status_text(expected) << '"';
    }
    if (std::string_view(mezzo_last_error()) != expected_error) {
        return ::testing::AssertionFailure()
               << "said \"" << mezzo_last_error() << "\", expected \"" << expected_error << '"';
    }
    return ::testing::AssertionSuccess();
}

} // namespace mezzo::testing

#define EXPECT_OK(call) EXPECT_TRUE(::mezzo::testing::is_ok(call))
#define ASSERT_OK(call) ASSERT_TRUE(::mezzo::testing::is_ok(call))

/// The call must answer the status MEZZO_STATUS_<name> and leave exactly this text as the last error.
#define EXPECT_FAILS(call, name, text) EXPECT_TRUE(::mezzo::testing::fails_with(call, MEZZO_STATUS_##name, text))
