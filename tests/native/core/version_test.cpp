// SPDX-License-Identifier: MIT
#include <mezzo/mezzo.h>

#include <gtest/gtest.h>

#include <string>

TEST(Version, AbiCheck_OfTheHeadersOwnVersion_IsOk) {
    EXPECT_EQ(mezzo_abi_check(MEZZO_ABI_VERSION), MEZZO_STATUS_OK);
}

TEST(Version, AbiCheck_OfAnotherVersion_NamesBoth) {
    EXPECT_EQ(mezzo_abi_check(MEZZO_ABI_VERSION + 1), MEZZO_STATUS_ABI_MISMATCH);
    EXPECT_EQ(mezzo_last_error(), "abi_check: abi_version is " + std::to_string(MEZZO_ABI_VERSION + 1) + ", expected " +
                                      std::to_string(MEZZO_ABI_VERSION) + ", the version of libmezzo " +
                                      mezzo_version());
}
