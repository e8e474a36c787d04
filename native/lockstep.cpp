#include "lockstep.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

namespace lmzip {

namespace {

// The rows of a block one behind the other.
const std::int32_t* together(const std::int32_t* freqs, std::size_t stride, std::size_t rows,
                             std::size_t n, std::vector<std::int32_t>& space) {
    if (stride == n) return freqs;
    space.resize(rows * n);
    for (std::size_t i = 0; i < rows; ++i) std::memcpy(&space[i * n], freqs + i * stride, n * sizeof(*freqs));
    return space.data();
}

}  // namespace

Lockstep::Lockstep(std::vector<Block> blocks, std::size_t threads)
    : blocks_(std::move(blocks)), scratch_(blocks_.size()) {
    for (const Block& block : blocks_) {
        first_.push_back(streams_);
        streams_ += block.streams;
    }
    threads = std::min(threads, blocks_.size());
    if (threads > 1) team_ = std::make_unique<Team>(threads);
}

template <class Function>
bool Lockstep::each(const Function& f) {
    std::atomic<bool> well = true;
    const auto run = [&](std::size_t first, std::size_t last) {
        for (std::size_t b = first; b < last; ++b)
            if (!f(b)) well = false;
    };
    if (!team_) {
        run(0, blocks_.size());
    } else {
        Deal deal;
        team_->run([&](std::size_t) { deal.each(blocks_.size(), 1, run); });
    }
    return well;
}

bool Lockstep::high(const std::int32_t* freqs, std::size_t stride, std::size_t n, const std::int64_t* active,
                    const std::int64_t* tokens, std::int64_t* digits) {
    return each([&](std::size_t b) {
        const Block& block = blocks_[b];
        Scratch& own = scratch_[b];
        const auto rows = static_cast<std::size_t>(active[b]);
        if (rows == 0) return true;
        const std::int32_t* row = together(freqs + first_[b] * stride, stride, rows, n, own.model);
        std::int64_t* out = digits + first_[b];
        if (block.encoder)
            for (std::size_t i = 0; i < rows; ++i) out[i] = tokens[first_[b] + i] >> 8;
        if (block.mixer) {
            if (!block.encoder) return block.mixer->decode_high(row, rows, out, *block.decoder);
            block.mixer->encode_high(row, rows, out, *block.encoder);
            return true;
        }
        if (n == 1) {  // nothing to say
            std::fill_n(out, rows, 0);
            return true;
        }
        if (!block.encoder) return block.decoder->decode(row, out, rows, n);
        block.encoder->encode(row, out, rows, n);
        return true;
    });
}

bool Lockstep::low(const std::int32_t* freqs, std::size_t stride, const std::int64_t* active,
                   const std::int64_t* digits, std::int64_t* tokens) {
    constexpr std::size_t n = 256;
    return each([&](std::size_t b) {
        const Block& block = blocks_[b];
        Scratch& own = scratch_[b];
        const auto rows = static_cast<std::size_t>(active[b]);
        if (rows == 0) return true;
        const std::int64_t* high = digits + first_[b];
        std::int64_t* out = tokens + first_[b];
        const std::int32_t* row = together(freqs + first_[b] * stride, stride, rows, n, own.model);
        if (block.mixer) {
            if (!block.encoder) return block.mixer->decode_low(row, rows, out, *block.decoder);
            block.mixer->encode_low(row, rows, out, *block.encoder);
            return true;
        }
        own.symbols.resize(rows);
        if (block.encoder) {
            for (std::size_t i = 0; i < rows; ++i) own.symbols[i] = out[i] & 255;
            block.encoder->encode(row, own.symbols.data(), rows, n);
        } else {
            if (!block.decoder->decode(row, own.symbols.data(), rows, n)) return false;
            for (std::size_t i = 0; i < rows; ++i) out[i] = high[i] << 8 | own.symbols[i];
        }
        return true;
    });
}

}  // namespace lmzip
