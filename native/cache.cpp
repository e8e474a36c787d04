#include "cache.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <numeric>
#include <stdexcept>

#include "memory.h"

namespace lmzip {

namespace {
// Tokens over all streams that pass through the layers at once while a window slides.
constexpr std::size_t kChunkRows = 256;
}  // namespace

void Cache::Free::operator()(void* p) const { std::free(p); }

Cache::Cache(const CacheShape& shape) : shape_(shape) {
    const std::size_t chunk = std::clamp<std::size_t>(kChunkRows / shape.streams, 1, kChunkRows);
    slots_ = std::min(shape.length, shape.sinks + shape.window + chunk - 1);
    ring_ = std::max<std::size_t>(1, slots_ - std::min(slots_, shape.sinks));
    capacity_ = wide(slots_);
    const std::size_t width = padded(shape.head_width);
    head_bytes_ = capacity_ * (2 * width + 2 * sizeof(float));
    bytes_ = shape.layers * shape.streams * shape.kv_heads * head_bytes_;
    memory_.reset(static_cast<std::uint8_t*>(zeros(bytes_ + 64)));
    if (!memory_) throw std::bad_alloc();
    entries_ = memory_.get() + (64 - reinterpret_cast<std::uintptr_t>(memory_.get()) % 64);
    for (std::size_t stream = 0; stream < shape.streams; ++stream) kept_.push_back(stream);
    rows_ = kept_;
    history_ = shape.memory == 0 ? 0 : shape.memory + lead();
    before_.assign(shape.streams * history_, shape.bos);
    slot_position_.assign(capacity_, std::numeric_limits<std::int32_t>::max());
    tile_first_.assign(capacity_ / kTile, std::numeric_limits<std::int32_t>::max());
    tile_last_ = tile_first_;
}

std::size_t Cache::chunk(std::size_t tokens) const {
    const std::size_t most = std::max<std::size_t>(1, kChunkRows / streams());
    const std::size_t now = std::min(tokens, most);
    if (shape_.length <= slots_) return now;
    return std::min(now, slots_ - shape_.sinks - shape_.window + 1);
}

std::size_t Cache::lead() const {
    if (shape_.length <= slots_) return std::min(shape_.length, kChunkRows);
    return slots_ - shape_.sinks - shape_.window + 1;
}

void Cache::open(std::size_t count) {
    for (std::size_t p = position_; p < position_ + count; ++p) {
        const std::size_t at = slot(p);
        slot_position_[at] = static_cast<std::int32_t>(p);
        const std::size_t tile = at / kTile;
        const auto first = slot_position_.begin() + static_cast<std::ptrdiff_t>(tile * kTile);
        const auto [least, greatest] = std::minmax_element(first, first + kTile);
        tile_first_[tile] = *least;
        tile_last_[tile] = *greatest;
    }
    filled_ = wide(std::min(position_ + count, slots_));
}

HeadCache Cache::head(std::size_t layer, std::size_t stream, std::size_t kv_head) const {
    const std::size_t index =
        (layer * shape_.streams + rows_[stream]) * shape_.kv_heads + kv_head;
    std::uint8_t* at = entries_ + index * head_bytes_;
    const std::size_t matrix = capacity_ * padded(shape_.head_width);
    auto* steps = reinterpret_cast<float*>(at + 2 * matrix);
    return {at, reinterpret_cast<std::int8_t*>(at + matrix), steps, steps + capacity_};
}

void Cache::remember(const std::int64_t* tokens, std::size_t stride, std::size_t count) {
    if (history_ == 0) return;
    for (std::size_t stream = 0; stream < streams(); ++stream)
        for (std::size_t i = 0; i < count; ++i)
            before_[rows_[stream] * history_ + (position_ + i) % history_] = tokens[stream * stride + i];
}

void Cache::keep(const std::int64_t* rows, std::size_t count) {
    std::vector<std::size_t> kept;
    for (std::size_t i = 0; i < count; ++i)
        kept.push_back(kept_.at(static_cast<std::size_t>(rows[i])));
    kept_ = std::move(kept);
    rows_ = kept_;
}

void Cache::choose(const std::int64_t* rows, std::size_t count, std::size_t position) {
    if (position > furthest_ || furthest_ > position + lead())
        throw std::out_of_range("the cache cannot go to that position");
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < count; ++i)
        chosen.push_back(kept_.at(static_cast<std::size_t>(rows[i])));
    rows_ = std::move(chosen);
    position_ = position;
}

void Cache::spread() {
    if (kept_.size() != 1) throw std::logic_error("only a single stream can be spread");
    const std::size_t source = kept_[0], bytes = shape_.kv_heads * head_bytes_;
    for (std::size_t layer = 0; layer < shape_.layers; ++layer) {
        std::uint8_t* at = entries_ + layer * shape_.streams * bytes;
        for (std::size_t stream = 0; stream < shape_.streams; ++stream)
            if (stream != source) std::memcpy(at + stream * bytes, at + source * bytes, bytes);
    }
    for (std::size_t stream = 0; stream < shape_.streams; ++stream)
        for (std::size_t i = 0; i < history_; ++i)
            before_[stream * history_ + i] = before_[source * history_ + i];
    kept_.resize(shape_.streams);
    std::iota(kept_.begin(), kept_.end(), std::size_t{0});
    rows_ = kept_;
}

}  // namespace lmzip
