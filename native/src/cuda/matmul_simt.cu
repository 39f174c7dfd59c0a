// SPDX-License-Identifier: MIT
// Matrix products by the threads' own multiply-adds: f32 and f64, and halves whose rows are too badly aligned for
// tensor cores. Any layout, any size, any alignment; docs/kernels/cuda-matmul-simt.md.
//
//   out[m, n] = epilogue(sum over k of a[i, k] b[k, j])
//
// A block computes a tile of kM x kN, a thread kRows x kColumns of it in registers. Panels of a and b, kK deep, go
// through registers into shared memory, [kK][kM] and [kK][kN] of accumulator's type whatever the layout of a and b, and
// while one pair is multiplied the next is on its way. A transposed matrix is one whose quads run along the other edge
// of its panel.
//
// Accumulated by fma in f32 (f64 for f64), k in order, parts of k in order. Deterministic.
// 2 m n k FLOP; reads a n / kN times and b m / kM times, from the second-level cache for the most part.
#include "cuda/matmul_epilogue.cuh"

#include <array>

#if defined(__CUDACC__)
#define MEZZO_NO_UNROLL _Pragma("unroll 1")
#else
#define MEZZO_NO_UNROLL
#endif

namespace mezzo {
namespace {

__device__ __forceinline__ float multiply_add(float a, float b, float c) {
    return fmaf(a, b, c);
}
__device__ __forceinline__ double multiply_add(double a, double b, double c) {
    return fma(a, b, c);
}

/// One operand's panel of a tile: kEdge rows of a, or columns of b, and kK of k. Its quads run along k or, when
/// `k_first`, along the edge; a thread has every kThreads-th of them, which lie under or beside each other.
template <class T, int kEdge, int kK, int kThreads>
class Panel {
    static constexpr int kQuads = kEdge * kK / kQuad / kThreads; // of a thread
    static constexpr int kAlongK = kK / kQuad, kAlongEdge = kEdge / kQuad;
    static_assert(kQuads * kQuad * kThreads == kEdge * kK && kThreads % kAlongK == 0 && kThreads % kAlongEdge == 0);

  public:
    using Sum = Arithmetic<T>;
    static constexpr int kStride = kEdge + kQuad; // in shared memory, [kK][kStride]
    static constexpr int kElements = kK * kStride;

    /// `matrix` is [edge, k], or [k, edge] when `k_first`; the panel begins at `first` of the edge and at `k_begin`.
    __device__ __forceinline__ Panel(const T *matrix, bool k_first, int vector, int64_t edge, int64_t first, int64_t k,
                                     int64_t k_begin)
        : k_first_(k_first), vector_(vector), stride_(k_first ? edge : k) {
        from_ = matrix + (k_first ? (k_begin + depth()) * stride_ + first + this->edge()
                                  : (first + this->edge()) * stride_ + k_begin + depth());
        const int64_t left = edge - first - this->edge();
        edge_left_ = static_cast<int>(left < kEdge ? left : kEdge);
    }

    /// Begins to load the next kK of k, of which `k_left` exist.
    __device__ __forceinline__ void load(int64_t k_left) {
        const int depth_left = static_cast<int>(k_left < kK ? k_left : kK) - depth();
        const T *from = from_;
        MEZZO_UNROLL
        for (int q = 0; q < kQuads; ++q) {
            // Elements that exist along the quad, and whether it lies where there are any.
            const int along = k_first_ ? edge_left_ : depth_left;
            const int across = k_first_ ? depth_left - q * kDepthStep : edge_left_ - q * kEdgeStep;
            const int count = across > 0 ? (along < kQuad ? along : kQuad) : 0;
            load_quad(held_[q], from, count, vector_);
            from += (k_first_ ? kDepthStep : kEdgeStep) * stride_;
        }
        from_ += k_first_ ? kK * stride_ : kK;
    }

    /// Stores it in shared memory.
    __device__ __forceinline__ void store(Sum *shared) const {
        Sum *to = shared + depth() * kStride + edge();
        MEZZO_UNROLL
        for (int q = 0; q < kQuads; ++q) {
            if (k_first_) {
                epilogue_detail::store_pack<kQuad>(to + q * kDepthStep * kStride, held_[q]);
            } else {
                MEZZO_UNROLL
                for (int i = 0; i < kQuad; ++i) to[i * kStride + q * kEdgeStep] = held_[q][i];
            }
        }
    }

  private:
    static constexpr int kEdgeStep = kThreads / kAlongK;     // from one quad of a thread to the next, along k
    static constexpr int kDepthStep = kThreads / kAlongEdge; // or along the edge

    /// Where the thread's first quad begins.
    __device__ __forceinline__ int edge() const {
        const int thread = static_cast<int>(threadIdx.x);
        return k_first_ ? thread % kAlongEdge * kQuad : thread / kAlongK;
    }
    __device__ __forceinline__ int depth() const {
        const int thread = static_cast<int>(threadIdx.x);
        return k_first_ ? thread / kAlongEdge : thread % kAlongK * kQuad;
    }

    bool k_first_;
    int vector_;
    int edge_left_; // elements of the edge from the first quad on, at most kEdge
    int64_t stride_;
    const T *from_;
    Sum held_[kQuads][kQuad];
};

/// Sizes of a tile and of a thread's share of it. Thread (x, y) has quads of rows, at 4 y and every kM / (kRows / 4)
/// from there, and of columns likewise, so that a warp reads adjacent quads of shared memory.
template <class Element, int kTileM, int kTileN, int kTileK, int kThreadRows, int kThreadColumns, int kBlocksAtOnce>
struct SimtTile {
    using T = Element;
    using Sum = Arithmetic<T>;
    static constexpr int kM = kTileM, kN = kTileN, kK = kTileK;
    static constexpr int kRows = kThreadRows, kColumns = kThreadColumns;
    static constexpr int kThreadsX = kN / kColumns, kThreadsY = kM / kRows;
    static constexpr int kThreads = kThreadsX * kThreadsY;
    static constexpr int kResident = kBlocksAtOnce;
    using PanelA = Panel<T, kM, kK, kThreads>;
    using PanelB = Panel<T, kN, kK, kThreads>;
    static constexpr int kStages = 2;
    static constexpr int kStage = PanelA::kElements + PanelB::kElements;
    static constexpr TileShape kShape{kM, kN, kK, kThreads, int64_t{kStages} * kStage * sizeof(Sum)};
    static_assert(kThreadsY * kN <= kStages * kStage, "the sums of columns go through the same memory");
};

/// Adds the products of one pair of panels.
template <class Tile, class Sum = typename Tile::Sum>
__device__ __forceinline__ void multiply_panels(Sum (&sums)[Tile::kRows][Tile::kColumns], const Sum *a, const Sum *b) {
    constexpr int kQuadsA = Tile::kRows / kQuad, kQuadsB = Tile::kColumns / kQuad;
    const int x = static_cast<int>(threadIdx.x) % Tile::kThreadsX;
    const int y = static_cast<int>(threadIdx.x) / Tile::kThreadsX;
    MEZZO_UNROLL
    for (int k = 0; k < Tile::kK; ++k) {
        Sum left[Tile::kRows];
        Sum right[Tile::kColumns];
        MEZZO_UNROLL
        for (int q = 0; q < kQuadsA; ++q) {
            epilogue_detail::load_pack<kQuad>(left + q * kQuad,
                                              a + k * Tile::PanelA::kStride + q * (Tile::kM / kQuadsA) + y * kQuad);
        }
        MEZZO_UNROLL
        for (int q = 0; q < kQuadsB; ++q) {
            epilogue_detail::load_pack<kQuad>(right + q * kQuad,
                                              b + k * Tile::PanelB::kStride + q * (Tile::kN / kQuadsB) + x * kQuad);
        }
        MEZZO_UNROLL
        for (int i = 0; i < Tile::kRows; ++i) {
            MEZZO_UNROLL
            for (int j = 0; j < Tile::kColumns; ++j) sums[i][j] = multiply_add(left[i], right[j], sums[i][j]);
        }
    }
}

/// Finishes the tile. The rows are taken one at a time, and the sums move up, so that there is one copy of the code.
/// The tile is worked out again, since the main loop has no registers left to keep it in.
template <class Tile, class Sum = typename Tile::Sum>
__device__ __forceinline__ void finish_tile(const MatmulArguments &a, Sum (&sums)[Tile::kRows][Tile::kColumns],
                                            Sum *shared) {
    const MatmulTile tile = tile_of_block(a, ptx::block_index());
    constexpr int kQuadsA = Tile::kRows / kQuad, kQuadsB = Tile::kColumns / kQuad;
    const int x = static_cast<int>(threadIdx.x) % Tile::kThreadsX;
    const int y = static_cast<int>(threadIdx.x) / Tile::kThreadsX;
    EpilogueThread<typename Tile::T> thread(a.epilogue, tile.batch, tile.split);
    Sum column_sums[kQuadsB][kQuad] = {};
    MEZZO_NO_UNROLL
    for (int i = 0; i < Tile::kRows; ++i) {
        const int64_t row = int64_t{tile.tile_m} * Tile::kM + i / kQuad * (Tile::kM / kQuadsA) + y * kQuad + i % kQuad;
        MEZZO_UNROLL
        for (int q = 0; q < kQuadsB; ++q) {
            const int64_t column = int64_t{tile.tile_n} * Tile::kN + q * (Tile::kN / kQuadsB) + x * kQuad;
            Sum quad[kQuad];
            MEZZO_UNROLL
            for (int j = 0; j < kQuad; ++j) quad[j] = sums[0][q * kQuad + j];
            thread.quad(row, column, quad);
            MEZZO_UNROLL
            for (int j = 0; j < kQuad; ++j) column_sums[q][j] += quad[j];
        }
        MEZZO_UNROLL
        for (int next = 1; next < Tile::kRows; ++next) {
            MEZZO_UNROLL
            for (int j = 0; j < Tile::kColumns; ++j) sums[next - 1][j] = sums[next][j];
        }
    }
    thread.vote();
    if (a.epilogue.column_partials == nullptr) return;
    __syncthreads(); // the last panels have been read
    MEZZO_UNROLL
    for (int q = 0; q < kQuadsB; ++q) {
        epilogue_detail::store_pack<kQuad>(shared + y * Tile::kN + q * (Tile::kN / kQuadsB) + x * kQuad,
                                           column_sums[q]);
    }
    __syncthreads();
    store_column_sums<Sum, Tile::kThreads, Tile::kThreadsY, Tile::kN>(a.epilogue, a, tile, shared);
}

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kResident) matmul_simt_kernel(MatmulArguments a) {
    using T = typename Tile::T;
    using Sum = typename Tile::Sum;
    MEZZO_DYNAMIC_SHARED(Sum, shared); // [kStages][kStage]
    const MatmulTile tile = tile_of_block(a, blockIdx.x);
    const T *a_data = reinterpret_cast<const T *>(a.a) + int64_t{tile.batch} * a.a_batch_stride;
    const T *b_data = reinterpret_cast<const T *>(a.b) + int64_t{tile.batch} * a.b_batch_stride;
    typename Tile::PanelA panel_a(a_data, a.a_transposed, a.a_vector, a.m, int64_t{tile.tile_m} * Tile::kM, a.k,
                                  tile.k_begin);
    typename Tile::PanelB panel_b(b_data, !a.b_transposed, a.b_vector, a.n, int64_t{tile.tile_n} * Tile::kN, a.k,
                                  tile.k_begin);

    Sum sums[Tile::kRows][Tile::kColumns] = {};
    int64_t k_left = tile.k_end - tile.k_begin;
    panel_a.load(k_left);
    panel_b.load(k_left);
    panel_a.store(shared);
    panel_b.store(shared + Tile::PanelA::kElements);
    __syncthreads();
    Sum *current = shared;
    Sum *next = shared + Tile::kStage;
    for (; k_left > Tile::kK; k_left -= Tile::kK) {
        panel_a.load(k_left - Tile::kK);
        panel_b.load(k_left - Tile::kK);
        multiply_panels<Tile>(sums, current, current + Tile::PanelA::kElements);
        panel_a.store(next);
        panel_b.store(next + Tile::PanelA::kElements);
        __syncthreads();
        Sum *const done = current;
        current = next;
        next = done;
    }
    multiply_panels<Tile>(sums, current, current + Tile::PanelA::kElements);
    finish_tile<Tile>(a, sums, shared);
}

template <class Tile>
void launch_simt(CudaDevice &device, const MatmulProblem &problem, int splits) {
    launch_tiles(device, problem, splits, Tile::kShape, matmul_simt_kernel<Tile>);
}

template <class Tile, bool kTransposedA, bool kTransposedB>
constexpr KernelName kSimtName = KernelName() + "matmul_simt_" + dtype_of<typename Tile::T> + "_" + Tile::kM +
                                 "x" + Tile::kN + "x" + Tile::kK + (kTransposedA ? "_t" : "_n") +
                                 (kTransposedB ? "t" : "n");

template <class Tile, bool kTransposedA, bool kTransposedB>
constexpr MatmulKernel simt_kernel() {
    return {.name = kSimtName<Tile, kTransposedA, kTransposedB>.text(),
            .unit = MatmulUnit::kFma,
            .oldest_arch = 75,
            .dtype = dtype_of<typename Tile::T>,
            .tf32 = false,
            .a_transposed = kTransposedA,
            .b_transposed = kTransposedB,
            .tile_m = Tile::kM,
            .tile_n = Tile::kN,
            .tile_k = Tile::kK,
            .stages = Tile::kStages,
            .threads = Tile::kThreads,
            .shared_bytes = Tile::kShape.shared_bytes,
            .alignment = sizeof(typename Tile::T),
            .launch = launch_simt<Tile>};
}

/// A kernel in its four layouts, which are one to the compiler. A C array, since nvcc 12.4 fails on the initializer of
/// a std::array of these.
template <class Tile>
constexpr MatmulKernel kSimtKernels[] = {simt_kernel<Tile, false, false>(), simt_kernel<Tile, false, true>(),
                                         simt_kernel<Tile, true, false>(), simt_kernel<Tile, true, true>()};

// Element, tile, a thread's share, blocks of a multiprocessor. A thread of f64 has fewer sums, which take two
// registers.
const std::array<MatmulFamily, 10> families{
    MatmulFamily(kSimtKernels<SimtTile<float, 128, 128, 8, 8, 8, 2>>),
    MatmulFamily(kSimtKernels<SimtTile<float, 128, 32, 16, 8, 4, 4>>), // many rows of few features
    MatmulFamily(kSimtKernels<SimtTile<float, 64, 64, 16, 8, 4, 4>>),
    MatmulFamily(kSimtKernels<SimtTile<float, 32, 32, 32, 4, 4, 8>>),
    MatmulFamily(kSimtKernels<SimtTile<double, 64, 64, 8, 8, 4, 3>>),
    MatmulFamily(kSimtKernels<SimtTile<double, 32, 32, 16, 4, 4, 8>>),
    MatmulFamily(kSimtKernels<SimtTile<Half, 64, 64, 16, 8, 4, 4>>),
    MatmulFamily(kSimtKernels<SimtTile<Half, 32, 32, 32, 4, 4, 8>>),
    MatmulFamily(kSimtKernels<SimtTile<BFloat16, 64, 64, 16, 8, 4, 4>>),
    MatmulFamily(kSimtKernels<SimtTile<BFloat16, 32, 32, 32, 4, 4, 8>>)};

} // namespace
} // namespace mezzo
