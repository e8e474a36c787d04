// A few threads that run one job together: each calls the same function with its own number, takes what
// it gets of every phase's work, and goes on when that phase is done.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace lmzip {

class Team {
  public:
    // The caller of `run` is thread 0; the others are started here.
    explicit Team(std::size_t threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    std::size_t threads() const { return threads_; }

    // Whether this process is a fork of the one that started the helpers, which did not come along.
    bool forked() const;
    // Start the helpers again. After a fork only.
    void restart();

    // job(thread) on this thread and on every other that comes before this one is through: a thread whose
    // processor is busy elsewhere holds nobody up. So a job's work is dealt out (see Deal), and job(0) returns when
    // all of it is done. Returns when nobody is in the job any more. A thread may come twice. One call at a time. A
    // job must not throw.
    void run(const std::function<void(std::size_t)>& job);

  private:
    void start();
    void forget();
    void serve(std::size_t thread, std::uint32_t seen);

    static constexpr std::uint32_t kOpen = std::uint32_t{1} << 31;

    long process_;
    std::size_t threads_;
    const std::function<void(std::size_t)>* job_ = nullptr;
    alignas(64) std::atomic<std::uint32_t> started_{0};  // jobs so far
    // How many helpers are in the job, and kOpen while more may come.
    alignas(64) std::atomic<std::uint32_t> inside_{0};
    std::atomic<bool> closing_{false};
    std::vector<std::thread> helpers_;
};

// n things, dealt out in runs of `grain` to whichever thread asks next: processors are not equally
// fast when others use them too. Used once.
class Deal {
  public:
    // f(first, last) for one run after another; returns when all n things are done, by whomever. A
    // thread that was away for a while (its processor was busy elsewhere) holds nobody up, unless it
    // left in the middle of a run; when it is back it finds that nothing is left.
    template <class Function>
    void each(std::size_t n, std::size_t grain, const Function& f) {
        std::size_t first;
        while ((first = next_.fetch_add(grain, std::memory_order_relaxed)) < n) {
            const std::size_t last = first + grain < n ? first + grain : n;
            f(first, last);
            const auto count = static_cast<std::uint32_t>(last - first);
            if (done_.fetch_add(count, std::memory_order_acq_rel) + count == n) done_.notify_all();
        }
        wait_for(static_cast<std::uint32_t>(n));
    }

  private:
    void wait_for(std::uint32_t n) const;

    alignas(64) std::atomic<std::size_t> next_{0};
    std::atomic<std::uint32_t> done_{0};
};

}  // namespace lmzip
