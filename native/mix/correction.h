// The last step of a prediction (NUMERICS.md, section 13): how often a digit as likely as this one has
// really come, learned. An adaptive probability map, or secondary symbol estimation, over digits.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lmzip::mix {

class Correction {
  public:
    // What was asked for one row of frequencies, to be taught when its digit is known.
    struct Question {
        std::size_t cell;   // the first of two neighbouring cells
        double second;      // how much the second of them counts, 0 to 1
        std::uint32_t top;  // the likeliest digit
    };

    explicit Correction(std::size_t situations);

    // Correct frequencies [n], at least 1 and of sum 2^24, in a situation.
    Question apply(std::size_t situation, std::int32_t* freqs, std::size_t n) const;
    void learn(const Question& question, std::uint32_t digit);

  private:
    struct Cell {
        double chance;
        std::uint32_t lessons = 0;
    };
    std::vector<Cell> cells_;
};

}  // namespace lmzip::mix
