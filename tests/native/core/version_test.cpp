// SPDX-License-Identifier: MIT
#include <mezzo/mezzo.h>

#include <gtest/gtest.h>

TEST(Version, AbiCheck_OfTheHeadersOwnVersion_IsOk) {
    EXPECT_EQ(mezzo_abi_check(MEZZO_ABI_VERSION), MEZZO_STATUS_OK);
}

TEST(Version, AbiCheck_OfAnotherVersion_NamesBoth) {
    EXPECT_EQ(mezzo_abi_check(MEZZO_ABI_VERSION + 1), MEZZO_STATUS_ABI_MISMATCH);
    EXPECT_STREQ(mezzo_last_error(), "abi_check: abi_version is 2, expected 1, the version of libmezzo 0.1.0");
}
