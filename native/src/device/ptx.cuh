// SPDX-License-Identifier: MIT
// Every PTX instruction that kernels use, as functions; the only inline assembly of the project. The simulated
// versions, of the same signatures, are in tests/native/cuda_sim/include/cuda_sim/ptx.h.
//
// Pointers into shared memory are ordinary ones. An instruction that the compiled architecture lacks traps: the choice
// of a kernel by compute capability must not lead there. Fragments are plain registers in the PTX manual's layouts.
// Source: PTX ISA 8.4, "Warp Level Matrix Instructions", "Data Movement and Conversion Instructions".
#pragma once

#include "core/dtype.h"
#include "device/kernel.cuh"

#if defined(MEZZO_CUDA_SIM)

#include "cuda_sim/ptx.h"

#else

namespace mezzo::ptx {

#if defined(__CUDA_ARCH__)
inline constexpr int kArch = __CUDA_ARCH__ / 10;
#else
inline constexpr int kArch = 0; // the host's pass, which compiles no device code
#endif

__device__ __forceinline__ uint32_t shared_address(const void *pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// ---- ldmatrix: 8x8 matrices of 16-bit elements from shared memory. Lanes 8 i to 8 i + 7 name the rows of matrix i,
// 16 bytes each and aligned to as many; each lane gets two neighbours of row lane / 4, or of that column (_trans).

__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)));
}

__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)));
}

__device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row)));
}

__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row)));
}

// ---- mma: d += a b for one warp, accumulated in f32. a is (16, k) row-major, b (k, 8) column-major, d (16, 8).

/// k = 16 halves. From compute capability 8.0 on.
template <class T>
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    static_assert(is_half<T>);
    if constexpr (kArch < 80) {
        __trap();
    } else if constexpr (std::is_same_v<T, Half>) {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    } else {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
}

/// k = 8 halves. f16 on every architecture, bf16 from 8.0 on.
template <class T>
__device__ __forceinline__ void mma_m16n8k8(float (&d)[4], const uint32_t (&a)[2], const uint32_t (&b)[1]) {
    static_assert(is_half<T>);
    if constexpr (std::is_same_v<T, Half>) {
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(b[0]));
    } else if constexpr (kArch < 80) {
        __trap();
    } else {
        asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(b[0]));
    }
}

/// k = 8 numbers made by to_tf32(). From compute capability 8.0 on.
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    if constexpr (kArch < 80) {
        __trap();
    } else {
        asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
}

/// A float rounded to the 10 fraction bits of tf32, ties away from zero. From compute capability 8.0 on.
__device__ __forceinline__ uint32_t to_tf32(float value) {
    uint32_t result = 0;
    if constexpr (kArch < 80) {
        __trap();
    } else {
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(value));
    }
    return result;
}

// ---- cp.async: copies from global to shared memory that arrive later. From compute capability 8.0 on.

/// Begins to copy 4, 8 or 16 bytes, both sides aligned to as many; writes zeros and does not read when !in_range.
template <int bytes>
__device__ __forceinline__ void cp_async(void *shared, const void *global, bool in_range) {
    static_assert(bytes == 4 || bytes == 8 || bytes == 16);
    if constexpr (kArch < 80) {
        __trap();
    } else if constexpr (bytes == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                     "l"(__cvta_generic_to_global(global)), "r"(in_range ? bytes : 0));
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(shared_address(shared)),
                     "l"(__cvta_generic_to_global(global)), "r"(in_range ? bytes : 0), "n"(bytes));
    }
}

/// Ends a group: the thread's copies since the last group.
__device__ __forceinline__ void cp_async_commit() {
    if constexpr (kArch < 80) {
        __trap();
    } else {
        asm volatile("cp.async.commit_group;" ::: "memory");
    }
}

/// Waits for the thread's own groups but the `groups` youngest; others see the data after a barrier.
template <int groups>
__device__ __forceinline__ void cp_async_wait() {
    if constexpr (kArch < 80) {
        __trap();
    } else {
        asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
    }
}

// ---- Named barriers: 0 (that of __syncthreads()) to 15, for a multiple of 32 threads, warps as a whole.

__device__ __forceinline__ void barrier_sync(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// Counts the thread without waiting.
__device__ __forceinline__ void barrier_arrive(int id, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// ---- Conversions, to nearest even: too large gives Inf, NaN stays NaN.

__device__ __forceinline__ float to_float(float value) {
    return value;
}

__device__ __forceinline__ float to_float(Half value) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
}

__device__ __forceinline__ float to_float(BFloat16 value) {
    return __uint_as_float(static_cast<uint32_t>(value.bits) << 16);
}

/// bf16 without the instruction, for compute capability 7.5.
__device__ __forceinline__ uint32_t round_to_bfloat16(float value) {
    const uint32_t bits = __float_as_uint(value);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return value != value ? 0x7fffu : rounded;
}

/// A float as T: Half, BFloat16 or float itself.
template <class T>
__device__ __forceinline__ T from_float(float value) {
    if constexpr (std::is_same_v<T, float>) {
        return value;
    } else if constexpr (std::is_same_v<T, Half>) {
        Half result;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
        return result;
    } else if constexpr (kArch < 80) {
        return BFloat16{static_cast<uint16_t>(round_to_bfloat16(value))};
    } else {
        BFloat16 result;
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
        return result;
    }
}

/// Two floats as halves in one register, `low` in the lower half.
template <class T>
__device__ __forceinline__ uint32_t pack(float low, float high) {
    static_assert(is_half<T>);
    uint32_t result;
    if constexpr (kArch < 80) {
        result = from_float<T>(low).bits | static_cast<uint32_t>(from_float<T>(high).bits) << 16;
    } else if constexpr (std::is_same_v<T, Half>) {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    } else {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    }
    return result;
}

/// pack() of max(value, 0); NaN stays NaN, as the manual says of .relu.
template <class T>
__device__ __forceinline__ uint32_t pack_relu(float low, float high) {
    static_assert(is_half<T>);
    uint32_t result;
    if constexpr (kArch < 80) {
        result = pack<T>(low <= 0.0f ? 0.0f : low, high <= 0.0f ? 0.0f : high);
    } else if constexpr (std::is_same_v<T, Half>) {
        asm("cvt.rn.relu.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    } else {
        asm("cvt.rn.relu.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    }
    return result;
}

// ---- Global memory that is touched once: 16 bytes that need not stay in a cache.

template <class Vector>
__device__ __forceinline__ Vector load_streaming(const Vector *address) {
    static_assert(sizeof(Vector) == 16 && std::is_trivially_copyable_v<Vector>);
    uint4 bits;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(bits.x), "=r"(bits.y), "=r"(bits.z), "=r"(bits.w)
                 : "l"(__cvta_generic_to_global(address))
                 : "memory");
    return __builtin_bit_cast(Vector, bits);
}

template <class Vector>
__device__ __forceinline__ void store_streaming(Vector *address, const Vector &value) {
    static_assert(sizeof(Vector) == 16 && std::is_trivially_copyable_v<Vector>);
    const uint4 bits = __builtin_bit_cast(uint4, value);
    asm volatile("st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(address)), "r"(bits.x),
                 "r"(bits.y), "r"(bits.z), "r"(bits.w)
                 : "memory");
}

/// 16 bytes of global memory written by one instruction: of a struct of four words the compiler may make four stores.
template <class Vector>
__device__ __forceinline__ void store_vector(Vector *address, const Vector &value) {
    static_assert(sizeof(Vector) == 16 && std::is_trivially_copyable_v<Vector>);
    const uint4 bits = __builtin_bit_cast(uint4, value);
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(address)), "r"(bits.x),
                 "r"(bits.y), "r"(bits.z), "r"(bits.w)
                 : "memory");
}

// ---- Registers.

/// blockIdx.x, read anew: what is computed from it is not the same to the compiler as what was computed before.
__device__ __forceinline__ unsigned block_index() {
    unsigned index;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(index));
    return index;
}

/// `value`, of which the compiler knows nothing afterwards: neither its range nor how to compute it again.
template <class T>
__device__ __forceinline__ T keep(T value) {
    static_assert(sizeof(T) == 4);
    asm volatile("" : "+r"(value));
    return value;
}

/// threadIdx.x, read for good: what is computed from it is kept, where it would else be computed again in a loop.
__device__ __forceinline__ unsigned thread_index() {
    unsigned index;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
    return index;
}

} // namespace mezzo::ptx

#endif
