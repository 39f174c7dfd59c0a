// SPDX-License-Identifier: MIT
#include "device/philox.h"

#include <gtest/gtest.h>

#include <array>

namespace mezzo::testing {
namespace {

std::array<uint32_t, 4> generated(philox::Block counter, philox::Key key) {
    return std::to_array(philox::generate(counter, key).word);
}

using Words = std::array<uint32_t, 4>;

// The authors' known answers for philox4x32 with 10 rounds.
TEST(Philox, GivesTheKnownAnswers) {
    constexpr uint32_t kOnes = 0xffffffff;
    EXPECT_EQ(generated({{0, 0, 0, 0}}, {{0, 0}}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    EXPECT_EQ(generated({{kOnes, kOnes, kOnes, kOnes}}, {{kOnes, kOnes}}),
              (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    EXPECT_EQ(generated({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, {{0xa4093822, 0x299f31d0}}),
              (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, TakesSeedAsKeyAndIndexAndStreamAsCounter) {
    const auto block = philox::block_at(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88);
    EXPECT_EQ(std::to_array(block.word), (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

} // namespace
} // namespace mezzo::testing
