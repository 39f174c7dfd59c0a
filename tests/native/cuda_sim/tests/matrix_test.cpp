// SPDX-License-Identifier: MIT
// ldmatrix and mma, against products in f64. Where each register's elements lie is written out anew here, element by
// element, as the PTX manual has it.
#include "core/convert.h"
#include "device/ptx.cuh"
#include "simulator_test.h"

#include <cmath>
#include <limits>
#include <random>

namespace mezzo::cuda_sim::testing {
namespace {

using MatrixTest = SimulatorTest;

struct Position {
    int row, column;
};

/// "mma.m16n8k16", .f16 and .bf16: a_i for i < 8, b_i for i < 4.
struct LayoutK16 {
    static constexpr int kDepth = 16;
    static constexpr int kPerRegister = 2;
    static Position a(int lane, int i) {
        const int group = lane >> 2;
        const int thread = lane % 4;
        const int row = (i >= 0 && i < 2) || (i >= 4 && i < 6) ? group : group + 8;
        const int column = i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8;
        return {row, column};
    }
    static Position b(int lane, int i) {
        const int row = i < 2 ? lane % 4 * 2 + (i & 1) : lane % 4 * 2 + (i & 1) + 8;
        return {row, lane >> 2};
    }
};

/// "mma.m16n8k8", .f16 and .bf16: a_i for i < 4, b_i for i < 2.
struct LayoutK8 {
    static constexpr int kDepth = 8;
    static constexpr int kPerRegister = 2;
    static Position a(int lane, int i) { return {i < 2 ? lane >> 2 : (lane >> 2) + 8, lane % 4 * 2 + (i & 1)}; }
    static Position b(int lane, int i) { return {lane % 4 * 2 + i, lane >> 2}; }
};

/// "mma.m16n8k8", .tf32: a_i for i < 4, b_i for i < 2.
struct LayoutTf32 {
    static constexpr int kDepth = 8;
    static constexpr int kPerRegister = 1;
    static Position a(int lane, int i) {
        return {i == 0 || i == 2 ? lane >> 2 : (lane >> 2) + 8, i == 0 || i == 1 ? lane % 4 : lane % 4 + 4};
    }
    static Position b(int lane, int i) { return {i == 0 ? lane % 4 : lane % 4 + 4, lane >> 2}; }
};

/// c_i and d_i of all of them, i < 4.
Position accumulator(int lane, int i) {
    return {i < 2 ? lane >> 2 : (lane >> 2) + 8, lane % 4 * 2 + (i & 1)};
}

struct Fragments {
    uint32_t a[4], b[2];
    float d[4];
};

template <class T>
__global__ void multiply_k16(Fragments *fragments) {
    Fragments &own = fragments[threadIdx.x];
    ptx::mma_m16n8k16<T>(own.d, own.a, own.b);
}

template <class T>
__global__ void multiply_k8(Fragments *fragments) {
    Fragments &own = fragments[threadIdx.x];
    const uint32_t a[2] = {own.a[0], own.a[1]};
    const uint32_t b[1] = {own.b[0]};
    ptx::mma_m16n8k8<T>(own.d, a, b);
}

__global__ void multiply_tf32(Fragments *fragments) {
    Fragments &own = fragments[threadIdx.x];
    ptx::mma_m16n8k8_tf32(own.d, own.a, own.b);
}

/// Element types as bits of a register, and what the multiplier makes of them.
struct HalfElement {
    static uint32_t bits(double value) { return convert<Half>(value).bits; }
    static double value(uint32_t bits) { return convert<double>(Half{static_cast<uint16_t>(bits)}); }
};
struct BFloat16Element {
    static uint32_t bits(double value) { return convert<BFloat16>(value).bits; }
    static double value(uint32_t bits) { return convert<double>(BFloat16{static_cast<uint16_t>(bits)}); }
};
struct Tf32Element {
    // All 32 bits, to see that the multiplier drops the lower 13.
    static uint32_t bits(double value) { return std::bit_cast<uint32_t>(static_cast<float>(value)); }
    static double value(uint32_t bits) { return std::bit_cast<float>(bits >> 13 << 13); }
};

void set_element(uint32_t *registers, int per_register, int i, uint32_t bits) {
    if (per_register == 1) {
        registers[i] = bits;
    } else {
        registers[i / 2] |= bits << (i % 2 * 16);
    }
}

template <class Layout, class Element>
void check_product(void (*kernel)(Fragments *), std::mt19937_64 &random, double scale) {
    constexpr int kDepth = Layout::kDepth;
    std::normal_distribution<double> normal(0, scale);
    double a[16][kDepth], b[kDepth][8], c[16][8];
    uint32_t a_bits[16][kDepth], b_bits[kDepth][8];
    for (int row = 0; row < 16; ++row) {
        for (int k = 0; k < kDepth; ++k) {
            a_bits[row][k] = Element::bits(normal(random));
            a[row][k] = Element::value(a_bits[row][k]);
        }
        for (double &value : c[row]) value = static_cast<float>(normal(random));
    }
    for (int k = 0; k < kDepth; ++k) {
        for (int column = 0; column < 8; ++column) {
            b_bits[k][column] = Element::bits(normal(random));
            b[k][column] = Element::value(b_bits[k][column]);
        }
    }

    std::vector<Fragments> fragments(32);
    for (int lane = 0; lane < 32; ++lane) {
        Fragments &own = fragments[static_cast<size_t>(lane)];
        own = {};
        for (int i = 0; i < 16 * kDepth / 32; ++i) {
            const Position at = Layout::a(lane, i);
            set_element(own.a, Layout::kPerRegister, i, a_bits[at.row][at.column]);
        }
        for (int i = 0; i < 8 * kDepth / 32; ++i) {
            const Position at = Layout::b(lane, i);
            set_element(own.b, Layout::kPerRegister, i, b_bits[at.row][at.column]);
        }
        for (int i = 0; i < 4; ++i) {
            const Position at = accumulator(lane, i);
            own.d[i] = static_cast<float>(c[at.row][at.column]);
        }
    }
    const DeviceArray<Fragments> device(fragments);
    const TestStream stream;
    launch(kernel, 1, 32, 0, stream, device.data());
    const std::vector<Fragments> results = device.values();

    for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 4; ++i) {
            const Position at = accumulator(lane, i);
            double expected = c[at.row][at.column];
            double magnitude = std::abs(expected);
            for (int k = 0; k < kDepth; ++k) {
                expected += a[at.row][k] * b[k][at.column];
                magnitude += std::abs(a[at.row][k] * b[k][at.column]);
            }
            // Products of such short numbers are exact in f32, the sums round once for each term.
            const double tolerance = kDepth * 0x1p-24 * magnitude;
            const double got = results[static_cast<size_t>(lane)].d[i];
            ASSERT_TRUE(std::abs(got - expected) <= tolerance)
                << "row " << at.row << ", column " << at.column << ": got " << got << ", expected " << expected;
        }
    }
}

template <class Layout, class Element>
void check_products(void (*kernel)(Fragments *)) {
    std::mt19937_64 random(1);
    for_seeds(10, [&] {
        check_product<Layout, Element>(kernel, random, 1);
        check_product<Layout, Element>(kernel, random, 0x1p-9);
    });
}

TEST_F(MatrixTest, MmaMultipliesItsFragments) {
    check_products<LayoutK16, HalfElement>(multiply_k16<Half>);
    check_products<LayoutK16, BFloat16Element>(multiply_k16<BFloat16>);
    check_products<LayoutK8, HalfElement>(multiply_k8<Half>);
    check_products<LayoutK8, BFloat16Element>(multiply_k8<BFloat16>);
    check_products<LayoutTf32, Tf32Element>(multiply_tf32);
}

TEST_F(MatrixTest, MmaKeepsInfAndNanInTheirRowsAndColumns) {
    std::vector<Fragments> fragments(32);
    for (Fragments &own : fragments) {
        for (uint32_t &bits : own.a) bits = 0x3c003c00; // 1, 1
        for (uint32_t &bits : own.b) bits = 0x3c003c00;
    }
    fragments[4].a[0] = 0x3c007c00;  // row 1: Inf
    fragments[13].b[1] = 0x7e003c00; // column 3: NaN
    const DeviceArray<Fragments> device(fragments);
    ASSERT_CUDA(run(multiply_k16<Half>, 1, 32, 0, device.data()));
    const std::vector<Fragments> results = device.values();
    for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 4; ++i) {
            const Position at = accumulator(lane, i);
            const float got = results[static_cast<size_t>(lane)].d[i];
            if (at.column == 3) {
                EXPECT_TRUE(std::isnan(got));
            } else if (at.row == 1) {
                EXPECT_EQ(got, std::numeric_limits<float>::infinity());
            } else {
                EXPECT_EQ(got, 16);
            }
        }
    }
}

constexpr int kPitch = 24; // halves from row to row: 16-byte aligned, and no power of two

/// Loads `count` matrices; row r of matrix m is row order[8 m + r] of the tile. Lanes that name no row hold a pointer
/// that may not be followed.
template <int count, bool transposed>
__global__ void load(uint32_t *out, const uint16_t *tile_values, const int *order) {
    struct alignas(16) Tile {
        uint16_t values[32 * kPitch];
    };
    MEZZO_SHARED(Tile, tile);
    for (unsigned i = threadIdx.x; i < 32 * kPitch; i += 32) tile.values[i] = tile_values[i];
    __syncwarp();
    const int lane = static_cast<int>(threadIdx.x);
    const void *row = lane < 8 * count ? tile.values + order[lane] * kPitch + 8 : nullptr;
    uint32_t registers[count];
    if constexpr (count == 4 && transposed) ptx::ldmatrix_x4_trans(registers, row);
    if constexpr (count == 4 && !transposed) ptx::ldmatrix_x4(registers, row);
    if constexpr (count == 2 && transposed) ptx::ldmatrix_x2_trans(registers, row);
    if constexpr (count == 2 && !transposed) ptx::ldmatrix_x2(registers, row);
    for (int i = 0; i < count; ++i) out[count * lane + i] = registers[i];
}

template <int count, bool transposed>
void check_load(std::mt19937_64 &random) {
    std::vector<uint16_t> tile(32 * kPitch);
    for (uint16_t &value : tile) value = static_cast<uint16_t>(random());
    std::vector<int> order(32);
    for (int &row : order) row = static_cast<int>(random() % 32);
    const DeviceArray<uint16_t> device_tile(tile);
    const DeviceArray<int> device_order(order);
    const DeviceArray<uint32_t> out(32 * count);
    const TestStream stream;
    launch(load<count, transposed>, 1, 32, 0, stream, out.data(), device_tile.data(), device_order.data());
    const std::vector<uint32_t> results = out.values();
    for (int matrix = 0; matrix < count; ++matrix) {
        const auto element = [&](int row, int column) {
            return uint32_t{
                tile[static_cast<size_t>(order[static_cast<size_t>(8 * matrix + row)] * kPitch + 8 + column)]};
        };
        for (int lane = 0; lane < 32; ++lane) {
            const int row = lane / 4;
            const int column = lane % 4 * 2;
            const uint32_t low = transposed ? element(column, row) : element(row, column);
            const uint32_t high = transposed ? element(column + 1, row) : element(row, column + 1);
            ASSERT_EQ(results[static_cast<size_t>(count * lane + matrix)], low | high << 16)
                << "matrix " << matrix << ", lane " << lane;
        }
    }
}

TEST_F(MatrixTest, LdmatrixLoadsTheNamedRows) {
    std::mt19937_64 random(1);
    for_seeds(10, [&] {
        check_load<4, false>(random);
        check_load<4, true>(random);
        check_load<2, false>(random);
        check_load<2, true>(random);
    });
}

__global__ void load_rows_at(int offset) {
    MEZZO_DYNAMIC_SHARED(char, tile);
    uint32_t registers[4];
    ptx::ldmatrix_x4(registers, tile + 16 * threadIdx.x + offset);
}

__global__ void load_from_global(const void *pointer) {
    uint32_t registers[2];
    ptx::ldmatrix_x2(registers, pointer);
}

TEST_F(MatrixTest, MisuseFailsTheLaunch) {
    for_seeds(5, [this] {
        expect_fault("ldmatrix_x4 of a row that is not aligned to 16 bytes", load_rows_at, 1, 32, 1024, 8);
        expect_fault("outside of the block's shared memory", load_rows_at, 1, 32, 512, 16);
        const DeviceArray<float> memory(32);
        expect_fault("outside of the block's shared memory", load_from_global, 1, 32, 0, memory.data());
        expect_fault("ldmatrix_x4 needs a whole warp", load_rows_at, 1, 31, 512, 0);
    });
}

TEST_F(MatrixTest, AnInstructionThatTheArchitectureLacksFailsTheLaunch) {
    configure({.arch = "7.5"});
    const DeviceArray<Fragments> device(std::vector<Fragments>(32));
    expect_fault("mma_m16n8k16<Half> needs compute capability 8.0, the device has 7.5", multiply_k16<Half>, 1, 32, 0,
                 device.data());
    expect_fault("mma_m16n8k8<BFloat16> needs compute capability 8.0", multiply_k8<BFloat16>, 1, 32, 0, device.data());
    expect_fault("mma_m16n8k8_tf32 needs compute capability 8.0", multiply_tf32, 1, 32, 0, device.data());
    EXPECT_CUDA(cudaSuccess, run(multiply_k8<Half>, 1, 32, 0, device.data()));
}

} // namespace
} // namespace mezzo::cuda_sim::testing
