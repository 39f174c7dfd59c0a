// SPDX-License-Identifier: MIT
// Which backend a layer's products get, and how a layer falls to a team.
#include "cpu/linear.h"
#include "support/tensor.h"

#include <gtest/gtest.h>

namespace mezzo::testing {
namespace {

using cpu::LinearPlan;
using cpu::ProductChoice;
using cpu::ProductMachine;
using cpu::ProductShape;
using Kind = cpu::ProductChoice::Kind;

TEST(ProductChoice, EachMachine_GetsItsFastestBackend) {
    const ProductMachine zen5{.avx512 = true, .avx512_bf16 = true, .onednn = true, .onednn_amx = false};
    const ProductMachine sapphire_rapids{.avx512 = true, .avx512_bf16 = true, .onednn = true, .onednn_amx = true};
    const ProductMachine skylake_server{.avx512 = true, .avx512_bf16 = false, .onednn = true, .onednn_amx = false};
    const ProductMachine haswell{.avx512 = false, .avx512_bf16 = false, .onednn = true, .onednn_amx = false};
    const ProductMachine bare{};
    const auto choose = [](mezzo_dtype dtype, const ProductMachine &machine) {
        return cpu::choose_product(dtype, {.m = 2, .n = 2, .k = 2}, machine);
    };
    EXPECT_EQ(choose(MEZZO_DTYPE_BF16, zen5), (ProductChoice{Kind::kTile, MEZZO_DTYPE_BF16}));
    EXPECT_EQ(choose(MEZZO_DTYPE_BF16, sapphire_rapids), (ProductChoice{Kind::kOneDnn, MEZZO_DTYPE_BF16}));
    EXPECT_EQ(choose(MEZZO_DTYPE_BF16, skylake_server), (ProductChoice{Kind::kTile, MEZZO_DTYPE_F32}));
    EXPECT_EQ(choose(MEZZO_DTYPE_BF16, haswell), (ProductChoice{Kind::kOneDnn, MEZZO_DTYPE_F32}));
    EXPECT_EQ(choose(MEZZO_DTYPE_BF16, bare), (ProductChoice{Kind::kPlain, MEZZO_DTYPE_F32}));
    EXPECT_EQ(choose(MEZZO_DTYPE_F16, zen5), (ProductChoice{Kind::kTile, MEZZO_DTYPE_F32}));
    EXPECT_EQ(choose(MEZZO_DTYPE_F32, sapphire_rapids), (ProductChoice{Kind::kTile, MEZZO_DTYPE_F32}));
    EXPECT_EQ(choose(MEZZO_DTYPE_F32, haswell), (ProductChoice{Kind::kOneDnn, MEZZO_DTYPE_F32}));
    EXPECT_EQ(choose(MEZZO_DTYPE_F64, haswell), (ProductChoice{Kind::kPlain, MEZZO_DTYPE_F64}));
    EXPECT_EQ(choose(MEZZO_DTYPE_F64, zen5), (ProductChoice{Kind::kTile, MEZZO_DTYPE_F64}));
}

TEST(ProductChoice, OneRow_IsNotPacked) {
    for (const mezzo_dtype dtype : kFloatingDTypes) {
        const ProductChoice thin{Kind::kThin, dtype};
        EXPECT_EQ(cpu::choose_product(dtype, {.m = 1, .n = 9, .k = 9}, cpu::product_machine()), thin);
    }
}

TEST(ProductChoice, OneFeature_IsForTilesOrLoops) {
    const ProductMachine with_tiles{.avx512 = true, .avx512_bf16 = true, .onednn = true, .onednn_amx = true};
    const ProductMachine without{.avx512 = false, .avx512_bf16 = false, .onednn = true, .onednn_amx = false};
    for (const ProductShape &shape : {ProductShape{9, 1, 9}, ProductShape{9, 9, 1}}) {
        for (const mezzo_dtype dtype : {MEZZO_DTYPE_F32, MEZZO_DTYPE_F64, MEZZO_DTYPE_BF16}) {
            EXPECT_EQ(cpu::choose_product(dtype, shape, with_tiles), (ProductChoice{Kind::kTile, dtype}));
            EXPECT_EQ(cpu::choose_product(dtype, shape, without), (ProductChoice{Kind::kThin, dtype}));
        }
        EXPECT_EQ(cpu::choose_product(MEZZO_DTYPE_F16, shape, with_tiles),
                  (ProductChoice{Kind::kTile, MEZZO_DTYPE_F32}));
    }
}

TEST(LinearPlan, ManyRows_AreDividedAmongThreads) {
    EXPECT_EQ(cpu::plan_linear({20000, 150, 150}, 2, 192), (LinearPlan{2, 1, 190}));
    EXPECT_EQ(cpu::plan_linear({20000, 150, 150}, 1, 192), (LinearPlan{1, 1, 200}));
}

TEST(LinearPlan, FewRowsOrALargeWeight_AreDividedByColumns) {
    EXPECT_EQ(cpu::plan_linear({64, 4096, 4096}, 4, 192), (LinearPlan{1, 4, 70}));
    EXPECT_EQ(cpu::plan_linear({4096, 4096, 4096}, 2, 192), (LinearPlan{1, 2, 190}));
}

TEST(LinearPlan, LittleWork_StaysOnOneThread) {
    EXPECT_EQ(cpu::plan_linear({7, 3, 5}, 8, 192), (LinearPlan{1, 1, 10}));
}

} // namespace
} // namespace mezzo::testing
