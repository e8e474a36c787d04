// The range coder of FORMAT.md, on rows of frequencies and on single bits. The readable twin is
// lmzip/coder/oracle.py; both write and read the same bytes.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lmzip {

class RangeEncoder {
  public:
    // Encode a symbol under each row of freqs [rows][n], at least 1 and of sum 2^24.
    void encode(const std::int32_t* freqs, const std::int64_t* symbols, std::size_t rows, std::size_t n);
    // Encode a bit that is 1 with probability p1 / 2^24, p1 from 1 to 2^24 - 1: the same as a symbol of
    // two under the frequencies 2^24 - p1 and p1. Its information is the caller's to count.
    void encode_bit(bool bit, std::uint32_t p1) {
        const std::uint64_t scale = range_ >> kPrecision;
        const std::uint64_t split = scale * ((std::uint64_t{1} << kPrecision) - p1);
        if (bit) {
            const std::uint64_t low = low_ + split;
            if (low < low_) carry();
            low_ = low;
            range_ = scale * p1;
        } else {
            range_ = split;
        }
        if (range_ < kSmallestRange) shift();
    }
    // Count the information of bits, in bits.
    void add_ideal_bits(double bits) { ideal_bits_ += bits; }
    // Words of the payload if it ended here, about: the last one or two may be shorter.
    std::size_t words() const;
    // The payload: the fewest bytes that name a number in the range, as digits of a binary fraction.
    std::vector<std::uint8_t> finish() const;
    // The information of the symbols so far, in bits, and of what was added.
    double ideal_bits() const { return ideal_bits_; }

  private:
    static constexpr unsigned kPrecision = 24, kWord = 32;
    static constexpr std::uint64_t kSmallestRange = std::uint64_t{1} << kWord;

    bool empty() const { return words_.empty() && range_ == ~std::uint64_t{0}; }
    void carry();
    void shift() {
        words_.push_back(static_cast<std::uint32_t>(low_ >> kWord));
        low_ <<= kWord;
        range_ <<= kWord;
    }

    std::vector<std::uint32_t> words_;
    double ideal_bits_ = 0;
    std::uint64_t low_ = 0, range_ = ~std::uint64_t{0};
};

class RangeDecoder {
  public:
    explicit RangeDecoder(std::vector<std::uint8_t> payload);

    // The symbols under rows of freqs. False if the payload is none of this coder's.
    bool decode(const std::int32_t* freqs, std::int64_t* symbols, std::size_t rows, std::size_t n);
    // The bit that encode_bit was given with this p1; see `good`.
    bool decode_bit(std::uint32_t p1) {
        const std::uint64_t scale = range_ >> kPrecision;
        const std::uint64_t split = scale * ((std::uint64_t{1} << kPrecision) - p1);
        const bool bit = offset_ >= split;
        offset_ -= bit ? split : 0;
        range_ = bit ? scale * p1 : split;
        bad_ |= offset_ >= range_;
        if (range_ < kSmallestRange) shift();
        return bit;
    }
    // Whether every bit so far was one that an encoder can have written.
    bool good() const { return !bad_; }

  private:
    static constexpr unsigned kPrecision = 24, kWord = 32;
    static constexpr std::uint64_t kSmallestRange = std::uint64_t{1} << kWord;

    std::uint32_t next_word();
    void shift() {
        offset_ = offset_ << kWord | next_word();
        range_ <<= kWord;
    }

    std::vector<std::uint8_t> payload_;
    std::size_t position_ = 0;
    std::uint64_t offset_;  // of the payload from the bottom of the range
    std::uint64_t range_ = ~std::uint64_t{0};
    bool bad_ = false;
};

}  // namespace lmzip
