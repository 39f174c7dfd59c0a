// SPDX-License-Identifier: MIT
#include "fiber.h"

#include "sanitizer.h"

#include <boost/context/detail/fcontext.hpp>

#include <sys/mman.h>

#include <new>

namespace mezzo::cuda_sim {
namespace {

namespace fcontext = boost::context::detail;

constexpr size_t kPageBytes = 4096;
// Deep enough for a kernel's tiles in unoptimised builds, and for the frame of a signal that interrupts it.
constexpr size_t kStackBytes = (sanitizer::kActive ? 512 : 128) * 1024;
// An odd number of pages, and different beginnings within a page: the stacks' hot lines are spread over all sets
// of the caches.
constexpr size_t kStrideBytes = kStackBytes + kPageBytes;
constexpr size_t kColourBytes = 64;

/// After a switch, on the new stack: notes where the old one was left.
void arrive(const fcontext::transfer_t &transfer, void *fake_stack) {
    Fiber &last = *static_cast<Fiber *>(transfer.data);
    last.context = transfer.fctx;
    sanitizer::enter_stack(fake_stack, &last.stack_bottom, &last.stack_bytes);
}

void (*fiber_body)() = nullptr;

void enter(fcontext::transfer_t transfer) {
    arrive(transfer, nullptr);
    fiber_body();
}

} // namespace

void switch_fiber(Fiber &from, Fiber &to) {
    sanitizer::leave_stack(&from.fake_stack, to.stack_bottom, to.stack_bytes);
    const fcontext::transfer_t transfer = fcontext::jump_fcontext(to.context, &from);
    arrive(transfer, from.fake_stack);
}

FiberPool::FiberPool(void (*body)()) : body_(body) {}

void FiberPool::make_fiber() {
    // The page below each stack stays out of bounds, so that an overflow faults.
    void *memory = mmap(nullptr, kStrideBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    char *bottom = static_cast<char *>(memory) + kPageBytes;
    if (mprotect(bottom, kStackBytes, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    fibers_[count_].stack_bottom = bottom;
    fibers_[count_].stack_bytes = kStackBytes;
    start(count_++);
}

void FiberPool::start(int index) {
    Fiber &fiber = fibers_[index];
    fiber_body = body_;
    sanitizer::discard_stack(fiber.fake_stack, fiber.stack_bottom, kStackBytes);
    sanitizer::permit(fiber.stack_bottom, kStackBytes);
    const size_t colour = static_cast<size_t>(index) % (kPageBytes / kColourBytes) * kColourBytes;
    char *top = static_cast<char *>(const_cast<void *>(fiber.stack_bottom)) + kStackBytes - colour;
    fiber.context = fcontext::make_fcontext(top, kStackBytes - colour, enter);
    fiber.fake_stack = nullptr;
    give_back(fiber);
}

void FiberPool::restart_used() {
    for (int i = 0; i < count_; ++i) {
        if (fibers_[i].in_use) start(i);
    }
}

} // namespace mezzo::cuda_sim
