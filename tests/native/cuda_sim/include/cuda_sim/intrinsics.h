// SPDX-License-Identifier: MIT
// Arithmetic built into CUDA C++: bits, reinterpretation, operations with their rounding in the name.
#pragma once

#include "cuda_sim/thread.h"

#include <bit>
#include <cmath>

inline int __popc(unsigned int value) {
    return std::popcount(value);
}
inline int __popcll(unsigned long long value) {
    return std::popcount(value);
}
inline int __clz(int value) {
    return std::countl_zero(static_cast<unsigned int>(value));
}
inline int __clzll(long long value) {
    return std::countl_zero(static_cast<unsigned long long>(value));
}
/// Position of the lowest bit, counted from 1; 0 when there is none.
inline int __ffs(int value) {
    return __builtin_ffs(value);
}
inline unsigned int __brev(unsigned int value) {
    unsigned int reversed = 0;
    for (int i = 0; i < 32; ++i) reversed |= (value >> i & 1u) << (31 - i);
    return reversed;
}
inline unsigned int __umulhi(unsigned int a, unsigned int b) {
    return static_cast<unsigned int>(static_cast<unsigned long long>(a) * b >> 32);
}

inline unsigned int __float_as_uint(float value) {
    return std::bit_cast<unsigned int>(value);
}
inline int __float_as_int(float value) {
    return std::bit_cast<int>(value);
}
inline float __uint_as_float(unsigned int value) {
    return std::bit_cast<float>(value);
}
inline float __int_as_float(int value) {
    return std::bit_cast<float>(value);
}
inline long long __double_as_longlong(double value) {
    return std::bit_cast<long long>(value);
}
inline double __longlong_as_double(long long value) {
    return std::bit_cast<double>(value);
}

// Rounded to nearest even and never contracted: what C++ gives under -ffp-contract=off.
inline float __fadd_rn(float a, float b) {
    return a + b;
}
inline float __fsub_rn(float a, float b) {
    return a - b;
}
inline float __fmul_rn(float a, float b) {
    return a * b;
}
inline float __fdiv_rn(float a, float b) {
    return a / b;
}
inline float __fsqrt_rn(float value) {
    return std::sqrt(value);
}
inline float __frcp_rn(float value) {
    return 1.0f / value;
}
inline float __fmaf_rn(float a, float b, float c) {
    return std::fma(a, b, c);
}
inline double __dadd_rn(double a, double b) {
    return a + b;
}
inline double __dsub_rn(double a, double b) {
    return a - b;
}
inline double __dmul_rn(double a, double b) {
    return a * b;
}
inline double __ddiv_rn(double a, double b) {
    return a / b;
}
inline double __dsqrt_rn(double value) {
    return std::sqrt(value);
}
inline double __drcp_rn(double value) {
    return 1.0 / value;
}
inline double __fma_rn(double a, double b, double c) {
    return std::fma(a, b, c);
}

// Not rounded like the device's, which is off by up to 2 units in the last place: avoid it.
inline float rsqrtf(float value) {
    return 1.0f / std::sqrt(value);
}
inline double rsqrt(double value) {
    return 1.0 / std::sqrt(value);
}

template <class T>
T __ldg(const T *address) {
    return *address;
}

[[noreturn]] inline void __trap(const mezzo::cuda_sim::Where &where = mezzo::cuda_sim::Where::current()) {
    mezzo::cuda_sim::fail_thread(where, "__trap()");
}
