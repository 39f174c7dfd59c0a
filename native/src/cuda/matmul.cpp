// SPDX-License-Identifier: MIT
// The registry of kernels and the choice of one. Costs are in cycles of a multiprocessor; they rank kernels, and are no
// promise of a time.
#include "cuda/matmul.h"

#include "core/arithmetic.h"
#include "cuda/matmul_tile.h"

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
    double mma_k8;  // multiply-adds of f16 or bf16 by an instruction
    double mma_k16; // likewise; tf32 has half of it
    double l2_bytes;
    double dram_bytes;
};

// mma.sync reaches about 0.6 of what the tensor cores of 9.0 and 10.0 do, m16n8k8 half of m16n8k16.
constexpr std::array<ArchRates, 6> kRates{{{75, 1024, 64, 2, 512, 0, 32, 5},
                                           {80, 2048, 64, 32, 512, 1024, 48, 11},
                                           {86, 1536, 128, 2, 256, 512, 32, 5},
                                           {90, 2048, 128, 64, 614, 1229, 48, 18},
                                           {100, 2048, 128, 64, 1229, 2458, 64, 26},
                                           {120, 1536, 128, 2, 256, 512, 32, 5}}};

constexpr double kLaunchCycles = 3000; // what one more launch takes
constexpr double kBlockCycles = 1200;  // from the start of a block to its first product
constexpr double kBarrierCycles = 600; // and what the barriers at its start and end take, if it has any
constexpr double kLoadCycles = 700;    // from a load of global memory to its data
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
    switch (kernel.unit) {
        case MatmulUnit::kFma:
            return kernel.dtype == MEZZO_DTYPE_F64 ? rates.fma_f64 : rates.fma_f32;
        case MatmulUnit::kMmaK8:
            return rates.mma_k8;
        case MatmulUnit::kMmaK16:
            return kernel.tf32 ? rates.mma_k16 / 2 : rates.mma_k16;
    }
    fail(MEZZO_STATUS_INTERNAL, "%s has no unit", kernel.name);
}

double as_double(int64_t value) {
    return static_cast<double>(value);
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
    if (problem.epilogue.add != 0) bytes += dtype_size(problem.out.dtype);
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
    if (kernel.unit != MatmulUnit::kFma) {
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

/// Cycles in which the warps of a block issue the instructions of a tile's k. Each quarter of a multiprocessor issues
/// one a cycle.
double issue_cycles(const MatmulKernel &kernel) {
    constexpr double kIssued = 4;
    return kernel.threads / 32.0 * kernel.step_instructions / kIssued;
}

double estimate_cycles(const MatmulKernel &kernel, const MatmulProblem &problem, const CudaMachine &machine,
                       const SplitK &splits) {
    const ArchRates &rates = rates_of(machine.arch);
    const double element = as_double(dtype_size(problem.dtype));
    const double accumulator = problem.dtype == MEZZO_DTYPE_F64 ? 8 : 4;
    const double stored = splits.count > 1 ? accumulator : as_double(epilogue_bytes(problem));
    const double area = as_double(int64_t{kernel.tile_m} * kernel.tile_n);
    const double tiles_k = as_double(divide_up(std::min(splits.k_each, problem.k), kernel.tile_k));
    const double depth = tiles_k * kernel.tile_k;

    // What a multiprocessor needs for a tile, whatever the number of blocks it holds.
    const double arithmetic =
        overlapped(overlapped(area / multiply_rate(kernel, machine), shared_cycles(kernel)) * depth,
                   issue_cycles(kernel) * tiles_k);
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
        if (problem.epilogue.column_sum) cycles += kLaunchCycles; // that tiles cannot make then
    }
    return cycles;
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

bool runs_on(const MatmulKernel &kernel, const CudaMachine &machine) {
    return kernel.oldest_arch <= machine.code_arch && machine.arch <= kernel.newest_arch &&
           kernel.shared_bytes <= machine.shared_max;
}

bool can_run(const MatmulKernel &kernel, const MatmulProblem &problem, const CudaMachine &machine) {
    return kernel.dtype == problem.dtype && kernel.a_transposed == problem.a_transposed &&
           kernel.b_transposed == problem.b_transposed && (!kernel.tf32 || problem.allow_tf32) &&
           runs_on(kernel, machine) && kernel.alignment <= matmul_alignment(problem) && problem.m <= kernel.largest_m &&
           problem.n <= kernel.largest_n && matmul_row(problem) <= kernel.largest_row;
}

MatmulChoice choose_matmul(const MatmulProblem &problem, const CudaMachine &machine,
                           std::span<const MatmulKernel *const> kernels) {
    constexpr int64_t kMostWaves = 4;
    constexpr int64_t kSmallestPart = 128; // elements of k
    MatmulChoice best{nullptr, 1};
    double best_cycles = 0;
    const auto consider = [&](const MatmulKernel &kernel, int64_t asked) {
        const SplitK splits = split_k(problem.k, asked, kernel.tile_k);
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

namespace {

/// All that a choice depends on, since making one takes as long as a launch and a training step repeats its products.
struct ChoiceKey {
    const CudaMachine *machine;
    int64_t m, n, k, batch, epilogue_bytes;
    mezzo_dtype dtype;
    int alignment;
    bool a_transposed, b_transposed, allow_tf32, column_sum;

    bool operator==(const ChoiceKey &) const = default;
};

/// choose_matmul() among all kernels, remembered.
MatmulChoice choose_once(const MatmulProblem &p, const CudaMachine &machine) {
    struct Entry {
        ChoiceKey key;
        MatmulChoice choice;
    };
    thread_local std::array<Entry, 256> remembered{};
    const ChoiceKey key{&machine,
                        p.m,
                        p.n,
                        p.k,
                        p.batch,
                        epilogue_bytes(p),
                        p.dtype,
                        matmul_alignment(p),
                        p.a_transposed,
                        p.b_transposed,
                        p.allow_tf32,
                        static_cast<bool>(p.epilogue.column_sum)};
    uint64_t hash = static_cast<uint64_t>(key.epilogue_bytes + key.alignment) + p.dtype + (p.a_transposed ? 32u : 0u) +
                    (p.b_transposed ? 64u : 0u) + (key.column_sum ? 128u : 0u);
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
