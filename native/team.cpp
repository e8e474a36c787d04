#include "team.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lmzip {

namespace {

// How long a thread looks before it sleeps: a few times what a coder takes between two steps.
constexpr int kLooks = 4000;

inline void breathe() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Returns once `value` is no longer `old`.
void wait_for_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
    for (int look = 0; look < kLooks; ++look) {
        if (value.load(std::memory_order_acquire) != old) return;
        breathe();
    }
    while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

Team::Team(std::size_t threads) : threads_(threads) {
    for (std::size_t thread = 1; thread < threads; ++thread)
        helpers_.emplace_back([this, thread] { serve(thread); });
}

Team::~Team() {
    closing_ = true;
    started_.fetch_add(1, std::memory_order_release);
    started_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
}

void Team::run(const std::function<void(std::size_t)>& job) {
    job_ = &job;
    if (threads_ > 1) {
        started_.fetch_add(1, std::memory_order_release);
        started_.notify_all();
    }
    job(0);
    barrier();
}

void Team::serve(std::size_t thread) {
    std::uint32_t seen = 0;
    while (true) {
        wait_for_change(started_, seen);
        ++seen;
        if (closing_) return;
        (*job_)(thread);
        barrier();
    }
}

void Team::barrier() {
    if (threads_ == 1) return;
    const std::uint32_t round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
        arrived_.store(0, std::memory_order_relaxed);
        round_.fetch_add(1, std::memory_order_release);
        round_.notify_all();
    } else {
        wait_for_change(round_, round);
    }
}

}  // namespace lmzip
