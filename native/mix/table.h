// Counts of the tokens that followed a context, in a table of bounded size (NUMERICS.md, section 13).

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace lmzip::mix {

// What followed one context: entries of token << 8 | count, in order of appearance.
struct Node {
    std::uint32_t check;
    std::uint16_t total, size;  // the sum of the counts, the number of entries

    std::uint32_t* entries() { return reinterpret_cast<std::uint32_t*>(this + 1); }
    const std::uint32_t* entries() const { return reinterpret_cast<const std::uint32_t*>(this + 1); }
    // Place in `entries` where token's count is, or `size`.
    std::uint16_t find(std::uint32_t token) const;
    // Place of the greatest count, the first of those; `size` > 0.
    std::uint16_t likeliest() const;
};

// Nodes in pairs; a context lives in either node of the pair that its hash names.
class Table {
  public:
    // 2^bits nodes of `most` entries. Throws std::bad_alloc.
    Table(unsigned bits, std::size_t most);

    void prefetch(std::uint64_t hash) const;
    // The context's node, or null if nothing followed it yet.
    const Node* find(std::uint64_t hash) const { return seek(hash); }
    // Count a token behind a context. A new context takes the place of the less used of its pair.
    void add(std::uint64_t hash, std::uint32_t token);

  private:
    Node& at(std::size_t index) const;
    Node* seek(std::uint64_t hash) const;

    unsigned bits_;
    std::size_t most_, stride_;
    struct Free {
        void operator()(void* p) const;
    };
    std::unique_ptr<std::uint8_t, Free> memory_;
    std::uint8_t* nodes_;  // in there, so that a pair begins with a line of the processor's cache
};

}  // namespace lmzip::mix
