// SPDX-License-Identifier: MIT
#include "core/parallel.h"

#include "core/error.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include <pthread.h>

namespace mezzo {
namespace {

constexpr int kMaxThreads = 1024;

// A wrong value is reported and ignored, as OpenMP's own run time does with OMP_NUM_THREADS: a training
// job should not die of it, nor run on another number of threads in silence.
int initial_thread_count() {
    const int processors = std::clamp(omp_get_num_procs(), 1, kMaxThreads);
    const char *text = std::getenv("MEZZO_NUM_THREADS");
    if (text == nullptr || *text == '\0') return processors;
    char *end = nullptr;
    errno = 0;
    const long threads = std::strtol(text, &end, 10);
    if (errno == 0 && *end == '\0' && threads >= 1 && threads <= kMaxThreads) return static_cast<int>(threads);
    std::fprintf(stderr, "mezzo: MEZZO_NUM_THREADS is \"%s\", expected 1 to %d; using %d threads\n", text, kMaxThreads,
                 processors);
    return processors;
}

std::atomic<int> &configured_threads() {
    static std::atomic<int> threads{initial_thread_count()};
    return threads;
}

// One team at a time: a second caller does its work on its own thread instead of starting a second team
// that would compete for the same processors. A loop inside a loop is such a caller too.
std::atomic_flag team_busy;

// The child of fork() has no thread but the one that forked, and the OpenMP run time would wait for the rest
// of its team: in the child the team stays busy, so that all work is done by the caller.
bool start_team() {
    static const int failure = pthread_atfork(nullptr, nullptr, [] { team_busy.test_and_set(); });
    return failure == 0 && !team_busy.test_and_set(std::memory_order_acquire);
}

void end_team() {
    team_busy.clear(std::memory_order_release);
}

struct Partition {
    int64_t n;
    int64_t grain;
    int64_t blocks;
    int64_t parts;

    int64_t begin(int64_t part) const { return std::min(n, part * blocks / parts * grain); }
};

void run_part(const Partition &partition, int64_t part, parallel_detail::Range range, const void *loop) {
    range(loop, partition.begin(part), partition.begin(part + 1));
}

} // namespace

int thread_count() {
    return configured_threads().load(std::memory_order_relaxed);
}

// The parts are the same whether a team runs them or one thread does, and so is the result.
void parallel_detail::run(int64_t n, int64_t grain, Range range, const void *loop) {
    if (n <= 0) return;
    const int64_t blocks = (n - 1) / grain + 1;
    const Partition partition{n, grain, blocks, std::min<int64_t>(thread_count(), blocks)};
    if (partition.parts == 1) return range(loop, 0, n);

    if (omp_in_parallel() || !start_team()) {
        for (int64_t part = 0; part < partition.parts; ++part) run_part(partition, part, range, loop);
        return;
    }
    const int threads = static_cast<int>(partition.parts);
    // The OpenMP run time may grant fewer threads than asked for; the loop hands out the parts all the same.
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int64_t part = 0; part < partition.parts; ++part) run_part(partition, part, range, loop);
    end_team();
}

} // namespace mezzo

mezzo_status mezzo_threads_get(int32_t *out_threads) {
    using namespace mezzo;
    return guard("threads_get", [&] { require_pointer(out_threads, "out_threads") = thread_count(); });
}

mezzo_status mezzo_threads_set(int32_t threads) {
    using namespace mezzo;
    return guard("threads_set", [&] {
        if (threads < 1 || threads > kMaxThreads) {
            fail(MEZZO_STATUS_INVALID_ARGUMENT, "threads is %d, expected 1 to %d", threads, kMaxThreads);
        }
        configured_threads().store(threads, std::memory_order_relaxed);
    });
}
