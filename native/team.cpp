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
    job_ = &job;
    if (threads_ > 1) {
        left_.store(0, std::memory_order_relaxed);
        started_.fetch_add(1, std::memory_order_release);
        started_.notify_all();
    }
    job(0);
    // The job's things are the caller's: nobody may look at them any more when this returns.
    const auto helpers = static_cast<std::uint32_t>(threads_ - 1);
    wait_until(left_, [&](std::uint32_t left) { return left == helpers; });
}

void Team::serve(std::size_t thread, std::uint32_t seen) {
    for (;; ++seen) {
        wait_until(started_, [&](std::uint32_t started) { return started != seen; });
        if (closing_) return;
        (*job_)(thread);
        if (left_.fetch_add(1, std::memory_order_acq_rel) + 2 == threads_) left_.notify_all();
    }
}

void Deal::wait_for(std::uint32_t n) const {
    wait_until(done_, [&](std::uint32_t done) { return done >= n; });
}

}  // namespace lmzip
