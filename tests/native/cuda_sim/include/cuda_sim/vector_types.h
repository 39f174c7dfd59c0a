// SPDX-License-Identifier: MIT
// CUDA's vector types, laid out and aligned as the toolkit's.
#pragma once

#include <cstddef>

struct dim3 {
    unsigned int x, y, z;
    constexpr dim3(unsigned int vx = 1, unsigned int vy = 1, unsigned int vz = 1) : x(vx), y(vy), z(vz) {}
};

// A vector of two or four is aligned as one access of all of it, up to 16 bytes.
#define CUDA_SIM_VECTOR_TYPES(name, element)                                       \
    struct name##1 {                                                               \
        element x;                                                                 \
    };                                                                             \
    struct alignas(2 * sizeof(element)) name##2 {                                  \
        element x, y;                                                              \
    };                                                                             \
    struct name##3 {                                                               \
        element x, y, z;                                                           \
    };                                                                             \
    struct alignas(4 * sizeof(element) < 16 ? 4 * sizeof(element) : 16) name##4 {  \
        element x, y, z, w;                                                        \
    };                                                                             \
    constexpr name##1 make_##name##1(element x) {                                  \
        return {x};                                                                \
    }                                                                              \
    constexpr name##2 make_##name##2(element x, element y) {                       \
        return {x, y};                                                             \
    }                                                                              \
    constexpr name##3 make_##name##3(element x, element y, element z) {            \
        return {x, y, z};                                                          \
    }                                                                              \
    constexpr name##4 make_##name##4(element x, element y, element z, element w) { \
        return {x, y, z, w};                                                       \
    }

CUDA_SIM_VECTOR_TYPES(char, signed char)
CUDA_SIM_VECTOR_TYPES(uchar, unsigned char)
CUDA_SIM_VECTOR_TYPES(short, short)
CUDA_SIM_VECTOR_TYPES(ushort, unsigned short)
CUDA_SIM_VECTOR_TYPES(int, int)
CUDA_SIM_VECTOR_TYPES(uint, unsigned int)
CUDA_SIM_VECTOR_TYPES(long, long)
CUDA_SIM_VECTOR_TYPES(ulong, unsigned long)
CUDA_SIM_VECTOR_TYPES(longlong, long long)
CUDA_SIM_VECTOR_TYPES(ulonglong, unsigned long long)
CUDA_SIM_VECTOR_TYPES(float, float)
CUDA_SIM_VECTOR_TYPES(double, double)

#undef CUDA_SIM_VECTOR_TYPES
