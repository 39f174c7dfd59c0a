// SPDX-License-Identifier: MIT
// The registry of kernels and the choice of one. Costs are in cycles of a multiprocessor; they rank kernels, and are no
// promise of a time.
#include "cuda/matmul.h"

#include "cuda/matmul_reduce.h"
#include "cuda/matmul_tile.h"
#include "device/launch.cuh"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

namespace mezzo {
namespace {

/// Kernels as they register, in no order that could be relied on.
std::vector<const MatmulKernel *> &registered() {
    static auto &kernels = *new std::vector<const MatmulKernel *>;
    return kernels;
}

/// What a multiprocessor of an architecture does in a cycle. From the tables of throughput in NVIDIA's CUDA C++
/// Programming Guide and the data sheets; bytes from DRAM are a large board's.
struct ArchRates {
    int arch;
    int64_t threads; // that a multiprocessor holds
    double fma_f32;
    double fma_f64;
    double tensor_half; // multiply-adds of f16 or bf16; tf32 has half of it
    double l2_bytes;
    double dram_bytes;
};

constexpr std::array<ArchRates, 6> kRates{{{75, 1024, 64, 2, 512, 32, 5},
                                           {80, 2048, 64, 32, 1024, 48, 11},
                                           {86, 1536, 128, 2, 512, 32, 5},
                                           {90, 2048, 128, 64, 2048, 48, 18},
                                           {100, 2048, 128, 64, 4096, 64, 26},
                                           {120, 1536, 128, 2, 512, 32, 5}}};

constexpr double kLaunchCycles = 3000; // what one more launch takes
constexpr double kBlockCycles = 1200;  // from the start of a block to its first product
constexpr double kBarrierCycles = 600; // and what the barriers at its start and end take, if it has any
constexpr double kLoadCycles = 700;    // from a load of global memory to its data
constexpr double kOverlapLoss = 0.1;   // of the shorter of arithmetic and memory, where both go on at once
constexpr int64_t kRegisters = 65536;  // of a multiprocessor

const ArchRates &rates_of(int arch) {
    const ArchRates *rates = &kRates.front();
    for (const ArchRates &each : kRates) {
        if (each.arch <= arch) rates = &each;
    }
    return *rates;
}

/// The multiply-adds a cycle that a kernel's instructions allow.
double multiply_rate(const MatmulKernel &kernel, const CudaMachine &machine) {
    const ArchRates &rates = rates_of(machine.arch);
    if (kernel.unit == MatmulUnit::kFma) return kernel.dtype == MEZZO_DTYPE_F64 ? rates.fma_f64 : rates.fma_f32;
    // Older instructions do not reach the rate of a newer architecture: m16n8k8 half of Ampere's, mma.sync about
    // 0.6 of Hopper's.
    double rate = kernel.tf32 ? rates.tensor_half / 2 : rates.tensor_half;
    if (kernel.oldest_arch < 80 && machine.arch >= 80) rate /= 2;
    if (kernel.oldest_arch < 90 && machine.arch >= 90) rate *= 0.6;
    return rate;
}

int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

double as_double(int64_t value) {
    return static_cast<double>(value);
}

/// Parts that k really falls into when `splits` are asked for, each of whole tiles and none of them empty.
struct Splits {
    int64_t count;
    int64_t k_each;
};

Splits split_k(int64_t k, int64_t splits, int64_t tile_k) {
    const int64_t k_each = divide_up(divide_up(k, splits), tile_k) * tile_k;
    return {divide_up(k, k_each), k_each};
}

int64_t tiles_of(const MatmulKernel &kernel, const MatmulProblem &problem) {
    return divide_up(problem.m, kernel.tile_m) * divide_up(problem.n, kernel.tile_n) * problem.batch;
}

/// Blocks that a multiprocessor holds at once.
int64_t resident_blocks(const MatmulKernel &kernel, const CudaMachine &machine) {
    const int64_t accumulators = int64_t{kernel.tile_m} * kernel.tile_n / kernel.threads;
    const int64_t words = kernel.dtype == MEZZO_DTYPE_F64 ? 2 : 1;
    const int64_t registers = std::min<int64_t>(255, accumulators * words + 56);
    const int64_t by_registers = kRegisters / (registers * kernel.threads);
    const int64_t by_threads = rates_of(machine.arch).threads / kernel.threads;
    const int64_t by_shared = kernel.shared_bytes == 0 ? by_threads : machine.shared_max / kernel.shared_bytes;
    return std::max<int64_t>(1, std::min({by_registers, by_threads, by_shared}));
}

/// Bytes that the epilogue of one element reads and writes.
int64_t epilogue_bytes(const MatmulProblem &problem) {
    int64_t bytes = dtype_size(problem.out.dtype);
    if (problem.epilogue.accumulate) bytes += dtype_size(problem.out.dtype);
    if (problem.epilogue.mask) bytes += dtype_size(problem.epilogue.mask.dtype);
    return bytes;
}

/// Cycles of shared memory for one element of k of a tile. Fragments are read once for each row and once for each
/// column: of a warp's accumulators by tensor cores, of a thread's, four at a time, by threads.
double shared_cycles(const MatmulKernel &kernel) {
    if (kernel.shared_bytes == 0) return 0;
    constexpr double kBytes = 128;    // of a cycle
    constexpr double kQuadCycles = 3; // for a quad of every thread of a warp, many of which are the same
    const double warps = kernel.threads / 32.0;
    const double area = static_cast<double>(kernel.tile_m) * kernel.tile_n;
    if (kernel.unit == MatmulUnit::kTensorCore) {
        return warps * 2 * std::sqrt(area / warps) * as_double(dtype_size(kernel.dtype)) / kBytes;
    }
    const double quads = 2 * std::sqrt(area / kernel.threads) / 4;
    return warps * quads * kQuadCycles * (kernel.dtype == MEZZO_DTYPE_F64 ? 2 : 1);
}

/// What takes `a` and `b` cycles, each on its own, when both go on at once.
double overlapped(double a, double b) {
    constexpr double kLoss = 0.1;
    return std::max(a, b) + kLoss * std::min(a, b);
}

double estimate_cycles(const MatmulKernel &kernel, const MatmulProblem &problem, const CudaMachine &machine,
                       const Splits &splits) {
    const ArchRates &rates = rates_of(machine.arch);
    const double element = as_double(dtype_size(problem.dtype));
    const double accumulator = problem.dtype == MEZZO_DTYPE_F64 ? 8 : 4;
    const double stored = splits.count > 1 ? accumulator : as_double(epilogue_bytes(problem));
    const double area = as_double(int64_t{kernel.tile_m} * kernel.tile_n);
    const double tiles_k = as_double(divide_up(std::min(splits.k_each, problem.k), kernel.tile_k));
    const double depth = tiles_k * kernel.tile_k;

    // What a multiprocessor needs for a tile, whatever the number of blocks it holds.
    const double arithmetic = overlapped(area / multiply_rate(kernel, machine), shared_cycles(kernel)) * depth;
    const double operands = (kernel.tile_m + kernel.tile_n) * depth * element / rates.l2_bytes;
    const double tile = overlapped(arithmetic, operands) + area * stored / rates.l2_bytes;

    // What a block needs by itself: its first loads, and the others, which are issued some stages ahead.
    const double in_flight = std::max(kernel.stages - 1, 1);
    const double start = kernel.shared_bytes == 0 ? kBlockCycles : kBlockCycles + kBarrierCycles;
    const double block = start + std::max(1.0, tiles_k / in_flight) * kLoadCycles;

    const int64_t blocks = tiles_of(kernel, problem) * splits.count;
    const int64_t blocks_each = divide_up(blocks, machine.processors);
    const double rounds =
        std::max(1.0, as_double(blocks) / as_double(machine.processors * resident_blocks(kernel, machine)));
    double cycles = overlapped(as_double(blocks_each) * tile, rounds * block);

    const double outputs = as_double(problem.batch) * as_double(problem.m) * as_double(problem.n);
    const double inputs = as_double(problem.batch) * as_double(problem.k) * as_double(problem.m + problem.n) * element;
    const double dram = machine.processors * rates.dram_bytes;
    cycles = overlapped(cycles, (inputs + outputs * as_double(epilogue_bytes(problem))) / dram);
    if (splits.count > 1) {
        const double partials = outputs * as_double(splits.count) * accumulator;
        const bool cached = partials < as_double(machine.l2_bytes);
        cycles += kLaunchCycles + 2 * partials / (cached ? machine.processors * rates.l2_bytes : dram);
    }
    return cycles;
}

/// The largest number of bytes, at most 16, that is a power of two and divides `bytes`.
int64_t alignment_of(int64_t bytes) {
    constexpr int64_t kLargest = 16;
    return std::min(kLargest, (bytes | kLargest) & -(bytes | kLargest));
}

int64_t alignment_of(const std::byte *pointer) {
    return alignment_of(static_cast<int64_t>(reinterpret_cast<uintptr_t>(pointer)));
}

/// Elements that an access may take: `bytes` is the alignment of every row, `row` the elements in one.
int vector_of(int64_t bytes, int64_t row, int64_t element) {
    for (const int vector : {4, 2}) {
        if (row % vector == 0 && bytes % std::min<int64_t>(16, vector * element) == 0) return vector;
    }
    return 1;
}

/// Bytes that the rows of a matrix are aligned to.
int64_t rows_alignment(const std::byte *data, int64_t row, int64_t batch_stride, int64_t element) {
    return std::min({alignment_of(data), alignment_of(row * element), alignment_of(batch_stride * element)});
}

} // namespace

MatmulFamily::MatmulFamily(std::span<const MatmulKernel> kernels) {
    for (const MatmulKernel &kernel : kernels) registered().push_back(&kernel);
}

std::span<const MatmulKernel *const> matmul_kernels() {
    static const std::vector<const MatmulKernel *> &sorted = *new std::vector<const MatmulKernel *>([] {
        std::vector<const MatmulKernel *> kernels = registered();
        std::sort(kernels.begin(), kernels.end(),
                  [](const MatmulKernel *a, const MatmulKernel *b) { return std::strcmp(a->name, b->name) < 0; });
        return kernels;
    }());
    return sorted;
}

int matmul_alignment(const MatmulProblem &p) {
    const int64_t element = dtype_size(p.dtype);
    return static_cast<int>(std::min(rows_alignment(p.a, p.a_transposed ? p.m : p.k, p.a_batch_stride, element),
                                     rows_alignment(p.b, p.b_transposed ? p.k : p.n, p.b_batch_stride, element)));
}

bool can_run(const MatmulKernel &kernel, const MatmulProblem &problem, const CudaMachine &machine) {
    return kernel.dtype == problem.dtype && kernel.a_transposed == problem.a_transposed &&
           kernel.b_transposed == problem.b_transposed && (!kernel.tf32 || problem.allow_tf32) &&
           kernel.oldest_arch <= machine.arch && kernel.shared_bytes <= machine.shared_max &&
           kernel.alignment <= matmul_alignment(problem) && problem.m <= kernel.largest_m &&
           problem.n <= kernel.largest_n;
}

MatmulChoice choose_matmul(const MatmulProblem &problem, const CudaMachine &machine,
                           std::span<const MatmulKernel *const> kernels) {
    constexpr int64_t kMostWaves = 4;
    constexpr int64_t kSmallestPart = 128; // elements of k
    MatmulChoice best{nullptr, 1};
    double best_cycles = 0;
    const auto consider = [&](const MatmulKernel &kernel, int64_t asked) {
        const Splits splits = split_k(problem.k, asked, kernel.tile_k);
        const double cycles = estimate_cycles(kernel, problem, machine, splits);
        if (best.kernel != nullptr && cycles > best_cycles) return;
        if (best.kernel != nullptr && cycles == best_cycles && std::strcmp(kernel.name, best.kernel->name) >= 0) return;
        best = {&kernel, static_cast<int>(splits.count)};
        best_cycles = cycles;
    };
    for (const MatmulKernel *kernel : kernels) {
        if (!can_run(*kernel, problem, machine)) continue;
        consider(*kernel, 1);
        // Parts of k that fill the multiprocessors a whole number of times.
        const int64_t most = problem.k / kSmallestPart;
        for (int64_t waves = 1; waves <= kMostWaves; ++waves) {
            const int64_t splits = std::min(most, waves * machine.processors / tiles_of(*kernel, problem));
            if (splits > 1) consider(*kernel, splits);
        }
    }
    if (best.kernel == nullptr) {
        fail(MEZZO_STATUS_INTERNAL, "no kernel multiplies %s matrices on compute capability %d.%d",
             dtype_name(problem.dtype), machine.arch / 10, machine.arch % 10);
    }
    return best;
}

EpilogueTensor epilogue_tensor(const TensorData &tensor, mezzo_dtype dtype, int64_t row, int64_t batch_stride) {
    if (!tensor) return {};
    const int64_t element = dtype_size(tensor.dtype);
    return {tensor.data, tensor.dtype != dtype,
            vector_of(rows_alignment(tensor.data, row, batch_stride, element), row, element)};
}

MatmulArguments tile_arguments(const MatmulProblem &p, int splits, const TileShape &shape) {
    const int64_t element = dtype_size(p.dtype);
    const int64_t a_row = p.a_transposed ? p.m : p.k;
    const int64_t b_row = p.b_transposed ? p.k : p.n;
    const Splits parts = split_k(p.k, splits, shape.k);
    const int64_t mask_stride = p.m * p.n;
    return {.m = p.m,
            .n = p.n,
            .k = p.k,
            .a = p.a,
            .b = p.b,
            .a_transposed = p.a_transposed,
            .b_transposed = p.b_transposed,
            .a_vector = vector_of(rows_alignment(p.a, a_row, p.a_batch_stride, element), a_row, element),
            .b_vector = vector_of(rows_alignment(p.b, b_row, p.b_batch_stride, element), b_row, element),
            .a_batch_stride = p.a_batch_stride,
            .b_batch_stride = p.b_batch_stride,
            .tiles_m = divide_up(p.m, shape.m),
            .tiles_n = divide_up(p.n, shape.n),
            .splits = parts.count,
            .k_per_split = parts.k_each,
            .few_rows = shape.few_rows,
            .epilogue = {.m = p.m,
                         .n = p.n,
                         .out = epilogue_tensor(p.out, p.dtype, p.n, p.out_batch_stride),
                         .bias = epilogue_tensor(p.epilogue.bias, p.dtype, p.n, 0),
                         .mask = epilogue_tensor(p.epilogue.mask, p.dtype, p.n, mask_stride),
                         .out_batch_stride = p.out_batch_stride,
                         .mask_batch_stride = mask_stride,
                         .relu = p.epilogue.relu,
                         .accumulate = p.epilogue.accumulate,
                         .found_inf = p.epilogue.found_inf}};
}

void launch_tiles(CudaDevice &device, const MatmulProblem &problem, int splits, const TileShape &shape,
                  void (*kernel)(MatmulArguments)) {
    const MatmulEpilogue &epilogue = problem.epilogue;
    MatmulArguments arguments = tile_arguments(problem, splits, shape);
    const mezzo_dtype sum = problem.dtype == MEZZO_DTYPE_F64 ? MEZZO_DTYPE_F64 : MEZZO_DTYPE_F32;
    const int64_t blocks = arguments.tiles_m * arguments.tiles_n * arguments.splits * problem.batch;
    if (blocks > std::numeric_limits<int32_t>::max()) {
        fail(MEZZO_STATUS_INVALID_ARGUMENT, "a product of %lld x %lld x %lld takes more than 2^31 - 1 blocks",
             static_cast<long long>(problem.m), static_cast<long long>(problem.n), static_cast<long long>(problem.k));
    }
    const auto run = [&] {
        launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(shape.threads)),
               static_cast<size_t>(shape.shared_bytes), device.stream(), arguments);
    };

    const bool sums_in_tiles = epilogue.column_sum && arguments.splits == 1 && shape.column_sums;
    if (arguments.splits > 1) {
        const EpilogueArguments finish = arguments.epilogue;
        const int64_t outputs = problem.batch * problem.m * problem.n;
        const Scratch<std::byte> partials(device.memory(), arguments.splits * outputs * dtype_size(sum));
        arguments.epilogue = {.m = problem.m,
                              .n = problem.n,
                              .out = epilogue_tensor({partials.data(), sum, 0}, problem.dtype, problem.n, 0),
                              .out_batch_stride = problem.m * problem.n,
                              .out_split_stride = outputs};
        run();
        sum_parts(device, {problem.dtype, partials.data(), arguments.splits, problem.batch}, finish);
    } else if (sums_in_tiles) {
        const int64_t parts = problem.batch * arguments.tiles_m;
        const Scratch<std::byte> partials(device.memory(), parts * problem.n * dtype_size(sum));
        arguments.epilogue.column_partials = partials.data();
        run();
        sum_column_parts(device, problem.dtype, partials.data(), parts, epilogue.column_sum, problem.n,
                         epilogue.accumulate_sum);
    } else {
        run();
    }
    if (epilogue.column_sum && !sums_in_tiles) {
        pass_columns(device, {.dtype = problem.dtype,
                              .batch = problem.batch,
                              .rows = problem.m,
                              .columns = problem.n,
                              .from_batch_stride = problem.out_batch_stride,
                              .from = problem.out,
                              .column_sum = epilogue.column_sum,
                              .accumulate_sum = epilogue.accumulate_sum});
    }
}

namespace {

/// All that a choice depends on, since making one takes as long as a launch and a training step repeats its products.
struct ChoiceKey {
    const CudaMachine *machine;
    int64_t m, n, k, batch, epilogue_bytes;
    mezzo_dtype dtype;
    int alignment;
    bool a_transposed, b_transposed, allow_tf32;

    bool operator==(const ChoiceKey &) const = default;
};

/// choose_matmul() among all kernels, remembered.
MatmulChoice choose_once(const MatmulProblem &p, const CudaMachine &machine) {
    struct Entry {
        ChoiceKey key;
        MatmulChoice choice;
    };
    thread_local std::array<Entry, 256> remembered{};
    const ChoiceKey key{
        &machine,       p.m,         p.n, p.k, p.batch, epilogue_bytes(p), p.dtype, matmul_alignment(p), p.a_transposed,
        p.b_transposed, p.allow_tf32};
    uint64_t hash = static_cast<uint64_t>(key.epilogue_bytes + key.alignment) + p.dtype + (p.a_transposed ? 32u : 0u) +
                    (p.b_transposed ? 64u : 0u);
    for (const int64_t size : {p.m, p.n, p.k, p.batch}) {
        hash = (hash ^ static_cast<uint64_t>(size)) * 0x9E3779B97F4A7C15; // 2^64 / golden ratio
        hash ^= hash >> 32;
    }
    Entry &entry = remembered[hash % remembered.size()];
    if (entry.choice.kernel == nullptr || entry.key != key) {
        entry = {key, choose_matmul(p, machine, matmul_kernels())};
    }
    return entry.choice;
}

} // namespace

void matmul(CudaDevice &device, const MatmulProblem &problem) {
    const MatmulChoice choice = choose_once(problem, device.machine());
    choice.kernel->launch(device, problem, choice.splits);
}

} // namespace mezzo
