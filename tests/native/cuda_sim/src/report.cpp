// SPDX-License-Identifier: MIT
// What is printed when a kernel fails: the rule it broke, where it was, how to repeat it, and where each warp waits.
#include "block.h"
#include "sanitizer.h"
#include "symbol.h"

#include "cuda_sim/control.h"

#include <cstdarg>
#include <cstdio>
#include <string>

namespace mezzo::cuda_sim {
namespace {

std::string text_of(const uint3 &place) {
    return "(" + std::to_string(place.x) + ", " + std::to_string(place.y) + ", " + std::to_string(place.z) + ")";
}

std::string text_of(const dim3 &extent) {
    return text_of(uint3{extent.x, extent.y, extent.z});
}

/// "0-7, 9".
std::string lanes_text(uint32_t mask) {
    std::string text;
    for (int lane = 0; lane < kWarpLanes;) {
        if ((mask >> lane & 1) == 0) {
            ++lane;
            continue;
        }
        const int first = lane;
        while (lane < kWarpLanes && (mask >> lane & 1) != 0) ++lane;
        if (!text.empty()) text += ", ";
        text += std::to_string(first);
        if (lane - 1 > first) text += "-" + std::to_string(lane - 1);
    }
    return text;
}

bool waits_alike(const Lane &a, const Lane &b) {
    return a.waits_in == b.waits_in && a.collective == b.collective && a.barrier == b.barrier &&
           a.where.line() == b.where.line() && (a.collective == nullptr || a.mask == b.mask);
}

std::string describe_wait(const Lane &lane) {
    std::string text = "wait in " + std::string(lane.waits_in);
    if (lane.collective != nullptr) {
        char mask[32];
        std::snprintf(mask, sizeof mask, "(mask 0x%08x)", lane.mask);
        text += mask;
    } else if (lane.barrier >= 0) {
        const Barrier &barrier = block.barrier[lane.barrier];
        const int expected = barrier.expected == kAllThreads ? block.live : barrier.expected;
        text += " (barrier " + std::to_string(lane.barrier) + ", " + std::to_string(barrier.arrived) + " of " +
                std::to_string(expected) + " threads)";
    }
    return text + " at " + lane.where.file_name() + ":" + std::to_string(lane.where.line());
}

void print_waits() {
    for (int w = 0; w < block.warps; ++w) {
        const Warp &warp = block.warp[w];
        if (warp.exited != 0) {
            std::fprintf(stderr, "    warp %d: lanes %s have exited\n", w, lanes_text(warp.exited).c_str());
        }
        if (warp.ready != 0) {
            std::fprintf(stderr, "    warp %d: lanes %s can go on\n", w, lanes_text(warp.ready).c_str());
        }
        uint32_t rest = warp.existing & ~warp.exited & ~warp.ready;
        while (rest != 0) {
            const Lane &first = warp.lanes[__builtin_ctz(rest)];
            uint32_t group = 0;
            for (int lane = 0; lane < kWarpLanes; ++lane) {
                if ((rest >> lane & 1) != 0 && waits_alike(warp.lanes[lane], first)) group |= 1u << lane;
            }
            rest &= ~group;
            const std::string state = first.waits_in == nullptr ? "run" : describe_wait(first);
            std::fprintf(stderr, "    warp %d: lanes %s %s\n", w, lanes_text(group).c_str(), state.c_str());
        }
    }
}

/// Prints who is running. A function of its own, whose strings are gone when the fiber is abandoned.
void print_place(const char *before, bool from_thread) {
    std::fprintf(stderr, "%sin kernel %s, block %s of %s", before, function_name(block.grid->kernel.function).c_str(),
                 text_of(block.index).c_str(), text_of(gridDim).c_str());
    if (from_thread) std::fprintf(stderr, ", thread %s", text_of(threadIdx).c_str());
    std::fprintf(stderr, " of %s; MEZZO_SIM_SEED=%llu\n", text_of(blockDim).c_str(),
                 static_cast<unsigned long long>(seed()));
}

} // namespace

void fail_thread(const Where &where, const char *format, ...) {
    std::fprintf(stderr, "cuda_sim: ");
    if (where.line() != 0) std::fprintf(stderr, "%s:%u: ", where.file_name(), where.line());
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fprintf(stderr, "\n");
    print_place("  ", true);
    print_waits();
    abandon_block();
}

void report(const char *format, ...) {
    std::fprintf(stderr, "cuda_sim: ");
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fprintf(stderr, "; MEZZO_SIM_SEED=%llu\n", static_cast<unsigned long long>(seed()));
}

void watch_for_sanitizer() {
    sanitizer::at_death([] {
        if (block.grid == nullptr) return;
        print_place("cuda_sim: that was ", true);
    });
}

void report_deadlock() {
    std::fprintf(stderr, "cuda_sim: deadlock: no thread of the block can go on\n");
    print_place("  ", false);
    print_waits();
    abandon_block();
}

} // namespace mezzo::cuda_sim
