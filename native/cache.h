// The keys and values of some streams in lockstep, int8, in a ring behind the sinks (NUMERICS.md,
// section 7). Position p lives in slot p while p < sinks, then in slot sinks + (p - sinks) mod ring.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.h"

namespace lmzip {

struct CacheShape {
    std::size_t layers, kv_heads, head_width;
    std::size_t streams, window, sinks, length;
    std::size_t memory = 0;  // tokens before the next one that n-grams look at
    std::int64_t bos = 0;    // what they are at first
};

class Cache {
  public:
    // Throws std::bad_alloc.
    explicit Cache(const CacheShape& shape);

    // Streams that are fed now: those kept, or those chosen of them.
    std::size_t streams() const { return rows_.size(); }
    std::size_t position() const { return position_; }
    const CacheShape& shape() const { return shape_; }

    // How many of the next `tokens` may be written before they are attended to.
    std::size_t chunk(std::size_t tokens) const;
    // Enter the positions of the next `count` tokens, which every layer then writes.
    void open(std::size_t count);
    void close(std::size_t count) {
        position_ += count;
        if (position_ > furthest_) furthest_ = position_;
    }

    std::size_t slot(std::size_t position) const {
        return position < shape_.sinks ? position : shape_.sinks + (position - shape_.sinks) % ring_;
    }
    // Slots that may hold something, a multiple of 64.
    std::size_t filled() const { return filled_; }
    bool wrapped() const { return position_ > slots_; }
    const std::int32_t* slot_position() const { return slot_position_.data(); }
    const std::int32_t* tile_first() const { return tile_first_.data(); }
    const std::int32_t* tile_last() const { return tile_last_.data(); }

    HeadCache head(std::size_t layer, std::size_t stream, std::size_t kv_head) const;

    // The token `back` places before the next one of a stream, 1 <= back <= memory.
    std::int64_t before(std::size_t stream, std::size_t back) const {
        if (back > position_) return shape_.bos;
        return before_[rows_[stream] * history_ + (position_ - back) % history_];
    }
    // Every stream is being fed these at the next positions, rows of `count` that are `stride` apart.
    void remember(const std::int64_t* tokens, std::size_t stride, std::size_t count);

    // Drop all streams but these, in that order. Throws std::out_of_range.
    void keep(const std::int64_t* rows, std::size_t count);
    // Only these of the streams kept are fed next, from `position` on; what they were fed there or after is
    // dropped, and what the others were fed stays. Keep and spread end the choice. Throws std::out_of_range,
    // also for a position so far back that what it sees may have been overwritten, or that lies ahead of what
    // was fed.
    void choose(const std::int64_t* rows, std::size_t count, std::size_t position);
    // How many tokens a stream may be fed beyond the position of another, or beyond the one it goes back to.
    std::size_t lead() const;
    // Go on as all the streams of the shape, each of which has read what the only one kept has.
    // Throws std::logic_error if that is not one.
    void spread();

    std::size_t bytes() const { return bytes_; }

  private:
    CacheShape shape_;
    std::size_t slots_, ring_, capacity_;  // capacity: slots rounded up to whole vectors
    std::size_t position_ = 0, filled_ = 0;
    std::size_t furthest_ = 0;  // positions that any stream has been fed
    std::size_t head_bytes_, bytes_;
    std::vector<std::size_t> kept_;  // where each stream's entries lie
    std::vector<std::size_t> rows_;  // the same of those that are fed now
    std::size_t history_;  // tokens of a stream that are kept for n-grams, by position modulo that
    std::vector<std::int64_t> before_;  // [streams of the shape][history]
    std::vector<std::int32_t> slot_position_, tile_first_, tile_last_;
    struct Free {
        void operator()(void* p) const;
    };
    std::unique_ptr<std::uint8_t, Free> memory_;
    std::uint8_t* entries_;
};

}  // namespace lmzip
