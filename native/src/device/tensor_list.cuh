// SPDX-License-Identifier: MIT
// Kernels over lists of tensors, one launch for all of them.
//
// The list travels in the kernel's parameters. These are copied when the kernel is launched or captured, so that no
// memory of the host's is read later and nothing is uploaded, and reads of them are cached as those of constants. Every
// driver takes 4096 bytes: 54 parameters of Adam, 127 gradients. A longer list takes several launches. Not taken:
// - the 32764 bytes of CUDA 12.1, since drivers older than R530, which serve CUDA 12 otherwise, cannot load such a
// kernel;
// - a table in device memory: to write it from parameters takes as many launches as this does, and then one more.
//
// Tensors are cut into tiles of one size, which the blocks take in turn. A thread has a share of a tile, kPacks packs
// of kWidth neighbouring elements, all under way at once. The last tile of a tensor and all tiles of a misaligned one
// are taken element by element, neighbours by neighbouring threads.
#pragma once

#include <algorithm>

#include "core/host_device.h"
#include "cuda/cuda_device.h"
#include "device/elementwise.cuh"
#include "device/launch.cuh"
#include "device/ptx.cuh"

namespace mezzo {

inline constexpr size_t kParameterBytes = 4096; // of a kernel
inline constexpr int kListThreads = 256;        // of a block

/// Tensors of one launch. An Entry says where the elements of one are.
template <class Entry, int kCapacity>
class TensorTable {
  public:
    MEZZO_HOST_DEVICE int count() const { return count_; }
    bool is_full() const { return count_ == kCapacity; }
    void clear() { count_ = 0; }

    /// `tile` is the number of elements that a tile of the tensor has.
    void add(const Entry &entry, int64_t elements, int64_t tile) {
        tensors_[count_] = {entry, elements, tiles() + (elements + tile - 1) / tile};
        count_ += 1;
    }

    /// One block for each tile, at least one and at most this many for each multiprocessor.
    dim3 grid(const CudaDevice &device, int blocks_of_processor) const {
        const int64_t most = int64_t{blocks_of_processor} * device.machine().processors;
        return dim3(static_cast<unsigned int>(std::clamp(tiles(), int64_t{1}, most)));
    }

    MEZZO_HOST_DEVICE int64_t tiles() const { return count_ == 0 ? 0 : tensors_[count_ - 1].end; }
    MEZZO_HOST_DEVICE const Entry &operator[](int tensor) const { return tensors_[tensor].entry; }
    MEZZO_HOST_DEVICE int64_t elements(int tensor) const { return tensors_[tensor].elements; }
    MEZZO_HOST_DEVICE int64_t first_tile(int tensor) const { return tensor == 0 ? 0 : tensors_[tensor - 1].end; }

    /// The tensor that a tile belongs to.
    MEZZO_HOST_DEVICE int tensor_of(int64_t tile) const {
        int low = 0;
        int high = count_ - 1;
        while (low < high) {
            const int middle = (low + high) / 2;
            if (tensors_[middle].end <= tile) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

  private:
    struct Tensor {
        Entry entry;
        int64_t elements;
        int64_t end; // tiles of this tensor and of all before it
    };

    int count_ = 0;
    Tensor tensors_[kCapacity];
};

/// How many tensors fit into a kernel's parameters beside `others` bytes.
template <class Entry>
constexpr int table_capacity(size_t others) {
    return static_cast<int>((kParameterBytes - others - sizeof(int64_t)) / (sizeof(Entry) + 2 * sizeof(int64_t)));
}

/// Whether packs can be read and written at a pointer.
template <int kWidth, class T>
MEZZO_HOST_DEVICE bool is_pack_aligned(const T *data) {
    return reinterpret_cast<uintptr_t>(data) % alignof(Pack<T, kWidth>) == 0;
}

/// A thread's share of a tile.
template <class T, int kWidth, int kPacks>
struct Share {
    static constexpr int kElements = kWidth * kPacks;
    static constexpr int kTile = kListThreads * kElements;

    Pack<T, kWidth> packs[kPacks];

    __device__ __forceinline__ T &operator[](int index) { return packs[index / kWidth].value[index % kWidth]; }

    /// Reads the thread's packs of a whole, aligned tile, or as many single elements of one that has `elements`.
    __device__ __forceinline__ void load(const T *tile, int elements, bool packed) {
        if (packed) {
            const auto *from = reinterpret_cast<const Pack<T, kWidth> *>(tile) + threadIdx.x;
            MEZZO_UNROLL
            for (int k = 0; k < kPacks; ++k) {
                if constexpr (sizeof(packs[0]) == kAccessBytes) {
                    packs[k] = ptx::load_streaming(from + k * kListThreads);
                } else {
                    packs[k] = from[k * kListThreads];
                }
            }
        } else {
            MEZZO_UNROLL
            for (int k = 0; k < kElements; ++k) {
                const int index = k * kListThreads + static_cast<int>(threadIdx.x);
                (*this)[k] = index < elements ? tile[index] : T{};
            }
        }
    }

    /// The way back. What is not to stay in a cache is streamed.
    template <bool kStreaming>
    __device__ __forceinline__ void store(T *tile, int elements, bool packed) const {
        if (packed) {
            auto *to = reinterpret_cast<Pack<T, kWidth> *>(tile) + threadIdx.x;
            MEZZO_UNROLL
            for (int k = 0; k < kPacks; ++k) {
                if constexpr (kStreaming && sizeof(packs[0]) == kAccessBytes) {
                    ptx::store_streaming(to + k * kListThreads, packs[k]);
                } else {
                    to[k * kListThreads] = packs[k];
                }
            }
        } else {
            MEZZO_UNROLL
            for (int k = 0; k < kElements; ++k) {
                const int index = k * kListThreads + static_cast<int>(threadIdx.x);
                if (index < elements) tile[index] = packs[k / kWidth].value[k % kWidth];
            }
        }
    }
};

} // namespace mezzo
