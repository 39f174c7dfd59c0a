// SPDX-License-Identifier: MIT
#include "core/fork_mutex.h"

#include <system_error>
#include <thread>
#include <vector>

#include <pthread.h>

namespace mezzo {
namespace {

/// All mutexes there are, to be held by the thread that forks, and all counters.
struct Registry {
    std::mutex mutex;
    std::vector<ForkMutex *> members;
    std::vector<ForkCounter *> counters;
};

Registry &registry() {
    // Never destroyed: mutexes of other statics may outlive it.
    static Registry &all = *new Registry;
    return all;
}

void lock_all() {
    registry().mutex.lock();
    for (ForkMutex *member : registry().members) member->lock();
}

void unlock_all() {
    for (ForkMutex *member : registry().members) member->unlock();
    registry().mutex.unlock();
}

} // namespace

void clear_in_child() {
    for (ForkCounter *counter : registry().counters) counter->count_.store(0);
    unlock_all();
}

namespace {

void handle_forks() {
    static const int failure = pthread_atfork(lock_all, unlock_all, clear_in_child);
    if (failure != 0) throw std::system_error(failure, std::generic_category(), "pthread_atfork");
}

} // namespace

ForkMutex::ForkMutex() {
    handle_forks();
    const std::lock_guard<std::mutex> lock(registry().mutex);
    registry().members.push_back(this);
}

ForkMutex::~ForkMutex() {
    const std::lock_guard<std::mutex> lock(registry().mutex);
    std::erase(registry().members, this);
}

ForkCounter::ForkCounter() {
    handle_forks();
    const std::lock_guard<std::mutex> lock(registry().mutex);
    registry().counters.push_back(this);
}

ForkCounter::~ForkCounter() {
    const std::lock_guard<std::mutex> lock(registry().mutex);
    std::erase(registry().counters, this);
}

void ForkCounter::wait_for_none() const noexcept {
    while (count_.load() != 0) std::this_thread::yield();
}

} // namespace mezzo
