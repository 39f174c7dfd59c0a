// SPDX-License-Identifier: MIT
// The simulated side of device/ptx.cuh, which includes this and documents each function.
#pragma once

#include "core/convert.h"
#include "cuda_sim/index.h"
#include "cuda_sim/thread.h"

#include <cstdint>
#include <type_traits>

namespace mezzo::cuda_sim {

// ldmatrix.cpp
void load_matrices(uint32_t *registers, int count, bool transposed, const void *row, const Where &where);

// mma.cpp
enum class MmaKind {
    kHalf16,
    kBFloat16x16,
    kHalf8,
    kBFloat16x8,
    kTf32
};
void multiply(MmaKind kind, float *d, const uint32_t *a, const uint32_t *b, const Where &where);

// cp_async.cpp
void begin_copy(void *shared, const void *global, int bytes, bool in_range, const Where &where);
void commit_copies(const Where &where);
void wait_for_copies(int groups, const Where &where);

} // namespace mezzo::cuda_sim

namespace mezzo::ptx {

using cuda_sim::Where;

inline void ldmatrix_x4(uint32_t (&r)[4], const void *row, const Where &where = Where::current()) {
    cuda_sim::load_matrices(r, 4, false, row, where);
}

inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row, const Where &where = Where::current()) {
    cuda_sim::load_matrices(r, 4, true, row, where);
}

inline void ldmatrix_x2(uint32_t (&r)[2], const void *row, const Where &where = Where::current()) {
    cuda_sim::load_matrices(r, 2, false, row, where);
}

inline void ldmatrix_x2_trans(uint32_t (&r)[2], const void *row, const Where &where = Where::current()) {
    cuda_sim::load_matrices(r, 2, true, row, where);
}

template <class T>
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                  const Where &where = Where::current()) {
    static_assert(is_half<T>);
    constexpr auto kKind = std::is_same_v<T, Half> ? cuda_sim::MmaKind::kHalf16 : cuda_sim::MmaKind::kBFloat16x16;
    cuda_sim::multiply(kKind, d, a, b, where);
}

template <class T>
void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[2], const uint32_t (&b)[1], const Where &where = Where::current()) {
    static_assert(is_half<T>);
    constexpr auto kKind = std::is_same_v<T, Half> ? cuda_sim::MmaKind::kHalf8 : cuda_sim::MmaKind::kBFloat16x8;
    cuda_sim::multiply(kKind, d, a, b, where);
}

inline void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                             const Where &where = Where::current()) {
    cuda_sim::multiply(cuda_sim::MmaKind::kTf32, d, a, b, where);
}

inline uint32_t to_tf32(float value, const Where &where = Where::current()) {
    cuda_sim::require_arch(80, "cvt.rna.tf32", where);
    const auto bits = std::bit_cast<uint32_t>(value);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0x7fffffffu;
    // Half of the last place kept is added to the magnitude; Inf has no bits there to carry.
    return (bits + 0x1000u) & ~0x1fffu;
}

template <int bytes>
void cp_async(void *shared, const void *global, bool in_range, const Where &where = Where::current()) {
    static_assert(bytes == 4 || bytes == 8 || bytes == 16);
    cuda_sim::begin_copy(shared, global, bytes, in_range, where);
}

inline void cp_async_commit(const Where &where = Where::current()) {
    cuda_sim::commit_copies(where);
}

template <int groups>
void cp_async_wait(const Where &where = Where::current()) {
    cuda_sim::wait_for_copies(groups, where);
}

inline void barrier_sync(int id, int threads, const Where &where = Where::current()) {
    cuda_sim::sync_named(id, threads, true, where);
}

inline void barrier_arrive(int id, int threads, const Where &where = Where::current()) {
    cuda_sim::sync_named(id, threads, false, where);
}

template <class T>
float to_float(T value) {
    return convert<float>(value);
}

template <class T>
T from_float(float value) {
    return convert<T>(value);
}

template <class T>
uint32_t pack(float low, float high) {
    static_assert(is_half<T>);
    return from_float<T>(low).bits | static_cast<uint32_t>(from_float<T>(high).bits) << 16;
}

template <class T>
uint32_t pack_relu(float low, float high) {
    return pack<T>(low <= 0.0f ? 0.0f : low, high <= 0.0f ? 0.0f : high);
}

template <class Vector>
Vector load_streaming(const Vector *address) {
    static_assert(sizeof(Vector) == 16 && std::is_trivially_copyable_v<Vector>);
    return *address;
}

template <class Vector>
void store_streaming(Vector *address, const Vector &value) {
    static_assert(sizeof(Vector) == 16 && std::is_trivially_copyable_v<Vector>);
    *address = value;
}

template <class Vector>
void store_vector(Vector *address, const Vector &value) {
    static_assert(sizeof(Vector) == 16 && std::is_trivially_copyable_v<Vector>);
    *address = value;
}

inline unsigned block_index() {
    return blockIdx.x;
}

template <class T>
T keep(T value) {
    return value;
}

inline unsigned thread_index() {
    return threadIdx.x;
}

} // namespace mezzo::ptx
