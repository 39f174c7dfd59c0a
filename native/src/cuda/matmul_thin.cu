// SPDX-License-Identifier: MIT
// Matrix products in which one of out's sizes is 1, or at most 4: the head of a regression, a first layer of one
// feature, a batch of one row. They read the long operand once and have nothing to tile for;
// docs/kernels/cuda-matmul-simt.md.
//
//   out[m, n] = epilogue(sum over k of a[i, k] b[k, j])       few = n or, when few_rows, m;  long = the other
//
//   dot      the long operand is [long, k]: a warp takes 4 of its rows, its lanes go along k, and a butterfly adds
//            their sums
//   columns  the long operand is [k, long]: a thread takes 4 of its columns and every 16th row, and the threads of a
//            column are added in order
//
// Accumulated by fma in f32 (f64 for f64); the order of sums follows from the shapes alone.
// 2 m n k FLOP; each element of the long operand is read once, those of the short one come from the caches.
#include "cuda/matmul_epilogue.cuh"

#include <array>

namespace mezzo {
namespace {

constexpr int kThreads = 256;
constexpr int kResident = 2; // blocks of a multiprocessor; left to itself the compiler spills in order to fit three

__device__ __forceinline__ float multiply_add(float a, float b, float c) {
    return fmaf(a, b, c);
}
__device__ __forceinline__ double multiply_add(double a, double b, double c) {
    return fma(a, b, c);
}

/// The two operands of one member of a batch.
template <class T>
struct ThinOperands {
    const T *long_data; // [long, k] or [k, long]
    int long_vector;
    int64_t long_size;
    const T *few_data; // element (f, k) at f * few_stride + k * k_stride
    int few_vector;
    int64_t few_stride, k_stride;
    int few_size;

    __device__ __forceinline__ ThinOperands(const MatmulArguments &a, const MatmulTile &tile) {
        const T *left = reinterpret_cast<const T *>(a.a) + int64_t{tile.batch} * a.a_batch_stride;
        const T *right = reinterpret_cast<const T *>(a.b) + int64_t{tile.batch} * a.b_batch_stride;
        long_data = a.few_rows ? right : left;
        long_vector = a.few_rows ? a.b_vector : a.a_vector;
        long_size = a.few_rows ? a.n : a.m;
        few_data = a.few_rows ? left : right;
        few_vector = a.few_rows ? a.a_vector : a.b_vector;
        few_size = static_cast<int>(a.few_rows ? a.m : a.n);
        const bool k_first = a.few_rows ? a.a_transposed : !a.b_transposed;
        few_stride = k_first ? 1 : a.k;
        k_stride = k_first ? few_size : 1;
    }

    __device__ __forceinline__ Arithmetic<T> few(int f, int64_t k) const {
        return epilogue_detail::widen_element(few_data[f * few_stride + k * k_stride]);
    }
};

// ---- dot ----------------------------------------------------------------------------------------------------------

constexpr int kDotRows = 4; // of a warp
constexpr int kDotLong = kThreads / kWarpSize * kDotRows;
constexpr int kDotDepth = kWarpSize * kQuad;
static_assert(kDotRows == kQuad, "a warp's rows are a quad of out when few_rows");

template <class T, int kFew>
__global__ void __launch_bounds__(kThreads, kResident) matmul_thin_dot_kernel(MatmulArguments a) {
    using Sum = Arithmetic<T>;
    const MatmulTile tile = tile_of_block(a, blockIdx.x);
    const ThinOperands<T> operands(a, tile);
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int64_t first = int64_t{a.few_rows ? tile.tile_n : tile.tile_m} * kDotLong +
                          static_cast<int>(threadIdx.x) / kWarpSize * kDotRows;
    const T *rows = operands.long_data + first * a.k;

    Sum sums[kDotRows][kFew] = {};
    for (int64_t k = tile.k_begin + lane * kQuad; k < tile.k_end; k += kDotDepth) {
        const int64_t left = tile.k_end - k;
        const int count = static_cast<int>(left < kQuad ? left : kQuad);
        Sum x[kDotRows][kQuad];
        Sum y[kFew][kQuad];
        MEZZO_UNROLL
        for (int r = 0; r < kDotRows; ++r) {
            load_quad(x[r], rows + r * a.k + k, first + r < operands.long_size ? count : 0, operands.long_vector);
        }
        MEZZO_UNROLL
        for (int f = 0; f < kFew; ++f) {
            const int exists = f < operands.few_size ? count : 0;
            if (operands.k_stride == 1) {
                load_quad(y[f], operands.few_data + f * operands.few_stride + k, exists, operands.few_vector);
            } else {
                MEZZO_UNROLL
                for (int i = 0; i < kQuad; ++i) y[f][i] = i < exists ? operands.few(f, k + i) : Sum{0};
            }
        }
        MEZZO_UNROLL
        for (int r = 0; r < kDotRows; ++r) {
            MEZZO_UNROLL
            for (int f = 0; f < kFew; ++f) {
                MEZZO_UNROLL
                for (int i = 0; i < kQuad; ++i) sums[r][f] = multiply_add(x[r][i], y[f][i], sums[r][f]);
            }
        }
    }
    MEZZO_UNROLL
    for (int r = 0; r < kDotRows; ++r) {
        MEZZO_UNROLL
        for (int f = 0; f < kFew; ++f) {
            MEZZO_UNROLL
            for (int other = kWarpSize / 2; other > 0; other /= 2) {
                sums[r][f] += __shfl_xor_sync(kFullMask, sums[r][f], other);
            }
        }
    }

    // Lane l stores row l of the warp's, or row l of out when few_rows.
    Sum quad[kQuad] = {};
    MEZZO_UNROLL
    for (int r = 0; r < kDotRows; ++r) {
        MEZZO_UNROLL
        for (int f = 0; f < kFew; ++f) {
            if (a.few_rows && lane == f) quad[r] = sums[r][f];
            if (!a.few_rows && lane == r) quad[f] = sums[r][f];
        }
    }
    EpilogueThread<T> thread(a.epilogue, tile.batch, tile.split);
    if (lane < (a.few_rows ? kFew : kDotRows)) {
        thread.quad(a.few_rows ? lane : first + lane, a.few_rows ? first : 0, quad);
    }
    thread.vote();
}

// ---- columns ------------------------------------------------------------------------------------------------------

constexpr int kColumnQuads = 16;
constexpr int kColumnsLong = kColumnQuads * kQuad;
constexpr int kDepthLanes = kThreads / kColumnQuads;
constexpr int kRowsAtOnce = 4; // loaded before the first is used, to have more bytes in flight
constexpr int kColumnsDepth = kDepthLanes * kRowsAtOnce;

template <class T, int kFew>
__global__ void __launch_bounds__(kThreads) matmul_thin_columns_kernel(MatmulArguments a) {
    using Sum = Arithmetic<T>;
    struct alignas(16) Shared { // for quads
        Sum sums[kDepthLanes][kFew][kColumnsLong];
    };
    MEZZO_SHARED(Shared, shared);
    const MatmulTile tile = tile_of_block(a, blockIdx.x);
    const ThinOperands<T> operands(a, tile);
    const int thread = static_cast<int>(threadIdx.x);
    const int lane = thread / kColumnQuads;
    const int column = thread % kColumnQuads * kQuad;
    const int64_t first = int64_t{a.few_rows ? tile.tile_n : tile.tile_m} * kColumnsLong;
    const int64_t left = operands.long_size - first - column;
    const int count = static_cast<int>(left < 0 ? 0 : left < kQuad ? left : kQuad);
    const T *from = operands.long_data + first + column;

    Sum sums[kFew][kQuad] = {};
    for (int64_t k = tile.k_begin + lane; k < tile.k_end; k += kColumnsDepth) {
        Sum x[kRowsAtOnce][kQuad];
        Sum y[kRowsAtOnce][kFew];
        MEZZO_UNROLL
        for (int r = 0; r < kRowsAtOnce; ++r) {
            const int64_t row = k + r * kDepthLanes;
            const bool exists = row < tile.k_end;
            load_quad(x[r], from + row * operands.long_size, exists ? count : 0, operands.long_vector);
            MEZZO_UNROLL
            for (int f = 0; f < kFew; ++f) y[r][f] = exists && f < operands.few_size ? operands.few(f, row) : Sum{0};
        }
        MEZZO_UNROLL
        for (int r = 0; r < kRowsAtOnce; ++r) {
            MEZZO_UNROLL
            for (int f = 0; f < kFew; ++f) {
                MEZZO_UNROLL
                for (int i = 0; i < kQuad; ++i) sums[f][i] = multiply_add(x[r][i], y[r][f], sums[f][i]);
            }
        }
    }
    MEZZO_UNROLL
    for (int f = 0; f < kFew; ++f) epilogue_detail::store_pack<kQuad>(&shared.sums[lane][f][column], sums[f]);
    __syncthreads();

    // A thread takes a quad of a row of out when few_rows, else a row.
    EpilogueThread<T> finish(a.epilogue, tile.batch, tile.split);
    Sum quad[kQuad] = {};
    if (a.few_rows && thread < kFew * kColumnQuads) {
        const int f = thread / kColumnQuads;
        for (int l = 0; l < kDepthLanes; ++l) {
            MEZZO_UNROLL
            for (int i = 0; i < kQuad; ++i) quad[i] += shared.sums[l][f][column + i];
        }
    } else if (!a.few_rows && thread < kColumnsLong) {
        for (int l = 0; l < kDepthLanes; ++l) {
            MEZZO_UNROLL
            for (int f = 0; f < kFew; ++f) quad[f] += shared.sums[l][f][thread];
        }
    }
    if (thread < (a.few_rows ? kFew * kColumnQuads : kColumnsLong)) {
        finish.quad(a.few_rows ? thread / kColumnQuads : first + thread, a.few_rows ? first + column : 0, quad);
    }
    finish.vote();
}

// ---- registration -------------------------------------------------------------------------------------------------

/// How a kernel reads the long operand, and which of out's sizes is the small one.
struct ThinForm {
    bool dot;
    bool few_rows;
};

template <ThinForm kForm, int kFew>
constexpr TileShape thin_shape() {
    const int along = kForm.dot ? kDotLong : kColumnsLong;
    return {.m = kForm.few_rows ? kFew : along,
            .n = kForm.few_rows ? along : kFew,
            .k = kForm.dot ? kDotDepth : kColumnsDepth,
            .threads = kThreads,
            .shared_bytes = 0,
            .column_sums = false,
            .few_rows = kForm.few_rows};
}

template <class T, ThinForm kForm, int kFew>
void launch_thin(CudaDevice &device, const MatmulProblem &problem, int splits) {
    constexpr auto kernel = kForm.dot ? matmul_thin_dot_kernel<T, kFew> : matmul_thin_columns_kernel<T, kFew>;
    launch_tiles(device, problem, splits, thin_shape<kForm, kFew>(), kernel);
}

template <class T, ThinForm kForm, int kFew, bool kTransposed>
constexpr KernelName kThinName = KernelName() + "matmul_thin_" + dtype_of<T> +
                                 (kForm.dot ? "_dot_" : "_columns_") + kFew + (kForm.few_rows ? "_rows" : "_columns") +
                                 (kTransposed ? "_t" : "_n");

/// The kernel for one of the two layouts that it takes: that of the short operand does not matter.
template <class T, ThinForm kForm, int kFew, bool kTransposed>
constexpr MatmulKernel thin_kernel() {
    constexpr TileShape kShape = thin_shape<kForm, kFew>();
    constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
    return {.name = kThinName<T, kForm, kFew, kTransposed>.text(),
            .unit = MatmulUnit::kFma,
            .oldest_arch = 75,
            .dtype = dtype_of<T>,
            .tf32 = false,
            .a_transposed = kForm.few_rows ? kTransposed : !kForm.dot,
            .b_transposed = kForm.few_rows ? kForm.dot : kTransposed,
            .tile_m = kShape.m,
            .tile_n = kShape.n,
            .tile_k = kShape.k,
            .stages = 1,
            .threads = kThreads,
            .shared_bytes = 0,
            .alignment = sizeof(T),
            .launch = launch_thin<T, kForm, kFew>,
            .largest_m = kForm.few_rows ? kFew : kAny,
            .largest_n = kForm.few_rows ? kAny : kFew};
}

/// A C array, since nvcc 12.4 fails on the initializer of a std::array of these.
template <class T, int kFew>
constexpr MatmulKernel kThinKernels[] = {
    thin_kernel<T, ThinForm{true, false}, kFew, false>(),  thin_kernel<T, ThinForm{true, false}, kFew, true>(),
    thin_kernel<T, ThinForm{true, true}, kFew, false>(),   thin_kernel<T, ThinForm{true, true}, kFew, true>(),
    thin_kernel<T, ThinForm{false, false}, kFew, false>(), thin_kernel<T, ThinForm{false, false}, kFew, true>(),
    thin_kernel<T, ThinForm{false, true}, kFew, false>(),  thin_kernel<T, ThinForm{false, true}, kFew, true>()};

const std::array<MatmulFamily, 8> families{
    MatmulFamily(kThinKernels<float, 1>),    MatmulFamily(kThinKernels<float, 4>),
    MatmulFamily(kThinKernels<double, 1>),   MatmulFamily(kThinKernels<double, 4>),
    MatmulFamily(kThinKernels<Half, 1>),     MatmulFamily(kThinKernels<Half, 4>),
    MatmulFamily(kThinKernels<BFloat16, 1>), MatmulFamily(kThinKernels<BFloat16, 4>)};

} // namespace
} // namespace mezzo
