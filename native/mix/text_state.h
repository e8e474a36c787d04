// What one stream's last tokens and bytes are, as far as contexts ask (NUMERICS.md, section 13,
// "The stream's text" and "Contexts").

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lmzip::mix {

constexpr std::size_t kContexts = 20;
constexpr std::size_t kTokenContexts = 7;  // the first ones: no token, then ever more of the last tokens

// The bytes of every token.
struct Vocabulary {
    std::vector<std::uint32_t> ends;  // [vocab + 1]
    std::vector<std::uint8_t> bytes;

    std::size_t size() const { return ends.size() - 1; }
};

// One step of a hash.
inline std::uint64_t fold(std::uint64_t h, std::uint64_t value) {
    h = (h + value + 1) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}
inline std::uint64_t finish(std::uint64_t h) { return h * 0xD6E8FEB86659FD93u; }

class TextState {
  public:
    // Forget everything: a stream begins.
    void restart();
    // The stream goes on with this token.
    void add(std::uint32_t token, const Vocabulary& vocabulary);

    std::size_t tokens() const { return count_; }
    // The last token, or the one `back` before it, back < 8; 0 where there is none.
    std::uint32_t token(std::size_t back) const { return last_[back]; }
    // The last byte, or the one `back` before it, back < 3; 0 where there is none.
    std::uint8_t byte(std::size_t back) const { return static_cast<std::uint8_t>(last_bytes_ >> (8 * back)); }
    // The keys of all contexts; 0 where the stream has none.
    void keys(std::array<std::uint64_t, kContexts>& keys) const;

  private:
    void add_byte(std::uint8_t byte);
    // Up to four bytes that stand above the next one in the line before, the first one lowest.
    std::uint32_t above() const;

    static constexpr std::size_t kKept = 1 << 16;  // bytes that `above` can look back
    static constexpr std::size_t kDepth = 64;      // brackets that are remembered

    std::size_t count_ = 0, length_ = 0;  // tokens and bytes so far
    std::array<std::uint32_t, 8> last_{};
    std::uint32_t last_bytes_ = 0;
    std::string bytes_;  // the last kKept ones, in a ring
    std::size_t line_ = 0, line_before_ = 0;  // where this line and the one before begin
    bool has_line_before_ = false;
    std::uint32_t first_ = 0;         // the line's first token that does not end a line, plus one
    std::size_t tokens_in_line_ = 0;  // behind the one that began it
    std::array<std::uint64_t, 3> words_{}, names_{};  // this one and the two before; 0 between words
    std::uint64_t shape_ = 0;                         // kinds of the last bytes, runs of letters as one
    std::uint64_t field_ = 0;                         // the field so far
    std::vector<std::uint64_t> record_, record_before_;  // fields that have ended
    std::array<std::uint64_t, kDepth> brackets_{};
    std::size_t depth_ = 0;
};

}  // namespace lmzip::mix
