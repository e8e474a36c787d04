#include "team.h"

#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace lmzip {

namespace {

// How long a thread looks before it sleeps: a few times what a coder takes between two steps.
constexpr int kLooks = 4000;

// A number that differs between a process and its forks.
inline long process() {
#if defined(__unix__) || defined(__APPLE__)
    return static_cast<long>(getpid());
#else
    return 0;
#endif
}

inline void breathe() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Returns once `done(value)`. Looks for a while, then sleeps until `value` is notified.
template <class Done>
void wait_until(const std::atomic<std::uint32_t>& value, const Done& done) {
    std::uint32_t now = value.load(std::memory_order_acquire);
    for (int look = 0; look < kLooks; ++look) {
        if (done(now)) return;
        breathe();
        now = value.load(std::memory_order_acquire);
    }
    while (!done(now)) {
        value.wait(now, std::memory_order_acquire);
        now = value.load(std::memory_order_acquire);
    }
}

}  // namespace

Team::Team(std::size_t threads) : process_(process()), threads_(threads) { start(); }

void Team::start() {
    const std::uint32_t seen = started_;
    for (std::size_t thread = 1; thread < threads_; ++thread)
        helpers_.emplace_back([this, thread, seen] { serve(thread, seen); });
}

bool Team::forked() const { return process_ != process(); }

// Threads of another process can neither be joined nor detached.
void Team::forget() { static_cast<void>(new std::vector<std::thread>(std::exchange(helpers_, {}))); }

void Team::restart() {
    forget();
    process_ = process();
    start();
}

Team::~Team() {
    if (forked()) {
        forget();
        return;
    }
    closing_ = true;
    started_.fetch_add(1, std::memory_order_release);
    started_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
}

void Team::run(const std::function<void(std::size_t)>& job) {
    if (threads_ == 1) {
        job(0);
        return;
    }
    job_ = &job;
    inside_.store(kOpen, std::memory_order_release);
    started_.fetch_add(1, std::memory_order_release);
    started_.notify_all();
    job(0);
    // The job's things are the caller's: nobody may look at them any more when this returns.
    inside_.fetch_and(~kOpen, std::memory_order_acq_rel);
    wait_until(inside_, [](std::uint32_t inside) { return inside == 0; });
}

void Team::serve(std::size_t thread, std::uint32_t seen) {
    for (;;) {
        wait_until(started_, [&](std::uint32_t started) { return started != seen; });
        if (closing_) return;
        seen = started_.load(std::memory_order_acquire);
        std::uint32_t inside = inside_.load(std::memory_order_relaxed);
        while ((inside & kOpen) &&
               !inside_.compare_exchange_weak(inside, inside + 1, std::memory_order_acquire, std::memory_order_relaxed)) {
        }
        if (!(inside & kOpen)) continue;  // too late
        (*job_)(thread);
        if (inside_.fetch_sub(1, std::memory_order_acq_rel) == 1) inside_.notify_all();
    }
}

void Deal::wait_for(std::uint32_t n) const {
    wait_until(done_, [&](std::uint32_t done) { return done >= n; });
}

}  // namespace lmzip
