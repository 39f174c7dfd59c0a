// SPDX-License-Identifier: MIT
// The choice of a kernel, on made-up machines and for matrices that do not exist.
#include "cuda/matmul_tile.h"

#include "core/arithmetic.h"
#include "core/error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <string>
#include <tuple>

namespace mezzo::testing {
namespace {

constexpr CudaMachine kTuring{75, 75, 40, 64 * 1024, 4 << 20};
constexpr CudaMachine kAmpere{80, 80, 108, 163 * 1024, 40 << 20};
constexpr CudaMachine kAda{89, 89, 128, 99 * 1024, 72 << 20};
constexpr CudaMachine kHopper{90, 90, 132, 227 * 1024, 50 << 20};
constexpr std::array kMachines{kTuring,
                               kAmpere,
                               CudaMachine{86, 86, 1, 99 * 1024, 1 << 20},
                               kAda,
                               kHopper,
                               CudaMachine{100, 90, 148, 227 * 1024, 126 << 20},
                               CudaMachine{120, 120, 170, 99 * 1024, 96 << 20}};
constexpr std::array kDTypes{MEZZO_DTYPE_F64, MEZZO_DTYPE_F32, MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16};

/// An address that nothing lies at, so many bytes behind a boundary.
std::byte *address(int64_t offset = 0) {
    return reinterpret_cast<std::byte *>(uintptr_t{0x10000} + static_cast<uintptr_t>(offset));
}

/// a[m, k] b[k, n] with both matrices so many elements behind a boundary.
MatmulProblem problem_of(mezzo_dtype dtype, int64_t m, int64_t n, int64_t k, int64_t misalignment = 0) {
    std::byte *data = address(misalignment * dtype_size(dtype));
    return {
        .m = m, .n = n, .k = k, .dtype = dtype, .a = data, .b = data, .out = {address(), dtype, m * n}, .epilogue = {}};
}

/// How a linear layer's products lie in memory.
struct Operands {
    const char *name;
    bool a_transposed, b_transposed;

    MatmulProblem of(MatmulProblem problem) const {
        problem.a_transposed = a_transposed;
        problem.b_transposed = b_transposed;
        return problem;
    }
};
constexpr std::array kLayouts{Operands{"nt", false, true}, Operands{"nn", false, false}, Operands{"tn", true, false}};

MatmulChoice choose(const MatmulProblem &problem, const CudaMachine &machine) {
    return choose_matmul(problem, machine, matmul_kernels());
}

bool is_named(const MatmulChoice &choice, const char *part) {
    return std::string(choice.kernel->name).find(part) != std::string::npos;
}

TEST(MatmulChoice, Kernels_HaveNamesOfTheirOwn) {
    std::set<std::string> names;
    for (const MatmulKernel *kernel : matmul_kernels()) EXPECT_TRUE(names.insert(kernel->name).second) << kernel->name;
    EXPECT_FALSE(names.empty());
}

TEST(MatmulChoice, AnyProblem_HasAKernelThatCanRunIt) {
    // In another order, the kernels must give the same answers.
    std::vector<const MatmulKernel *> shuffled(matmul_kernels().begin(), matmul_kernels().end());
    std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(1));
    for (const CudaMachine &machine : kMachines) {
        for (const mezzo_dtype dtype : kDTypes) {
            for (const auto &[m, n, k] : std::vector<std::array<int64_t, 3>>{{1, 1, 1},
                                                                             {1, 1, 1 << 20},
                                                                             {1, 4096, 4096},
                                                                             {4, 50257, 768},
                                                                             {5, 7, 9},
                                                                             {20000, 150, 150},
                                                                             {150, 150, 20000},
                                                                             {20000, 1, 150},
                                                                             {20000, 150, 1},
                                                                             {4096, 4096, 4096},
                                                                             {int64_t{1} << 40, 3, 5}}) {
                for (const int variant : {0, 1, 2, 3, 4, 5, 6, 7}) {
                    for (const int64_t misalignment : {0, 1, 2}) {
                        MatmulProblem problem = problem_of(dtype, m, n, k, misalignment);
                        problem.a_transposed = (variant & 1) != 0;
                        problem.b_transposed = (variant & 2) != 0;
                        problem.allow_tf32 = (variant & 4) != 0;
                        SCOPED_TRACE(::testing::Message()
                                     << machine.arch << " " << dtype_name(dtype) << " " << m << "x" << n << "x" << k
                                     << " variant " << variant << " misaligned " << misalignment);
                        const MatmulChoice choice = choose(problem, machine);
                        ASSERT_NE(choice.kernel, nullptr);
                        EXPECT_TRUE(can_run(*choice.kernel, problem, machine));
                        EXPECT_GE(choice.splits, 1);
                        EXPECT_LE(int64_t{choice.splits} * choice.kernel->tile_k, k + choice.kernel->tile_k - 1);
                        const MatmulChoice again = choose_matmul(problem, machine, shuffled);
                        EXPECT_EQ(choice.kernel, again.kernel);
                        EXPECT_EQ(choice.splits, again.splits);
                    }
                }
            }
        }
    }
}

TEST(MatmulChoice, WithoutAKernel_IsAnError) {
    const MatmulProblem problem = problem_of(MEZZO_DTYPE_BF16, 4, 4, 4);
    try {
        choose_matmul(problem, kTuring, {});
        FAIL() << "chose nothing";
    } catch (const Error &error) {
        EXPECT_STREQ(error.what(), "no kernel multiplies bf16 matrices on compute capability 7.5");
    }
}

TEST(MatmulChoice, TensorCores_MultiplyHalvesWhereTheyCan) {
    for (const CudaMachine &machine : {kAmpere, kAda, kHopper}) {
        for (const mezzo_dtype dtype : {MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16}) {
            for (const auto &[m, n, k] : std::vector<std::array<int64_t, 3>>{
                     {4096, 4096, 4096}, {20000, 160, 160}, {160, 160, 20000}, {512, 512, 512}, {64, 64, 64}}) {
                const MatmulProblem problem = problem_of(dtype, m, n, k);
                EXPECT_EQ(choose(problem, machine).kernel->unit, MatmulUnit::kMmaK16) << m << "x" << n << "x" << k;
            }
        }
    }
}

// Of bf16 Turing's tensor cores know nothing.
TEST(MatmulChoice, Turing_MultipliesF16OnTensorCoresAndBF16OnThreads) {
    for (const auto &[m, n, k] : std::vector<std::array<int64_t, 3>>{
             {4096, 4096, 4096}, {20000, 150, 150}, {20000, 160, 160}, {150, 150, 20000}, {160, 160, 20000}}) {
        for (const Operands &operands : kLayouts) {
            SCOPED_TRACE(::testing::Message() << operands.name << " " << m << "x" << n << "x" << k);
            const auto unit_of = [&](mezzo_dtype dtype) {
                return choose(operands.of(problem_of(dtype, m, n, k)), kTuring).kernel->unit;
            };
            EXPECT_EQ(unit_of(MEZZO_DTYPE_F16), MatmulUnit::kMmaK8);
            EXPECT_EQ(unit_of(MEZZO_DTYPE_BF16), MatmulUnit::kFma);
        }
    }
}

// The tiles that docs/kernels/cuda-matmul-tensor-cores.md names for these sizes.
TEST(MatmulChoice, Halves_TakeTheTileOfTheirSize) {
    for (const CudaMachine &machine : {kAmpere, kAda, kHopper}) {
        for (const mezzo_dtype dtype : {MEZZO_DTYPE_F16, MEZZO_DTYPE_BF16}) {
            for (const Operands &operands : kLayouts) {
                SCOPED_TRACE(::testing::Message() << machine.arch << " " << dtype_name(dtype) << " " << operands.name);
                const auto chosen = [&](int64_t m, int64_t n, int64_t k) {
                    return choose(operands.of(problem_of(dtype, m, n, k)), machine);
                };
                const MatmulChoice large = chosen(4096, 4096, 4096);
                EXPECT_TRUE(is_named(large, "_256x128x32_")) << large.kernel->name;
                EXPECT_EQ(large.splits, 1);
                for (const int64_t width : {150, 160}) {
                    const MatmulChoice layer = chosen(20000, width, width);
                    EXPECT_TRUE(is_named(layer, "_64x160x32_")) << layer.kernel->name;
                    EXPECT_EQ(layer.splits, 1);
                    const MatmulChoice weight_gradient = chosen(width, width, 20000);
                    EXPECT_TRUE(is_named(weight_gradient, machine.arch == 89 ? "_64x64x64_" : "_64x160x32_"))
                        << weight_gradient.kernel->name;
                    const MatmulKernel &kernel = *weight_gradient.kernel;
                    const int64_t tiles = divide_up(width, kernel.tile_m) * divide_up(width, kernel.tile_n);
                    EXPECT_EQ(weight_gradient.splits, split_k(20000, machine.processors / tiles, kernel.tile_k).count);
                }
            }
        }
    }
}

// Sizes between the others, found by going through them: each of the 16-byte tiles has problems of its own.
TEST(MatmulChoice, EachTileOfHalves_IsTheChoiceForSome) {
    const auto tiles_on = [](const CudaMachine &machine) {
        std::set<std::tuple<int, int>> tiles;
        for (int64_t m = 256; m <= 16384; m *= 2) {
            for (int64_t n = 64; n <= 4096; n += 96) {
                for (const int64_t k : {128, 1024, 4096}) {
                    MatmulProblem problem = problem_of(MEZZO_DTYPE_F16, m, n, k);
                    problem.b_transposed = true;
                    const MatmulKernel &kernel = *choose(problem, machine).kernel;
                    tiles.emplace(kernel.tile_m, kernel.tile_n);
                }
            }
        }
        return tiles;
    };
    const std::set<std::tuple<int, int>> all{{256, 128}, {128, 160}, {128, 128}, {64, 160}, {64, 64}};
    for (const CudaMachine &machine : {kAmpere, kAda, kHopper}) {
        const auto tiles = tiles_on(machine);
        for (const auto &tile : all) {
            EXPECT_TRUE(tiles.contains(tile)) << machine.arch << ": " << std::get<0>(tile) << "x" << std::get<1>(tile);
        }
    }
}

TEST(MatmulChoice, Tf32_IsUsedOnlyWhereItIsAllowed) {
    MatmulProblem problem = problem_of(MEZZO_DTYPE_F32, 4096, 4096, 4096);
    EXPECT_FALSE(choose(problem, kHopper).kernel->tf32);
    problem.allow_tf32 = true;
    EXPECT_TRUE(choose(problem, kHopper).kernel->tf32);
    EXPECT_FALSE(choose(problem, kTuring).kernel->tf32);
    problem.dtype = MEZZO_DTYPE_F64;
    EXPECT_FALSE(choose(problem, kHopper).kernel->tf32);
}

TEST(MatmulChoice, LongSumsOfFewTiles_AreSplit) {
    for (const mezzo_dtype dtype : kDTypes) {
        const int64_t tiles = 160 / 32 * (160 / 32);
        const MatmulChoice weight_gradient = choose(problem_of(dtype, 160, 160, 20000), kHopper);
        EXPECT_GT(weight_gradient.splits, 4) << dtype_name(dtype);
        EXPECT_LE(weight_gradient.splits, 4 * kHopper.processors) << tiles;
        EXPECT_EQ(choose(problem_of(dtype, 8192, 8192, 1024), kHopper).splits, 1) << dtype_name(dtype);
        EXPECT_EQ(choose(problem_of(dtype, 20000, 160, 160), kHopper).splits, 1) << dtype_name(dtype);
    }
}

TEST(MatmulChoice, LargeMatrices_TakeLargeTiles) {
    for (const CudaMachine &machine : kMachines) {
        const MatmulKernel &kernel = *choose(problem_of(MEZZO_DTYPE_F32, 8192, 8192, 1024), machine).kernel;
        EXPECT_EQ(kernel.tile_m * kernel.tile_n, 128 * 128) << machine.arch;
    }
}

TEST(MatmulChoice, ThinMatrices_HaveKernelsOfTheirOwn) {
    for (const CudaMachine &machine : {kTuring, kAmpere, kHopper}) {
        for (const mezzo_dtype dtype : kDTypes) {
            SCOPED_TRACE(::testing::Message() << machine.arch << " " << dtype_name(dtype));
            MatmulProblem head = problem_of(dtype, 20000, 1, 150); // x w^T
            head.b_transposed = true;
            EXPECT_TRUE(is_named(choose(head, machine), "thin")) << choose(head, machine).kernel->name;
            MatmulProblem weight_gradient = problem_of(dtype, 1, 150, 20000); // g^T x
            weight_gradient.a_transposed = true;
            EXPECT_TRUE(is_named(choose(weight_gradient, machine), "thin"));
            EXPECT_GT(choose(weight_gradient, machine).splits, 1);
            MatmulProblem one_row = problem_of(dtype, 1, 4096, 4096);
            one_row.b_transposed = true;
            EXPECT_TRUE(is_named(choose(one_row, machine), "thin"));
            EXPECT_FALSE(is_named(choose(problem_of(dtype, 512, 512, 512), machine), "thin"));
        }
    }
}

TEST(MatmulChoice, RowsOfFourGigabytes_AreNotForTensorCores) {
    constexpr int64_t kHalves = int64_t{1} << 31;
    for (const bool a_is_long : {false, true}) {
        MatmulProblem problem =
            a_is_long ? problem_of(MEZZO_DTYPE_F16, kHalves, 8, 8) : problem_of(MEZZO_DTYPE_F16, 8, kHalves, 8);
        problem.a_transposed = true; // both have rows of m or n
        EXPECT_EQ(matmul_row(problem), 2 * kHalves);
        for (const MatmulKernel *kernel : matmul_kernels()) {
            if (kernel->unit == MatmulUnit::kFma) continue;
            EXPECT_FALSE(can_run(*kernel, problem, kHopper)) << kernel->name;
        }
        EXPECT_EQ(choose(problem, kHopper).kernel->unit, MatmulUnit::kFma);
        (a_is_long ? problem.m : problem.n) -= 8;
        EXPECT_NE(choose(problem, kHopper).kernel->unit, MatmulUnit::kFma);
    }
}

TEST(MatmulChoice, InstructionsToIssue_Count) {
    MatmulProblem problem = problem_of(MEZZO_DTYPE_F16, 20000, 150, 150);
    problem.b_transposed = true;
    const MatmulKernel &chosen = *choose(problem, kHopper).kernel;
    EXPECT_GT(chosen.step_instructions, 0);
    MatmulKernel slow = chosen;
    slow.name = "a";
    slow.step_instructions *= 10;
    MatmulKernel fast = chosen;
    fast.name = "b";
    EXPECT_STREQ(choose_matmul(problem, kHopper, std::array<const MatmulKernel *, 2>{&slow, &fast}).kernel->name, "b");
}

TEST(MatmulChoice, CodeOfOneArchitecture_RunsThereAlone) {
    const MatmulProblem problem = problem_of(MEZZO_DTYPE_F16, 4096, 4096, 4096);
    const MatmulKernel &common = *choose(problem, kHopper).kernel;
    MatmulKernel special = common;
    special.name = "a";
    special.oldest_arch = special.newest_arch = 90;
    const std::array<const MatmulKernel *, 2> kernels{&common, &special};
    EXPECT_STREQ(choose_matmul(problem, kHopper, kernels).kernel->name, "a");
    for (const CudaMachine &machine : {kAda, CudaMachine{100, 90, 148, 227 * 1024, 126 << 20}}) {
        EXPECT_EQ(choose_matmul(problem, machine, kernels).kernel, &common) << machine.arch;
    }
}

TEST(MatmulChoice, RowsOf150Halves_AreCopiedInWords) {
    MatmulProblem forward = problem_of(MEZZO_DTYPE_F16, 20000, 150, 150);
    forward.b_transposed = true;
    MatmulProblem weight_gradient = problem_of(MEZZO_DTYPE_F16, 150, 150, 20000);
    weight_gradient.a_transposed = true;
    const MatmulProblem input_gradient = problem_of(MEZZO_DTYPE_F16, 20000, 150, 150);
    for (const MatmulProblem &problem : {forward, input_gradient, weight_gradient}) {
        for (const CudaMachine &machine : {kAmpere, kHopper}) {
            const MatmulChoice choice = choose(problem, machine);
            EXPECT_TRUE(is_named(choice, "sm80_f16") && is_named(choice, "_words")) << choice.kernel->name;
            EXPECT_EQ(choice.splits > 1, problem.a_transposed) << choice.kernel->name;
        }
    }
}

TEST(MatmulChoice, Alignment_IsThatOfTheWorstRow) {
    EXPECT_EQ(matmul_alignment(problem_of(MEZZO_DTYPE_F16, 8, 8, 8)), 16);
    EXPECT_EQ(matmul_alignment(problem_of(MEZZO_DTYPE_F16, 8, 8, 8, 1)), 2);
    EXPECT_EQ(matmul_alignment(problem_of(MEZZO_DTYPE_F16, 8, 150, 8)), 4);
    EXPECT_EQ(matmul_alignment(problem_of(MEZZO_DTYPE_F16, 150, 8, 8)), 16) << "m is no row of a or b";
    EXPECT_EQ(matmul_alignment(problem_of(MEZZO_DTYPE_F64, 1, 1, 1)), 8);
    MatmulProblem transposed = problem_of(MEZZO_DTYPE_F32, 2, 8, 8);
    transposed.a_transposed = true;
    EXPECT_EQ(matmul_alignment(transposed), 8);
    MatmulProblem batch = problem_of(MEZZO_DTYPE_F32, 4, 4, 4);
    batch.b_batch_stride = 17;
    EXPECT_EQ(matmul_alignment(batch), 4);
}

TEST(MatmulChoice, Accesses_AreAsWideAsEveryRowAllows) {
    const auto vector_of = [](mezzo_dtype dtype, int64_t row, int64_t offset, int64_t batch_stride = 0) {
        return epilogue_tensor({address(offset), dtype, 0}, dtype, row, batch_stride).vector;
    };
    EXPECT_EQ(vector_of(MEZZO_DTYPE_F32, 4, 0), 4);
    EXPECT_EQ(vector_of(MEZZO_DTYPE_F32, 6, 0), 2);
    EXPECT_EQ(vector_of(MEZZO_DTYPE_F32, 4, 8), 2);
    EXPECT_EQ(vector_of(MEZZO_DTYPE_F32, 4, 4), 1);
    EXPECT_EQ(vector_of(MEZZO_DTYPE_F32, 5, 0), 1);
    EXPECT_EQ(vector_of(MEZZO_DTYPE_F32, 4, 0, 6), 2);
    EXPECT_EQ(vector_of(MEZZO_DTYPE_F16, 4, 8), 4);
    EXPECT_EQ(vector_of(MEZZO_DTYPE_F16, 150, 4), 2);
    EXPECT_EQ(vector_of(MEZZO_DTYPE_F64, 4, 16), 4);
    EXPECT_EQ(vector_of(MEZZO_DTYPE_F64, 4, 8), 1);
    EXPECT_FALSE(epilogue_tensor({}, MEZZO_DTYPE_F16, 4, 0));
    EXPECT_TRUE(epilogue_tensor({address(), MEZZO_DTYPE_F32, 0}, MEZZO_DTYPE_F16, 4, 0).wide);
    EXPECT_FALSE(epilogue_tensor({address(), MEZZO_DTYPE_F32, 0}, MEZZO_DTYPE_F32, 4, 0).wide);
}

TEST(MatmulTile, Blocks_TakeEachTilePartAndMemberOnce) {
    for (const auto &[m, n, k, splits, batch] : std::vector<std::array<int64_t, 5>>{
             {1, 1, 1, 1, 1}, {70, 33, 50, 3, 2}, {300, 20, 64, 5, 1}, {17, 200, 7, 4, 3}}) {
        MatmulProblem problem = problem_of(MEZZO_DTYPE_F32, m, n, k);
        problem.batch = batch;
        const MatmulArguments arguments = tile_arguments(problem, static_cast<int>(splits),
                                                         {.m = 16, .n = 8, .k = 4, .threads = 32, .shared_bytes = 0});
        EXPECT_EQ(arguments.tiles_m, (m + 15) / 16);
        EXPECT_EQ(arguments.tiles_n, (n + 7) / 8);
        EXPECT_LE(arguments.splits, splits);
        const int64_t blocks = arguments.tiles_m * arguments.tiles_n * arguments.splits * batch;
        std::set<std::tuple<int64_t, int64_t, int64_t, int64_t>> seen;
        for (int64_t block = 0; block < blocks; ++block) {
            const MatmulTile tile = tile_of_block(arguments, static_cast<uint32_t>(block));
            EXPECT_TRUE(seen.emplace(tile.batch, tile.split, tile.tile_m, tile.tile_n).second);
            EXPECT_LT(tile.batch, batch);
            EXPECT_LT(tile.split, arguments.splits);
            EXPECT_LT(tile.tile_m, arguments.tiles_m);
            EXPECT_LT(tile.tile_n, arguments.tiles_n);
            EXPECT_EQ(tile.k_begin, tile.split * arguments.k_per_split);
            EXPECT_LT(tile.k_begin, tile.k_end);
            EXPECT_EQ(tile.k_end, std::min(k, tile.k_begin + arguments.k_per_split));
        }
        EXPECT_GE(arguments.splits * arguments.k_per_split, k);
    }
}

// Blocks that run at the same time read few panels of a and b: row by row, each would have a column of its own to read.
TEST(MatmulTile, Neighbours_ShareRowsAndColumns) {
    constexpr int64_t kGroups = 5, kRowsLeft = 3, kColumns = 96, kParts = 3;
    constexpr int64_t kRows = kGroups * kTileGroup + kRowsLeft;
    const MatmulArguments arguments =
        tile_arguments(problem_of(MEZZO_DTYPE_F32, 16 * kRows, 8 * kColumns, 4 * kParts), kParts,
                       {.m = 16, .n = 8, .k = 4, .threads = 32, .shared_bytes = 0});
    ASSERT_EQ(arguments.tiles_m * arguments.tiles_n * arguments.splits, kRows * kColumns * kParts);
    const auto expect_square = [&](int64_t first, int64_t rows, int64_t columns) {
        std::set<int32_t> seen_rows, seen_columns, seen_parts;
        for (int64_t block = first; block < first + rows * columns; ++block) {
            const MatmulTile tile = tile_of_block(arguments, static_cast<uint32_t>(block));
            seen_rows.insert(tile.tile_m);
            seen_columns.insert(tile.tile_n);
            seen_parts.insert(tile.split);
        }
        EXPECT_EQ(seen_rows.size(), static_cast<size_t>(rows)) << "from block " << first;
        EXPECT_EQ(seen_columns.size(), static_cast<size_t>(columns)) << "from block " << first;
        EXPECT_EQ(seen_parts.size(), 1u) << "from block " << first;
    };
    constexpr int64_t kWave = int64_t{kTileGroup} * kTileGroup;
    static_assert(kTileGroup * kColumns % kWave == 0);
    for (int64_t part = 0; part < kParts; ++part) {
        const int64_t begin = part * kRows * kColumns;
        const int64_t end_of_groups = begin + kGroups * kTileGroup * kColumns;
        for (int64_t first = begin; first < end_of_groups; first += kWave) {
            expect_square(first, kTileGroup, kTileGroup);
        }
        expect_square(end_of_groups, kRowsLeft, kColumns);
    }
}

TEST(MatmulTile, Blocks_CountUpTo31Bits) {
    constexpr int64_t kTiles = (int64_t{1} << 31) - 1;
    for (const auto &[tiles_m, tiles_n] :
         std::vector<std::array<int64_t, 2>>{{kTiles, 1}, {1, kTiles}, {7, kTiles / 7}}) {
        const MatmulProblem problem = problem_of(MEZZO_DTYPE_F32, 16 * tiles_m, 8 * tiles_n, 4);
        const MatmulArguments arguments =
            tile_arguments(problem, 1, {.m = 16, .n = 8, .k = 4, .threads = 32, .shared_bytes = 0});
        const MatmulTile last = tile_of_block(arguments, static_cast<uint32_t>(tiles_m * tiles_n - 1));
        EXPECT_EQ(last.tile_m, tiles_m - 1);
        EXPECT_EQ(last.tile_n, tiles_n - 1);
        EXPECT_EQ(last.batch, 0);
    }
}

TEST(KernelName, Text_IsPutTogether) {
    constexpr KernelName kName = KernelName() + "matmul_" + MEZZO_DTYPE_BF16 + "_" + 128 + "x" + 8;
    EXPECT_STREQ(kName.text(), "matmul_bf16_128x8");
}

} // namespace
} // namespace mezzo::testing
