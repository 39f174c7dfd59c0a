// SPDX-License-Identifier: MIT
// The tester tested: two kernels that are right under every seed, and the same with one mistake each, which must be
// found out under every seed, by a wrong result, a report of the simulator or AddressSanitizer.
#include "core/convert.h"
#include "device/ptx.cuh"
#include "simulator_test.h"

#include <sys/wait.h>

#include <cmath>
#include <random>

namespace mezzo::cuda_sim::testing {
namespace {

constexpr int kSeeds = 20;

enum class Bug {
    kNone,
    kRowTooMany,       // the last row is followed by one more
    kMissingBarrier,   // the tile is read before all of it is written
    kEarlyRefill,      // the tile is overwritten before all of it is read
    kMissingWait,      // the tile is read before its copies have arrived
    kWaitTooShort,     // the same, by a wait that leaves one group
    kWrongFragment,    // two registers of a fragment swapped
    kWrongHalf,        // a fragment's address off by half a tile
    kUnwrittenOutput,  // the last column is not written
    kDivergentBarrier, // not all warps come to a barrier: deadlock
    kEarlyExit,        // a lane leaves before its warp's collective
};

// ---- A transpose through a tile of shared memory.

constexpr int kTile = 32;
constexpr int kTileRows = 8; // rows of threads

/// out (columns, rows) = the transpose of in (rows, columns).
template <Bug bug>
__global__ void transpose(float *out, const float *in, int rows, int columns) {
    MEZZO_SHARED(float[kTile][kTile + 1], tile);
    const int row_end = bug == Bug::kRowTooMany ? rows + 1 : rows;
    const int column_end = bug == Bug::kUnwrittenOutput ? columns - 1 : columns;
    const auto x = static_cast<int>(threadIdx.x);
    const auto first_column = static_cast<int>(blockIdx.x) * kTile;
    const auto first_row = static_cast<int>(blockIdx.y) * kTile;
    for (auto y = static_cast<int>(threadIdx.y); y < kTile; y += kTileRows) {
        if (first_row + y < row_end && first_column + x < columns) {
            tile[y][x] = in[(first_row + y) * columns + first_column + x];
        }
    }
    if constexpr (bug == Bug::kDivergentBarrier) {
        if (threadIdx.y != 5) __syncthreads();
        __syncwarp();
        if (threadIdx.y == 5) ptx::barrier_sync(1, kTile * kTileRows);
    } else if constexpr (bug != Bug::kMissingBarrier) {
        __syncthreads();
    }
    for (auto y = static_cast<int>(threadIdx.y); y < kTile; y += kTileRows) {
        if (first_column + y < column_end && first_row + x < row_end) {
            out[(first_column + y) * rows + first_row + x] = tile[x][y];
        }
    }
}

template <Bug bug>
bool transpose_is_right() {
    constexpr int kRows = 43;
    constexpr int kColumns = 70;
    std::vector<float> values(kRows * kColumns);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    const DeviceArray<float> in(values);
    const DeviceArray<float> memory(1); // behind the input, so that its end is not that of all memory
    float *out = nullptr;
    EXPECT_CUDA(cudaSuccess, cudaMalloc(&out, in.bytes()));
    const TestStream stream;
    const dim3 grid((kColumns + kTile - 1) / kTile, (kRows + kTile - 1) / kTile);
    const cudaError_t launched =
        launch_detail::start(transpose<bug>, grid, dim3(kTile, kTileRows), 0, stream, out, in.data(), kRows, kColumns);
    std::vector<float> results(values.size());
    bool right = launched == cudaSuccess && stream.synchronize() == cudaSuccess &&
                 cudaMemcpy(results.data(), out, in.bytes(), cudaMemcpyDeviceToHost) == cudaSuccess;
    for (size_t row = 0; row < kRows; ++row) {
        for (size_t column = 0; column < kColumns; ++column) {
            right = right && results[column * kRows + row] == values[row * kColumns + column];
        }
    }
    return cudaFree(out) == cudaSuccess && right;
}

// ---- A matrix product with copies one tile ahead, ldmatrix and mma.

constexpr int kBlockM = 32;
constexpr int kBlockN = 32;
constexpr int kBlockK = 16;
constexpr int kPitchA = kBlockK + 8;
constexpr int kPitchB = kBlockN + 8;

struct alignas(16) Stage {
    Half a[kBlockM][kPitchA]; // (BLK_M, BLK_K)
    Half b[kBlockK][kPitchB]; // (BLK_K, BLK_N)
};

/// c (m, n) = a (m, k) b (k, n), in blocks of 4 warps, each with 16 x 16 of the result. n and k are multiples of 8.
template <Bug bug>
__global__ void matmul(float *c, const Half *a, const Half *b, int m, int n, int k) {
    using Stages = Stage[2];
    MEZZO_SHARED(Stages, stages);
    const auto thread = static_cast<int>(threadIdx.x);
    const int lane = thread % kWarpSize;
    const int warp = thread / kWarpSize;
    const int first_row = static_cast<int>(blockIdx.y) * kBlockM;
    const int first_column = static_cast<int>(blockIdx.x) * kBlockN;
    const int tiles = (k + kBlockK - 1) / kBlockK;

    const auto fetch = [&](int tile) {
        Stage &stage = stages[tile % 2];
        if (thread < 64) {
            const int row = thread / 2;
            const int column = thread % 2 * 8;
            const bool in_range = first_row + row < m && tile * kBlockK + column < k;
            ptx::cp_async<16>(&stage.a[row][column], a + (first_row + row) * k + tile * kBlockK + column, in_range);
        } else {
            const int row = (thread - 64) / 4;
            const int column = thread % 4 * 8;
            const bool in_range = tile * kBlockK + row < k && first_column + column < n;
            ptx::cp_async<16>(&stage.b[row][column], b + (tile * kBlockK + row) * n + first_column + column, in_range);
        }
        ptx::cp_async_commit();
    };

    float d[2][4] = {};
    fetch(0);
    for (int tile = 0; tile < tiles; ++tile) {
        if constexpr (bug != Bug::kMissingWait) ptx::cp_async_wait<bug == Bug::kWaitTooShort ? 1 : 0>();
        if (bug == Bug::kEarlyRefill && tile + 1 < tiles) fetch(tile + 1);
        if (bug != Bug::kMissingBarrier && !(bug == Bug::kDivergentBarrier && tile == 1 && warp == 3)) __syncthreads();
        if (bug != Bug::kEarlyRefill && tile + 1 < tiles) fetch(tile + 1);

        if (bug == Bug::kEarlyExit && tile == 2 && thread == 77) return;
        const Stage &stage = stages[tile % 2];
        uint32_t a_fragment[4];
        uint32_t b_fragment[4];
        const int k_half = bug == Bug::kWrongHalf ? 0 : lane / 16 * 8;
        ptx::ldmatrix_x4(a_fragment, &stage.a[warp / 2 * 16 + lane % 16][k_half]);
        ptx::ldmatrix_x4_trans(b_fragment, &stage.b[lane % 16][warp % 2 * 16 + lane / 16 * 8]);
        if constexpr (bug == Bug::kWrongFragment) std::swap(a_fragment[1], a_fragment[2]);
        for (int half = 0; half < 2; ++half) {
            const uint32_t b_half[2] = {b_fragment[2 * half], b_fragment[2 * half + 1]};
            ptx::mma_m16n8k16<Half>(d[half], a_fragment, b_half);
        }
    }

    const int row_end = bug == Bug::kRowTooMany ? m + 1 : m;
    const int column_end = bug == Bug::kUnwrittenOutput ? n - 1 : n;
    for (int i = 0; i < 8; ++i) {
        const int row = first_row + warp / 2 * 16 + lane / 4 + i / 2 % 2 * 8;
        const int column = first_column + warp % 2 * 16 + i / 4 * 8 + lane % 4 * 2 + i % 2;
        if (row < row_end && column < column_end) c[row * n + column] = d[i / 4][i % 4];
    }
}

std::vector<Half> random_halves(size_t count, std::mt19937_64 &random) {
    std::normal_distribution<float> normal;
    std::vector<Half> values(count);
    for (Half &value : values) value = convert<Half>(normal(random));
    return values;
}

template <Bug bug>
bool matmul_is_right() {
    constexpr size_t kM = 45, kN = 56, kK = 88;
    std::mt19937_64 random(1);
    const std::vector<Half> a = random_halves(kM * kK, random);
    const std::vector<Half> b = random_halves(kK * kN, random);
    const DeviceArray<Half> device_a(a);
    const DeviceArray<Half> device_b(b);
    float *device_c = nullptr;
    std::vector<float> c(kM * kN);
    EXPECT_CUDA(cudaSuccess, cudaMalloc(&device_c, c.size() * sizeof(float)));
    const TestStream stream;
    const dim3 grid((kN + kBlockN - 1) / kBlockN, (kM + kBlockM - 1) / kBlockM);
    const cudaError_t launched =
        launch_detail::start(matmul<bug>, grid, 128, 0, stream, device_c, device_a.data(), device_b.data(),
                             static_cast<int>(kM), static_cast<int>(kN), static_cast<int>(kK));
    bool right = launched == cudaSuccess && stream.synchronize() == cudaSuccess &&
                 cudaMemcpy(c.data(), device_c, c.size() * sizeof(float), cudaMemcpyDeviceToHost) == cudaSuccess;
    for (size_t row = 0; row < kM; ++row) {
        for (size_t column = 0; column < kN; ++column) {
            double expected = 0;
            double magnitude = 0;
            for (size_t i = 0; i < kK; ++i) {
                const double term = convert<double>(a[row * kK + i]) * convert<double>(b[i * kN + column]);
                expected += term;
                magnitude += std::abs(term);
            }
            right = right && std::abs(c[row * kN + column] - expected) <= kK * 0x1p-24 * magnitude;
        }
    }
    return cudaFree(device_c) == cudaSuccess && right;
}

class PlantedBugsTest : public SimulatorTest {
  protected:
    void expect_green(bool (*is_right)()) {
        for_seeds(kSeeds, [&] { EXPECT_TRUE(is_right()); });
    }

    void expect_red(bool (*is_right)()) {
        for_seeds(kSeeds, [&] {
            ::testing::internal::CaptureStderr();
            EXPECT_FALSE(is_right());
            ::testing::internal::GetCapturedStderr();
            reset();
        });
    }

    /// In a process of its own, because AddressSanitizer ends it.
    void expect_red_or_dead(bool (*is_right)()) {
        for_seeds(kSeeds, [&] {
            EXPECT_EXIT(
                std::exit(is_right() ? 0 : 1),
                [](int status) { return !(WIFEXITED(status) && WEXITSTATUS(status) == 0); }, "");
        });
    }
};

TEST_F(PlantedBugsTest, TheTransposeIsRightUnderEverySeed) {
    expect_green(transpose_is_right<Bug::kNone>);
}

TEST_F(PlantedBugsTest, AWrongTransposeIsFoundOut) {
    expect_red_or_dead(transpose_is_right<Bug::kRowTooMany>);
    expect_red(transpose_is_right<Bug::kMissingBarrier>);
    expect_red(transpose_is_right<Bug::kUnwrittenOutput>);
    expect_red(transpose_is_right<Bug::kDivergentBarrier>);
}

TEST_F(PlantedBugsTest, TheMatrixProductIsRightUnderEverySeed) {
    expect_green(matmul_is_right<Bug::kNone>);
}

TEST_F(PlantedBugsTest, AWrongMatrixProductIsFoundOut) {
    expect_red_or_dead(matmul_is_right<Bug::kRowTooMany>);
    expect_red(matmul_is_right<Bug::kMissingBarrier>);
    expect_red(matmul_is_right<Bug::kEarlyRefill>);
    expect_red(matmul_is_right<Bug::kMissingWait>);
    expect_red(matmul_is_right<Bug::kWaitTooShort>);
    expect_red(matmul_is_right<Bug::kWrongFragment>);
    expect_red(matmul_is_right<Bug::kWrongHalf>);
    expect_red(matmul_is_right<Bug::kUnwrittenOutput>);
    expect_red(matmul_is_right<Bug::kDivergentBarrier>);
    expect_red(matmul_is_right<Bug::kEarlyExit>);
}

} // namespace
} // namespace mezzo::cuda_sim::testing
