#include "range_coder.h"

#include <cmath>
#include <numeric>
#include <utility>

namespace lmzip {

// A carry runs through all words that are full.
void RangeEncoder::carry() {
    for (std::size_t i = words_.size(); i-- > 0;)
        if (++words_[i] != 0) return;
}

void RangeEncoder::encode(const std::int32_t* freqs, const std::int64_t* symbols, std::size_t rows,
                          std::size_t n) {
    for (std::size_t row = 0; row < rows; ++row, freqs += n) {
        const auto symbol = static_cast<std::size_t>(symbols[row]);
        const std::uint64_t scale = range_ >> kPrecision;
        const std::uint64_t low = low_ + scale * std::accumulate(freqs, freqs + symbol, std::uint64_t{0});
        if (low < low_) carry();
        low_ = low;
        ideal_bits_ += kPrecision - std::log2(freqs[symbol]);
        range_ = scale * static_cast<std::uint64_t>(freqs[symbol]);
        if (range_ < kSmallestRange) shift();
    }
}

std::size_t RangeEncoder::words() const {
    if (empty()) return 0;
    // One word names a point in the range, or two if the range ends within the first.
    const std::uint64_t point = low_ + (kSmallestRange - 1), end = low_ + range_;
    return words_.size() + (end >> kWord == point >> kWord ? 2 : 1);
}

std::vector<std::uint8_t> RangeEncoder::finish() const {
    std::vector<std::uint8_t> bytes;
    if (empty()) return bytes;
    // The first multiple of 2^(64 - 8 k) that is not below `low_`, for the smallest k whose one is in range.
    unsigned k = 0;
    std::uint64_t point = 0;
    for (;; ++k) {
        const std::uint64_t below = k == 0 ? ~std::uint64_t{0} : ~std::uint64_t{0} >> (8 * k);
        point = (low_ + below) & ~below;
        if (point - low_ < range_) break;
    }
    RangeEncoder end = *this;
    if (point < low_) end.carry();
    for (const std::uint32_t word : end.words_)
        for (unsigned shift = kWord; shift > 0; shift -= 8)
            bytes.push_back(static_cast<std::uint8_t>(word >> (shift - 8)));
    for (unsigned shift = 64; k > 0; --k) bytes.push_back(static_cast<std::uint8_t>(point >> (shift -= 8)));
    while (!bytes.empty() && bytes.back() == 0) bytes.pop_back();
    return bytes;
}

RangeDecoder::RangeDecoder(std::vector<std::uint8_t> payload) : payload_(std::move(payload)) {
    const std::uint64_t first = next_word();
    offset_ = first << kWord | next_word();
}

std::uint32_t RangeDecoder::next_word() {
    std::uint32_t word = 0;
    for (unsigned i = 0; i < 4; ++i, ++position_)
        word = word << 8 | (position_ < payload_.size() ? payload_[position_] : 0u);
    return word;
}

bool RangeDecoder::decode(const std::int32_t* freqs, std::int64_t* symbols, std::size_t rows,
                          std::size_t n) {
    for (std::size_t row = 0; row < rows; ++row, freqs += n) {
        const std::uint64_t scale = range_ >> kPrecision, quantile = offset_ / scale;
        std::uint64_t before = 0;
        std::size_t symbol = 0;
        while (before + static_cast<std::uint64_t>(freqs[symbol]) <= quantile) {
            before += static_cast<std::uint64_t>(freqs[symbol]);
            if (++symbol == n) return false;
        }
        symbols[row] = static_cast<std::int64_t>(symbol);
        offset_ -= scale * before;
        range_ = scale * static_cast<std::uint64_t>(freqs[symbol]);
        if (range_ < kSmallestRange) shift();
    }
    return true;
}

}  // namespace lmzip
