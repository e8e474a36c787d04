// What followed the contexts, in tables of bounded size (NUMERICS.md, section 13, "Followers and
// slots").

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "cells.h"

namespace lmzip::mix {

// Zeroed memory that begins with a line of the processor's cache.
class Lines {
  public:
    static constexpr std::size_t kBytes = 64;

    // Throws std::bad_alloc.
    explicit Lines(std::size_t count);

    template <class T>
    T* at(std::size_t line) const {
        return reinterpret_cast<T*>(start_ + line * kBytes);
    }

  private:
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    std::unique_ptr<std::uint8_t, Free> memory_;
    std::uint8_t* start_;
};

// The last token that followed a context and how often in a row; `branched` once another one came.
struct Follower {
    std::uint32_t token;
    std::uint32_t run;  // 0 if the context has never been seen
    bool branched;
};

// Followers by context, eight to a line.
class Followers {
  public:
    explicit Followers(unsigned bits) : lines_(std::size_t{1} << bits), mask_((std::size_t{1} << bits) - 1) {}

    void prefetch(std::uint64_t key) const;
    Follower find(std::uint64_t key) const;
    // The place of the context's follower: its own, or else an empty one, or else that of the least use, emptied.
    std::uint64_t& place(std::uint64_t key);

    static Follower read(std::uint64_t word) {
        return {static_cast<std::uint32_t>(word & kToken), static_cast<std::uint32_t>(word >> 40 & 255),
                (word >> 39 & 1) != 0};
    }
    static void write(std::uint64_t& word, const Follower& follower) {
        word = (word >> 48 << 48) | std::uint64_t{follower.run} << 40 |
               std::uint64_t{follower.branched} << 39 | follower.token;
    }

  private:
    static constexpr std::uint64_t kToken = (1 << 20) - 1;
    static constexpr std::size_t kPlaces = 8;
    static std::uint64_t check(std::uint64_t key) { return key >> 48 | 1; }
    static std::size_t seek(const std::uint64_t* words, std::uint64_t key);
    std::uint64_t* line(std::uint64_t key) const { return lines_.at<std::uint64_t>(key >> 20 & mask_); }

    Lines lines_;
    std::size_t mask_;
};

// Slots of nodes: the decisions of one group of bits after one context. A slot is a line, or two for groups of
// five bits; its first word is a check and how often it was used, then come the nodes in heap order.
class Slots {
  public:
    explicit Slots(unsigned bits) : lines_(std::size_t{1} << bits), mask_((std::size_t{1} << bits) - 1) {}

    void prefetch(std::uint64_t key) const;
    // The slot of that key, for a group of so many bits; an empty one if there was none.
    Node* find(std::uint64_t key, unsigned group_bits);
    static void use(Node* slot) {
        if ((slot[0] & 0xFFFF) < 0xFFFF) ++slot[0];
    }

  private:
    Lines lines_;
    std::size_t mask_;
};

}  // namespace lmzip::mix
