// SPDX-License-Identifier: MIT
// MEZZO_HOST_DEVICE marks a function that the CPU path and CUDA kernels share; MEZZO_UNROLL unrolls the short
// loops in it early enough for the loop around them to be vectorised.
//
// It is always inlined, so that it is compiled for the instruction set of the loop that calls it.
// Functions that promise the same bits on every device use +, -, *, /, sqrt and std::fma alone, which
// IEEE 754 rounds exactly, and never write a * b + c, which a CUDA compiler would fuse and a CPU would not.
#pragma once

#if defined(__CUDACC__)
#define MEZZO_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define MEZZO_HOST_DEVICE [[gnu::always_inline]] inline
#endif

#if defined(__CUDA_ARCH__) || defined(__clang__)
#define MEZZO_UNROLL _Pragma("unroll")
#elif defined(__CUDACC__)
#define MEZZO_UNROLL // the host's side of a .cu file, where neither spelling pleases both compilers
#else
#define MEZZO_UNROLL _Pragma("GCC unroll 16")
#endif
