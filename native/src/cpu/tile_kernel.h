// SPDX-License-Identifier: MIT
// The AVX-512 micro-kernel: one tile C[kRows, kVectors * lanes] of a matrix product, held in registers.
//
//   for each unit u of depth:  c[i][j] += broadcast(a[i, u]) * b[u, j]
//
// A unit of depth is what one lane holds: a pair of adjacent bf16, one f32 or one f64. b is packed, its
// kVectors registers of a unit one after the other; a is read where it lies, by two byte strides. A 5 x 5
// tile keeps 25 accumulators, 5 vectors of b and 1 of a in the 32 registers and needs 10 loads for 25
// multiply-adds, so a core's two multipliers set the pace, not its load ports.
// Determinism: the order of additions depends on the sizes alone. See docs/kernels/cpu-linear.md.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

// One target for all elements; only Bf16Element uses intrinsics of avx512bf16.
#define MEZZO_TILE_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define MEZZO_TILE_INLINE MEZZO_TILE_TARGET __attribute__((always_inline)) static inline

namespace mezzo::cpu {

/// Bytes of a vector register.
inline constexpr int64_t kVectorBytes = 64;

/// Where a tile finds its operands.
struct TileSource {
    const std::byte *a;    // its first row
    int64_t a_row_bytes;   // between rows
    int64_t a_unit_bytes;  // between units of depth
    const std::byte *b;    // packed panel
    int64_t depth;         // in elements
    uintptr_t ahead;       // address of memory to bring into the second-level cache meanwhile,
    uintptr_t ahead_bytes; // this much of it for each unit of depth; a prefetch past its end does no harm
};

/// Where a tile goes.
struct TileTarget {
    std::byte *data;
    int64_t row_bytes;
    const std::byte *bias; // of the tile's columns; may be null
    uint32_t last_mask;    // lanes of the last vector that exist in C
    bool narrow;           // stored in the elements' dtype, not the accumulator's
    bool relu;
    bool accumulate;
};

struct F32Element {
    using Scalar = float;
    using Vector = __m512;
    static constexpr int64_t kLanes = 16;
    static constexpr int64_t kUnit = 1; // elements in a unit of depth

    MEZZO_TILE_INLINE Vector zero() { return _mm512_setzero_ps(); }
    MEZZO_TILE_INLINE Vector load(const std::byte *p, uint32_t mask) {
        return _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p);
    }
    MEZZO_TILE_INLINE Vector load_b(const std::byte *p) { return _mm512_load_ps(p); }
    MEZZO_TILE_INLINE Vector broadcast(const std::byte *p) {
        float value;
        std::memcpy(&value, p, sizeof value);
        return _mm512_set1_ps(value);
    }
    MEZZO_TILE_INLINE Vector multiply_add(Vector c, Vector a, Vector b) { return _mm512_fmadd_ps(a, b, c); }
    MEZZO_TILE_INLINE Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
    // max answers its second operand when one is NaN, so NaN stays NaN. (Masked forms, all lanes set, where GCC 12
    // would warn about the undefined vector inside the plain ones.)
    MEZZO_TILE_INLINE Vector relu(Vector c) { return _mm512_maskz_max_ps(0xffff, zero(), c); }
    MEZZO_TILE_INLINE void store(std::byte *p, uint32_t mask, Vector c) {
        _mm512_mask_storeu_ps(p, static_cast<__mmask16>(mask), c);
    }
    MEZZO_TILE_INLINE void store_narrow(std::byte *p, uint32_t mask, Vector c) { store(p, mask, c); }
    MEZZO_TILE_INLINE void pack_unit(std::byte *to, const std::byte *row, const std::byte *, uint32_t mask) {
        _mm512_store_ps(to, load(row, mask));
    }
};

struct F64Element {
    using Scalar = double;
    using Vector = __m512d;
    static constexpr int64_t kLanes = 8;
    static constexpr int64_t kUnit = 1;

    MEZZO_TILE_INLINE Vector zero() { return _mm512_setzero_pd(); }
    MEZZO_TILE_INLINE Vector load(const std::byte *p, uint32_t mask) {
        return _mm512_maskz_loadu_pd(static_cast<__mmask8>(mask), p);
    }
    MEZZO_TILE_INLINE Vector load_b(const std::byte *p) { return _mm512_load_pd(p); }
    MEZZO_TILE_INLINE Vector broadcast(const std::byte *p) {
        double value;
        std::memcpy(&value, p, sizeof value);
        return _mm512_set1_pd(value);
    }
    MEZZO_TILE_INLINE Vector multiply_add(Vector c, Vector a, Vector b) { return _mm512_fmadd_pd(a, b, c); }
    MEZZO_TILE_INLINE Vector add(Vector a, Vector b) { return _mm512_add_pd(a, b); }
    MEZZO_TILE_INLINE Vector relu(Vector c) { return _mm512_maskz_max_pd(0xff, zero(), c); }
    MEZZO_TILE_INLINE void store(std::byte *p, uint32_t mask, Vector c) {
        _mm512_mask_storeu_pd(p, static_cast<__mmask8>(mask), c);
    }
    MEZZO_TILE_INLINE void store_narrow(std::byte *p, uint32_t mask, Vector c) { store(p, mask, c); }
    MEZZO_TILE_INLINE void pack_unit(std::byte *to, const std::byte *row, const std::byte *, uint32_t mask) {
        _mm512_store_pd(to, load(row, mask));
    }
};

struct Bf16Element {
    using Scalar = uint16_t;
    using Vector = __m512;
    static constexpr int64_t kLanes = 16;
    static constexpr int64_t kUnit = 2;

    MEZZO_TILE_INLINE Vector zero() { return _mm512_setzero_ps(); }
    MEZZO_TILE_INLINE Vector load(const std::byte *p, uint32_t mask) { return F32Element::load(p, mask); }
    MEZZO_TILE_INLINE __m512bh load_b(const std::byte *p) { return reinterpret_cast<__m512bh>(_mm512_load_si512(p)); }
    MEZZO_TILE_INLINE __m512bh broadcast(const std::byte *p) {
        int32_t pair;
        std::memcpy(&pair, p, sizeof pair);
        return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
    }
    // The last element of an odd depth: what follows it in memory is not part of a, and 0 * Inf would be NaN.
    MEZZO_TILE_INLINE __m512bh broadcast_last(const std::byte *p) {
        uint16_t element;
        std::memcpy(&element, p, sizeof element);
        return reinterpret_cast<__m512bh>(_mm512_set1_epi32(element));
    }
    MEZZO_TILE_INLINE Vector multiply_add(Vector c, __m512bh a, __m512bh b) { return _mm512_dpbf16_ps(c, a, b); }
    MEZZO_TILE_INLINE Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
    MEZZO_TILE_INLINE Vector relu(Vector c) { return F32Element::relu(c); }
    MEZZO_TILE_INLINE void store(std::byte *p, uint32_t mask, Vector c) { F32Element::store(p, mask, c); }
    MEZZO_TILE_INLINE void store_narrow(std::byte *p, uint32_t mask, Vector c) {
        _mm256_mask_storeu_epi16(p, static_cast<__mmask16>(mask), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(c)));
    }
    // Pairs a row with the next one, or with 0 past an odd depth, where next_row is null.
    MEZZO_TILE_INLINE void pack_unit(std::byte *to, const std::byte *row, const std::byte *next_row, uint32_t mask) {
        const auto lanes = static_cast<__mmask16>(mask);
        __m512i pairs = _mm512_maskz_cvtepu16_epi32(lanes, _mm256_maskz_loadu_epi16(lanes, row));
        if (next_row != nullptr) {
            const __m512i upper = _mm512_maskz_cvtepu16_epi32(lanes, _mm256_maskz_loadu_epi16(lanes, next_row));
            pairs = _mm512_or_si512(pairs, _mm512_maskz_slli_epi32(lanes, upper, 16));
        }
        _mm512_store_si512(to, pairs);
    }
};

/// Lanes of a vector that exist when `columns` are left.
template <class Element>
constexpr uint32_t lane_mask(int64_t columns) {
    return columns >= Element::kLanes ? (1u << Element::kLanes) - 1u : (1u << columns) - 1u;
}

/// Adds one unit of depth to the tile.
template <class Element, bool kLast, int kRows, int kVectors>
MEZZO_TILE_INLINE void add_unit(typename Element::Vector (&c)[kRows][kVectors], const std::byte *a, int64_t a_row_bytes,
                                const std::byte *b) {
    decltype(Element::load_b(b)) column[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) column[j] = Element::load_b(b + j * kVectorBytes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
        decltype(Element::broadcast(a)) row;
        if constexpr (kLast) {
            row = Element::broadcast_last(a + i * a_row_bytes);
        } else {
            row = Element::broadcast(a + i * a_row_bytes);
        }
#pragma GCC unroll 8
        for (int j = 0; j < kVectors; ++j) c[i][j] = Element::multiply_add(c[i][j], row, column[j]);
    }
}

/// Stores one row of the tile, after what is fused to it.
template <class Element, int kVectors>
MEZZO_TILE_INLINE void store_row(typename Element::Vector (&c)[kVectors], const TileTarget &target, std::byte *to) {
    constexpr uint32_t kAll = lane_mask<Element>(Element::kLanes);
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
        const uint32_t mask = j + 1 < kVectors ? kAll : target.last_mask;
        typename Element::Vector value = c[j];
        if (target.relu) value = Element::relu(value);
        if (target.narrow) {
            Element::store_narrow(to + j * Element::kLanes * static_cast<int64_t>(sizeof(typename Element::Scalar)),
                                  mask, value);
        } else {
            std::byte *wide = to + j * kVectorBytes;
            if (target.accumulate) value = Element::add(Element::load(wide, mask), value);
            Element::store(wide, mask, value);
        }
    }
}

template <class Element, int kRows, int kVectors>
MEZZO_TILE_TARGET void multiply_tile(const TileTarget &target, const TileSource &source) {
    typename Element::Vector c[kRows][kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
        typename Element::Vector start = Element::zero();
        if (target.bias != nullptr) {
            constexpr uint32_t kAll = lane_mask<Element>(Element::kLanes);
            start = Element::load(target.bias + j * kVectorBytes, j + 1 < kVectors ? kAll : target.last_mask);
        }
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i) c[i][j] = start;
    }

    const std::byte *a = source.a;
    const std::byte *b = source.b;
    uintptr_t ahead = source.ahead;
    for (int64_t unit = source.depth / Element::kUnit; unit > 0; --unit) {
        _mm_prefetch(reinterpret_cast<const char *>(ahead), _MM_HINT_T1);
        ahead += source.ahead_bytes;
        add_unit<Element, false>(c, a, source.a_row_bytes, b);
        a += source.a_unit_bytes;
        b += kVectors * kVectorBytes;
    }
    if constexpr (Element::kUnit > 1) {
        if (source.depth % Element::kUnit != 0) add_unit<Element, true>(c, a, source.a_row_bytes, b);
    }

#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) store_row<Element>(c[i], target, target.data + i * target.row_bytes);
}

} // namespace mezzo::cpu
