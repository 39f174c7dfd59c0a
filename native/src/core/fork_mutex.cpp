// SPDX-License-Identifier: MIT
#include "core/fork_mutex.h"

#include <system_error>
#include <vector>

#include <pthread.h>

namespace mezzo {
namespace {

/// All mutexes there are, to be held by the thread that forks.
struct Registry {
    std::mutex mutex;
    std::vector<ForkMutex *> members;
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

void handle_forks() {
    static const int failure = pthread_atfork(lock_all, unlock_all, unlock_all);
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

} // namespace mezzo
