// Adaptive probabilities of single bits (NUMERICS.md, section 13, "Cells and nodes").

#pragma once

#include <cstdint>

#include "tables.h"

namespace lmzip::mix {

// A probability of 22 bits and how many bits it has learned from, 10 bits.
class Cell {
  public:
    Cell() = default;
    Cell(std::uint32_t p22, std::uint32_t count) : value_(p22 << 10 | count) {}

    // In units of 2^-16.
    std::uint32_t p() const { return value_ >> 16; }
    void learn(bool bit, std::uint32_t limit) {
        const std::uint32_t count = value_ & 1023;
        const auto p = static_cast<std::int32_t>(value_ >> 10);
        const std::int64_t target = bit ? (1 << 22) - 1 : 0;
        const auto next = p + static_cast<std::int32_t>(((target - p) * kTables.rate[count]) >> 16);
        value_ = static_cast<std::uint32_t>(next) << 10 | (count < limit ? count + 1 : count);
    }

  private:
    std::uint32_t value_ = std::uint32_t{1} << 31;
};

// What a context knows of one decision: a probability of 16 bits, how many bits it has learned from, and
// the last seven of them behind a leading 1. All zeros: nothing.
using Node = std::uint32_t;

constexpr std::uint32_t kNodeLimit = 255;

inline std::uint32_t node_p(Node node) { return node >> 16; }
inline std::uint32_t node_count(Node node) { return node >> 8 & 255; }
inline std::uint32_t node_history(Node node) { return node & 255; }

inline void learn(Node& node, bool bit) {
    auto p = static_cast<std::int32_t>(node_p(node));
    std::uint32_t count = node_count(node), history = node_history(node);
    if (count == 0) {
        p = 1 << 15;
        history = 1;
    }
    const std::int64_t target = bit ? 65535 : 0;
    p += static_cast<std::int32_t>(((target - p) * kTables.rate[count]) >> 16);
    if (count < kNodeLimit) ++count;
    const std::uint32_t longer = history * 2 + bit;
    history = history < 128 ? longer : 128 | (longer & 127);
    node = static_cast<std::uint32_t>(p) << 16 | count << 8 | history;
}

}  // namespace lmzip::mix
