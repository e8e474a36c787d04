#include "model.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "frequencies.h"
#include "rope.h"

namespace lmzip {

namespace {
constexpr std::size_t kHeadRows = 32;     // tokens whose logits exist at once
constexpr std::size_t kDigitTiles = 16;   // tiles of the head that share a high digit
}  // namespace

std::uint8_t* Buffer::reserve(std::size_t bytes) {
    constexpr std::size_t slack = 256;  // kernels read whole vectors
    if (storage_.size() < bytes + 64 + slack) {
        std::vector<std::uint8_t>().swap(storage_);
        storage_.resize(bytes + 64 + slack);
    }
    const auto at = reinterpret_cast<std::uintptr_t>(storage_.data());
    return storage_.data() + (64 - at % 64);
}

Quantized States::from(std::size_t row) {
    return Quantized{q.data(), step.data(), sum.data(), stride}.from(row);
}

// Some new tokens on their way through the layers: row = stream * count + token.
struct Model::Chunk {
    const std::int64_t* tokens;  // of stream 0
    std::size_t token_stride;    // from stream to stream
    std::size_t streams, count, rows;
    Cache& cache;
    bool slides;  // some query is further than the window from the sinks
    const float* angles;  // [count][4][half]: cosine, sine, and both for the sinks
    float *x, *y, *attended;
    Quantized narrow, wide, near, far;
    Quantized states;             // of stream 0
    std::size_t states_stride;    // from stream to stream
    std::atomic<std::size_t>* next_task;  // [layers]
};

Model::Model(Config config, Weights weights, const Kernels& kernels, std::size_t threads)
    : config_(std::move(config)), weights_(std::move(weights)), kernels_(kernels),
      shape_{config_.heads,      config_.kv_heads,    config_.heads / config_.kv_heads,
             config_.head_width, config_.score_scale, config_.norm_eps},
      team_(threads), row_scratch_(threads), attend_scratch_(threads) {}

// Rows of int8 in one buffer: the bytes, then steps and sums.
Quantized Model::quantized(Buffer& buffer, std::size_t rows, std::size_t columns, std::size_t unit) {
    const std::size_t stride = round_up(columns, unit);
    rows = round_up(rows, kTile);
    auto* at = buffer.get<std::uint8_t>(rows * (stride + 8));
    auto* steps = reinterpret_cast<float*>(at + rows * stride);
    return {reinterpret_cast<std::int8_t*>(at), steps, reinterpret_cast<std::int32_t*>(steps + rows), stride};
}

void Model::forward(const std::int64_t* tokens, std::size_t count, Cache& cache, States& states) {
    const std::size_t streams = cache.streams(), half = config_.head_width / 2;
    states.rows = streams * count;
    states.stride = wide(config_.width);
    const std::size_t kept = round_up(states.rows, kTile);
    states.q.assign(kept * states.stride, 0);
    states.step.assign(kept, 0);
    states.sum.assign(kept, 0);
    states.top.assign(kept, 0);
    for (std::size_t done = 0; done < count;) {
        const std::size_t now = cache.chunk(count - done), rows = streams * now;
        cache.open(now);
        const std::size_t start = cache.position(), window = cache.shape().window;
        const bool slides = start + now - 1 > window && cache.shape().sinks > 0;
        auto* angles = angles_.get<float>(now * 4 * half);
        for (std::size_t t = 0; t < now; ++t) {
            float* at = angles + t * 4 * half;
            rope_angles(weights_.turns, half, start + t, at, at + half);
            if (slides)
                rope_angles(weights_.turns, half, std::min(start + t, window), at + 2 * half, at + 3 * half);
        }
        const std::size_t queries = rows * config_.heads;
        const std::size_t y_width = std::max(padded(weights_.layers[0].qkv.rows), padded(2 * config_.ffn_width));
        std::vector<std::atomic<std::size_t>> next_task(config_.layers);
        Chunk chunk{
            tokens + done, count, streams, now, rows, cache, slides, angles,
            x_.get<float>(rows * padded(config_.width)),
            y_.get<float>(rows * y_width),
            attended_.get<float>(rows * padded(config_.heads * config_.head_width)),
            quantized(narrow_, rows, std::max(config_.width, config_.heads * config_.head_width), 64),
            quantized(wide_, rows, config_.ffn_width, 64),
            quantized(near_, queries, config_.head_width, 16),
            slides ? quantized(far_, queries, config_.head_width, 16) : Quantized{},
            states.from(done), count, next_task.data()};
        team_.run([&](std::size_t thread) { layers(chunk, thread); });
        cache.close(now);
        done += now;
    }
}

// Section 1. Every thread runs this; at each barrier the rows, or the columns, that the others were
// busy with are there.
void Model::layers(const Chunk& c, std::size_t thread) {
    const std::size_t width = config_.width, stride = padded(width), threads = team_.threads();
    const Share rows(c.rows, thread, threads);
    const auto product = [&](const Quantized& a, const Matrix& w, const float* bias, bool add, float* y) {
        const Share tiles(w.row_tiles(), thread, threads);
        kernels_.multiply(a, c.rows, w, tiles.first, tiles.last, bias, add, y, padded(w.rows));
        team_.barrier();
    };
    float* scratch = row_scratch_[thread].get<float>(padded(std::max(width, config_.ffn_width)));
    const auto norm = [&](const float* gain) {
        for (std::size_t row = rows.first; row < rows.last; ++row)
            kernels_.norm_quantize(c.x + row * stride, gain, width, config_.norm_eps, scratch,
                                   c.narrow.from(row));
        team_.barrier();
    };

    for (std::size_t row = rows.first; row < rows.last; ++row) {
        const std::int64_t token = c.tokens[row / c.count * c.token_stride + row % c.count];
        kernels_.embed(weights_.embed, static_cast<std::size_t>(token), c.x + row * stride);
    }
    for (std::size_t index = 0; index < config_.layers; ++index) {
        const Layer& layer = weights_.layers[index];
        norm(layer.attention_norm);
        product(c.narrow, layer.qkv, layer.qkv_bias, false, c.y);
        attention(c, index, thread);
        const std::size_t attended = config_.heads * config_.head_width;
        for (std::size_t row = rows.first; row < rows.last; ++row)
            kernels_.rotate_quantize(c.attended + row * padded(attended), attended, c.narrow.from(row));
        team_.barrier();
        product(c.narrow, layer.o, nullptr, true, c.x);
        norm(layer.ffn_norm);
        product(c.narrow, layer.gate_up, nullptr, false, c.y);
        for (std::size_t row = rows.first; row < rows.last; ++row)
            kernels_.gate_quantize(c.y + row * padded(layer.gate_up.rows), config_.ffn_width, scratch,
                                   c.wide.from(row));
        team_.barrier();
        product(c.wide, layer.down, nullptr, true, c.x);
    }
    for (std::size_t row = rows.first; row < rows.last; ++row)
        kernels_.norm_quantize(c.x + row * stride, weights_.norm, width, config_.norm_eps, scratch,
                               c.states.from(row / c.count * c.states_stride + row % c.count));
}

// Sections 6 and 7: the new tokens' queries, keys and values are turned and quantised, then every
// stream's every key/value head attends by itself.
void Model::attention(const Chunk& c, std::size_t layer, std::size_t thread) {
    const std::size_t half = config_.head_width / 2, kv_heads = config_.kv_heads, group = shape_.group;
    const std::size_t y_stride = padded(weights_.layers[layer].qkv.rows);
    const std::size_t out_stride = padded(config_.heads * config_.head_width);
    const std::size_t queries = c.count * group;  // of a stream and key/value head
    const Layer& weights = weights_.layers[layer];
    std::vector<HeadCache> caches(kv_heads);
    const Share rows(c.rows, thread, team_.threads());
    for (std::size_t row = rows.first; row < rows.last; ++row) {
        const std::size_t stream = row / c.count, token = row % c.count;
        for (std::size_t k = 0; k < kv_heads; ++k) caches[k] = c.cache.head(layer, stream, k);
        const float* angles = c.angles + token * 4 * half;
        const std::size_t first = stream * kv_heads * queries;
        kernels_.rotary({shape_, c.y + row * y_stride, angles, angles + half,
                         c.slides ? angles + 2 * half : nullptr, angles + 3 * half, weights.q_norm,
                         weights.k_norm, token, c.count, c.near.from(first),
                         c.slides ? c.far.from(first) : Quantized{}, caches.data(),
                         c.cache.slot(c.cache.position() + token)});
    }
    team_.barrier();

    const std::size_t n = padded(config_.head_width), most = kernels_.attend_rows;
    const std::size_t parts = (queries + most - 1) / most, filled = c.cache.filled();
    const std::size_t planes_rows = round_up(2 * most, 16);
    const std::size_t bytes = filled * (most * 4 + 4 + planes_rows) + most * n * 16;
    auto* scratch = attend_scratch_[thread].get<std::uint8_t>(bytes);
    auto* totals = reinterpret_cast<double*>(scratch);
    auto* sums = reinterpret_cast<std::int32_t*>(totals + most * n);
    auto* scores = reinterpret_cast<float*>(sums + 2 * most * n);
    auto* exponents = scores + most * filled;
    auto* planes = reinterpret_cast<std::uint8_t*>(exponents + filled);
    const std::size_t tasks = c.streams * kv_heads * parts;
    std::size_t task;
    while ((task = c.next_task[layer].fetch_add(1, std::memory_order_relaxed)) < tasks) {
        const std::size_t head = task / parts, stream = head / kv_heads, k = head % kv_heads;
        const std::size_t first = task % parts * most;
        const std::size_t count = std::min(most, queries - first);
        // While every position still has its own slot, nothing behind the last query is looked at.
        const std::size_t last = c.cache.position() + (first + count - 1) / group;
        const std::size_t slots = std::min(filled, wide(last + 1));
        kernels_.attend({shape_, c.near.from(head * queries + first),
                         c.slides ? c.far.from(head * queries + first) : Quantized{}, first, count,
                         c.cache.head(layer, stream, k), c.cache.slot_position(), c.cache.tile_first(),
                         c.cache.tile_last(), slots, static_cast<std::int32_t>(c.cache.position()),
                         static_cast<std::int32_t>(std::min<std::size_t>(c.cache.shape().window, 1 << 30)),
                         static_cast<std::int32_t>(c.cache.shape().sinks),
                         c.attended + stream * c.count * out_stride + k * group * config_.head_width,
                         out_stride, scores, exponents, planes, sums, totals});
    }
    team_.barrier();
}

// Suppressed tokens, and those behind the vocabulary's end, among the tokens first..last.
void Model::hide(float* logits, std::size_t first, std::size_t last) const {
    for (const std::int32_t token : config_.suppressed)
        if (const auto t = static_cast<std::size_t>(token); t >= first && t < last)
            logits[t - first] = -1.0e30f;
    for (std::size_t t = std::max(first, config_.vocab); t < last; ++t) logits[t - first] = -1.0e30f;
}

void Model::high(States& states, std::int32_t* freqs) {
    const std::size_t digits = high_digits(), threads = team_.threads();
    const Matrix& head = weights_.head;
    const std::size_t stride = padded(config_.vocab);
    auto* logits = logits_.get<float>(kHeadRows * stride);
    auto* tops = tops_.get<float>(threads * kHeadRows);
    std::vector<std::int32_t> sums(kHeadRows * digits);
    team_.run([&](std::size_t thread) {
        alignas(64) std::int32_t weights[256];
        const Share mine(digits, thread, threads);
        const std::size_t first_tile = mine.first * kDigitTiles;
        const std::size_t last_tile = std::min(head.row_tiles(), mine.last * kDigitTiles);
        const std::size_t first = first_tile * kTile, last = last_tile * kTile;
        for (std::size_t start = 0; start < states.rows; start += kHeadRows) {
            const std::size_t rows = std::min(kHeadRows, states.rows - start);
            kernels_.logits(states.from(start), rows, head, first_tile, last_tile, logits + first, stride);
            for (std::size_t row = 0; row < rows; ++row) {
                float* l = logits + row * stride;
                hide(l + first, first, last);
                tops[thread * kHeadRows + row] = first < last ? kernels_.greatest(l + first, last - first) : -1.0e30f;
            }
            team_.barrier();
            for (std::size_t row = 0; row < rows; ++row) {
                float top = tops[row];
                for (std::size_t i = 1; i < threads; ++i) top = std::max(top, tops[i * kHeadRows + row]);
                if (thread == 0) states.top[start + row] = top;
                for (std::size_t digit = mine.first; digit < mine.last; ++digit) {
                    const std::size_t from = digit * 256, n = std::min<std::size_t>(256, stride - from);
                    sums[row * digits + digit] =
                        kernels_.token_weights(logits + row * stride + from, top, n, weights);
                }
            }
            team_.barrier();
            const Share shared(rows, thread, threads);
            frequencies(sums.data() + shared.first * digits, freqs + (start + shared.first) * digits,
                        shared.last - shared.first, digits);
            team_.barrier();
        }
    });
}

void Model::low(States& states, const std::int64_t* high, std::int32_t* freqs) {
    const std::size_t threads = team_.threads();
    const Matrix& head = weights_.head;
    team_.run([&](std::size_t thread) {
        alignas(64) float logits[256];
        alignas(64) std::int32_t weights[256];
        const Share rows(states.rows, thread, threads);
        for (std::size_t row = rows.first; row < rows.last; ++row) {
            const std::size_t first_tile = static_cast<std::size_t>(high[row]) * kDigitTiles;
            const std::size_t last_tile = std::min(head.row_tiles(), first_tile + kDigitTiles);
            const std::size_t first = first_tile * kTile, n = (last_tile - first_tile) * kTile;
            std::memset(weights, 0, sizeof weights);
            kernels_.logits(states.from(row), 1, head, first_tile, last_tile, logits, 0);
            hide(logits, first, first + n);
            kernels_.token_weights(logits, states.top[row], n, weights);
            frequencies(weights, freqs + row * 256, 1, 256);
        }
    });
}

}  // namespace lmzip
