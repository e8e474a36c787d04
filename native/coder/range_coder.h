// The range coder of FORMAT.md on rows of frequencies. The readable twin is lmzip/coder/oracle.py; both
// write and read the same bytes.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lmzip {

class RangeEncoder {
  public:
    // Encode a symbol under each row of freqs [rows][n], at least 1 and of sum 2^24.
    void encode(const std::int32_t* freqs, const std::int64_t* symbols, std::size_t rows, std::size_t n);
    // Words of the payload if it ended here, trailing zeros counted.
    std::size_t words() const;
    std::vector<std::uint8_t> finish() const;
    // The information of the symbols so far, in bits.
    double ideal_bits() const { return ideal_bits_; }

  private:
    bool empty() const { return words_.empty() && range_ == ~std::uint64_t{0}; }

    std::vector<std::uint32_t> words_;
    double ideal_bits_ = 0;
    std::uint64_t low_ = 0, range_ = ~std::uint64_t{0};
};

class RangeDecoder {
  public:
    explicit RangeDecoder(std::vector<std::uint8_t> payload);

    // The symbols under rows of freqs. False if the payload is none of this coder's.
    bool decode(const std::int32_t* freqs, std::int64_t* symbols, std::size_t rows, std::size_t n);

  private:
    std::uint32_t next_word();

    std::vector<std::uint8_t> payload_;
    std::size_t position_ = 0;
    std::uint64_t offset_;  // of the payload from the bottom of the range
    std::uint64_t range_ = ~std::uint64_t{0};
};

}  // namespace lmzip
