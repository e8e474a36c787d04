// A few threads that run one job together: each calls the same function with its own number, and
// they wait for each other at barriers.

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

    // job(thread) on every thread; returns when all are done. One call at a time. A job must not
    // throw.
    void run(const std::function<void(std::size_t)>& job);

    // Called by every thread of a running job: nobody goes on before all have come.
    void barrier();

  private:
    void serve(std::size_t thread);

    std::size_t threads_;
    const std::function<void(std::size_t)>* job_ = nullptr;
    alignas(64) std::atomic<std::uint32_t> started_{0};  // jobs so far
    alignas(64) std::atomic<std::uint32_t> arrived_{0};
    alignas(64) std::atomic<std::uint32_t> round_{0};
    std::atomic<bool> closing_{false};
    std::vector<std::thread> helpers_;
};

// n things, dealt out in runs of `grain` to whichever thread asks next: processors are not equally
// fast when others use them too.
class Deal {
  public:
    // f(first, last) for one run after another, until nothing is left.
    template <class Function>
    void each(std::size_t n, std::size_t grain, const Function& f) {
        std::size_t first;
        while ((first = next_.fetch_add(grain, std::memory_order_relaxed)) < n)
            f(first, first + grain < n ? first + grain : n);
    }

  private:
    std::atomic<std::size_t> next_{0};
};

}  // namespace lmzip
