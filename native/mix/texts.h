// What the streams of this and of earlier groups have said, and where the same tokens came before
// (NUMERICS.md, section 13, "The match").

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lmzip::mix {

// Where a text goes on after the tokens that a stream has just had; text 0 is none.
struct Match {
    std::uint32_t text = 0, index = 0;
    std::uint32_t length = 0;  // equal tokens, at most 64 of them counted
};

class Texts {
  public:
    // A table of 2^bits places.
    explicit Texts(unsigned bits);

    // Forget everything.
    void forget();
    // New streams are about to begin: if there are very many tokens, all of them are forgotten.
    void begin_streams();
    // The number of a stream's text, still empty.
    std::uint32_t begin();
    // The token that a match expects, -1 for none.
    std::int64_t expected(const Match& match) const;
    // A text goes on with a token, and its stream's match, which expected one, with it.
    void add(std::uint32_t text, std::uint32_t token, std::int64_t expected, Match& match);

  private:
    struct Place {
        std::uint32_t text, index;
    };

    std::vector<std::vector<std::uint32_t>> texts_;
    std::vector<Place> places_;  // by the hash of the tokens before
    std::size_t tokens_ = 0;
};

}  // namespace lmzip::mix
