// SPDX-License-Identifier: MIT
// Shared memory of the running block. Each array is an allocation of its own, so that AddressSanitizer sees its
// ends, and all of it reads as NaN at the beginning of a block.
#include "cuda_sim/shared.h"

#include "block.h"
#include "sanitizer.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace mezzo::cuda_sim {
namespace {

constexpr size_t kDynamicAlignment = 128;
constexpr size_t kStaticMaxBytes = size_t{48} * 1024; // more does not compile

struct Array {
    const void *declaration;
    char *allocation;
    char *begin;
    size_t bytes;
    bool fresh; // not yet seen by the running block
};

std::vector<Array> &arrays() {
    static std::vector<Array> &all = *new std::vector<Array>;
    return all;
}

Array dynamic;

/// Memory that is aligned as demanded and no further, because a kernel may not rely on more.
Array allocate(const void *declaration, size_t bytes, size_t alignment) {
    const size_t offset = alignment < kDynamicAlignment ? alignment : 0;
    const size_t whole = alignment < kDynamicAlignment ? kDynamicAlignment : alignment;
    void *allocation = nullptr;
    if (posix_memalign(&allocation, whole, offset + bytes) != 0) throw std::bad_alloc();
    char *begin = static_cast<char *>(allocation) + offset;
    sanitizer::forbid(allocation, offset);
    return {declaration, static_cast<char *>(allocation), begin, bytes, true};
}

void release(Array &array) {
    sanitizer::permit(array.allocation, static_cast<size_t>(array.begin - array.allocation));
    std::free(array.allocation);
    array = {};
}

void poison(const Array &array) {
    if (array.bytes != 0) std::memset(array.begin, 0xff, array.bytes);
}

} // namespace

void begin_shared(const Grid &grid) {
    // One byte when nothing is asked for, because even then kernels may form the pointer.
    dynamic = allocate(nullptr, grid.shared_bytes, kDynamicAlignment);
}

void refresh_shared() {
    poison(dynamic);
    for (Array &array : arrays()) array.fresh = true;
}

void end_shared() {
    for (Array &array : arrays()) release(array);
    arrays().clear();
    release(dynamic);
}

void *shared_storage(const void *declaration, size_t bytes, size_t alignment, const Where &where) {
    size_t total = bytes;
    for (Array &array : arrays()) {
        if (array.declaration == declaration) {
            if (array.fresh) {
                poison(array);
                array.fresh = false;
            }
            return array.begin;
        }
        total += array.bytes;
    }
    if (total > kStaticMaxBytes || total + dynamic.bytes > block.grid->shared_max_bytes) {
        fail_thread(where, "the block has %zu bytes of static and %zu of dynamic shared memory, more than the device",
                    total, dynamic.bytes);
    }
    arrays().push_back(allocate(declaration, bytes, alignment));
    poison(arrays().back());
    arrays().back().fresh = false;
    return arrays().back().begin;
}

void *dynamic_shared_storage() {
    return dynamic.begin;
}

bool is_shared(const void *address, size_t bytes) {
    const char *begin = static_cast<const char *>(address);
    const auto holds = [&](const Array &array) {
        return begin >= array.begin && begin + bytes <= array.begin + array.bytes;
    };
    if (holds(dynamic)) return true;
    for (const Array &array : arrays()) {
        if (holds(array)) return true;
    }
    return false;
}

} // namespace mezzo::cuda_sim
