#include "model.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>

#include "frequencies.h"
#include "rope.h"

namespace lmzip {

namespace {
constexpr std::size_t kHeadRows = 32;     // tokens whose logits exist at once
constexpr std::size_t kDigitTiles = 16;   // tiles of the head that share a high digit
// Weights that stay in a processor's caches from one thread's part of the rows to the next; of a larger model
// every part reads them from memory again, so that parts must have more rows to be worth it.
constexpr std::size_t kCachedWeights = 8'000'000;
constexpr std::size_t kPartRows = 256;    // at most, of a part of a small model
constexpr std::size_t kFew = 20'000'000;  // products that take no longer than waking threads for them
constexpr std::size_t kLargeRows = 48;    // at least, of a part of a model of more weights
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
    std::size_t first, streams, count, rows;  // `first` is the number of its stream 0 in the cache
    Cache& cache;
    bool slides;  // some query is further than the window from the sinks
    const float* angles;  // [count][4][half]: cosine, sine, and both for the sinks
    float *x, *y, *attended;
    Quantized narrow, wide, near, far;
    std::vector<Quantized> ngrams;  // of each order
    Quantized states;             // of stream 0
    std::size_t states_stride;    // from stream to stream
};

// How one thread goes through the phases of a chunk: in step with the others, or alone.
class Model::Phases {
  public:
    // Alone.
    Phases() : threads_(1), deals_(nullptr) {}
    Phases(const Team& team, Deal* deals) : threads_(team.threads()), deals_(team.threads() > 1 ? deals : nullptr) {}

    std::size_t threads() const { return threads_; }
    // f(first, last) over n things by all threads; when it returns, all of them are done.
    template <class Function>
    void each(std::size_t n, std::size_t grain, const Function& f) {
        if (deals_)
            (deals_++)->each(n, grain, f);
        else if (n > 0)
            f(0, n);
    }
    // As `each`, f(i) for one thing at a time.
    template <class Function>
    void one_by_one(std::size_t n, const Function& f) {
        each(n, 1, [&](std::size_t first, std::size_t last) {
            for (std::size_t i = first; i < last; ++i) f(i);
        });
    }
    // Runs that keep all threads busy to the end, in whole units.
    std::size_t grain(std::size_t n, std::size_t unit) const {
        return std::max(unit, n / (threads_ * 6) / unit * unit);
    }

  private:
    std::size_t threads_;
    Deal* deals_;
};

namespace {
constexpr std::size_t kPhases = 10;  // of a layer
}

Model::Model(Config config, Weights weights, const Kernels& kernels, std::size_t threads)
    : config_(std::move(config)), weights_(std::move(weights)), kernels_(kernels),
      shape_{config_.heads,      config_.kv_heads,    config_.heads / config_.kv_heads,
             config_.head_width, config_.score_scale, config_.norm_eps},
      team_(threads), workspaces_(threads), row_scratch_(threads), attend_scratch_(threads) {
    for (const Layer& layer : weights_.layers)
        for (const Matrix* w : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down})
            layer_weights_ += w->rows * w->columns;
    for (const NGrams& n : weights_.ngrams) layer_weights_ += n.proj.rows * n.proj.columns;
    for (Workspace& workspace : workspaces_) workspace.ngrams.resize(weights_.ngrams.size());
}

// All threads, or this one alone where waking and waiting would take longer than the work.
void Model::together(std::size_t products, const std::function<void(std::size_t)>& job) {
    if (products < kFew)
        job(0);
    else
        team_.run(job);
}

// Rows of int8 in one buffer: the bytes, then steps and sums.
Quantized Model::quantized(Buffer& buffer, std::size_t rows, std::size_t columns, std::size_t unit) {
    const std::size_t stride = round_up(columns, unit);
    rows = round_up(rows, kTile);
    auto* at = buffer.get<std::uint8_t>(rows * (stride + 8));
    auto* steps = reinterpret_cast<float*>(at + rows * stride);
    return {reinterpret_cast<std::int8_t*>(at), steps, reinterpret_cast<std::int32_t*>(steps + rows), stride};
}

// How many streams one thread takes through all layers by itself, so that threads meet once, at the end.
// 0: all threads share every matrix, which is better for few rows of a large model.
std::size_t Model::part_streams(std::size_t streams, std::size_t count) const {
    const std::size_t threads = team_.threads(), rows = streams * count;
    if (streams < threads) return 0;
    std::size_t parts = threads;
    if (layer_weights_ <= kCachedWeights)
        parts = round_up(std::max<std::size_t>(1, (rows + kPartRows - 1) / kPartRows), threads);
    else if (threads == 1 || rows < threads * kLargeRows)
        return 0;
    return (streams + parts - 1) / parts;
}

// Some streams of a chunk, on their way in this workspace.
Model::Chunk Model::part(const Chunk& chunk, std::size_t first, std::size_t streams, Workspace& workspace) const {
    Chunk made = chunk;
    const std::size_t rows = streams * chunk.count, queries = rows * config_.heads;
    const std::size_t y_width = std::max(padded(weights_.layers[0].qkv.rows), padded(2 * config_.ffn_width));
    made.first = first;
    made.streams = streams;
    made.rows = rows;
    made.tokens = chunk.tokens + first * chunk.token_stride;
    made.states = chunk.states.from(first * chunk.states_stride);
    made.x = workspace.x.get<float>(rows * padded(config_.width));
    made.y = workspace.y.get<float>(rows * y_width);
    made.attended = workspace.attended.get<float>(rows * padded(config_.heads * config_.head_width));
    made.narrow = quantized(workspace.narrow, rows, std::max(config_.width, config_.heads * config_.head_width), 64);
    made.wide = quantized(workspace.wide, rows, config_.ffn_width, 64);
    made.near = quantized(workspace.near, queries, config_.head_width, 16);
    if (chunk.slides) made.far = quantized(workspace.far, queries, config_.head_width, 16);
    made.ngrams.clear();
    for (std::size_t i = 0; i < workspace.ngrams.size(); ++i)
        made.ngrams.push_back(quantized(workspace.ngrams[i], rows, weights_.ngrams[i].width, 64));
    return made;
}

void Model::forward(const std::int64_t* tokens, std::size_t count, Cache& cache, States& states) {
    const std::size_t streams = cache.streams(), half = config_.head_width / 2;
    states.rows = streams * count;
    states.stride = wide(config_.width);
    const std::size_t kept = round_up(states.rows, kTile) + kTile;  // from any row on, 16 may be read
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
        const Chunk all{tokens + done, count, 0, streams, now, rows, cache, slides, angles, nullptr, nullptr, nullptr,
                        {}, {}, {}, {}, {}, states.from(done), count};
        const std::size_t apart = part_streams(streams, now);
        if (apart > 0) {
            std::vector<Chunk> own;  // of each thread; made here, where running out of memory is an exception
            for (Workspace& workspace : workspaces_) own.push_back(part(all, 0, apart, workspace));
            Deal deal;
            together(rows * layer_weights_, [&](std::size_t thread) {
                deal.each(streams, apart, [&](std::size_t first, std::size_t last) {
                    Chunk mine = own[thread];
                    mine.first = first;
                    mine.streams = last - first;
                    mine.rows = mine.streams * now;
                    mine.tokens += first * count;
                    mine.states = mine.states.from(first * count);
                    Phases alone;
                    layers(mine, thread, alone);
                });
            });
        } else {
            const Chunk shared = part(all, 0, streams, workspaces_[0]);
            std::vector<Deal> deals(config_.layers * kPhases + 3);
            const bool few = rows * layer_weights_ < kFew;
            together(rows * layer_weights_, [&](std::size_t thread) {
                Phases phases = few ? Phases() : Phases(team_, deals.data());
                layers(shared, thread, phases);
            });
        }
        cache.remember(tokens + done, count, now);
        cache.close(now);
        done += now;
    }
}

// The rows of the n-grams that end with a row's token. Section 4.
void Model::look_up(const Chunk& c, std::size_t row) const {
    constexpr std::uint32_t factors[] = {0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F};
    const std::size_t stream = row / c.count, token = row % c.count;
    const std::int64_t* at = c.tokens + stream * c.token_stride + token;
    for (std::size_t i = 0; i < c.ngrams.size(); ++i) {
        const NGrams& table = weights_.ngrams[i];
        std::uint32_t key = 0;
        for (std::size_t back = 0; back < table.order; ++back) {
            const std::int64_t t = back <= token ? *(at - back) : c.cache.before(c.first + stream, back - token);
            key += static_cast<std::uint32_t>(t) * factors[back];
        }
        key = (key ^ (key >> 15)) * 0x2C1B3C6Du;
        const std::size_t found = std::uint64_t{key} * table.count >> 32;
        const Quantized out = c.ngrams[i].from(row);
        const std::int8_t* q = table.rows + found * table.width;
        std::memcpy(out.q, q, table.width);
        std::memset(out.q + table.width, 0, out.stride - table.width);
        *out.step = table.steps[found];
        *out.sum = std::accumulate(q, q + table.width, std::int32_t{0});
    }
}

// Section 1. A thread runs this alone, or every thread does; then after each phase the rows, or the columns, that
// the others were busy with are there.
void Model::layers(const Chunk& c, std::size_t thread, Phases& phases) {
    const std::size_t width = config_.width, stride = padded(width);
    const std::size_t heads_width = config_.heads * config_.head_width;
    float* scratch = row_scratch_[thread].get<float>(padded(std::max(width, config_.ffn_width)));
    const auto rows = [&](const auto& f) {
        phases.each(c.rows, phases.grain(c.rows, 1), [&](std::size_t first, std::size_t last) {
            for (std::size_t row = first; row < last; ++row) f(row);
        });
    };
    const auto product = [&](const Quantized& a, const Matrix& w, const float* bias, bool add, float* y) {
        // A few rows wait for memory, which is fastest read in long runs.
        const std::size_t tiles = w.row_tiles(), half = tiles / (2 * phases.threads()) / 2 * 2;
        const std::size_t grain = c.rows < 64 ? std::max<std::size_t>(2, half) : phases.grain(tiles, 2);
        phases.each(tiles, grain, [&](std::size_t first, std::size_t last) {
            kernels_.multiply(a, c.rows, w, first, last, bias, add, y, padded(w.rows));
        });
    };
    const auto norm = [&](const float* gain) {
        rows([&](std::size_t row) {
            kernels_.norm_quantize(c.x + row * stride, gain, width, config_.norm_eps, scratch,
                                   c.narrow.from(row));
        });
    };

    rows([&](std::size_t row) {
        const std::int64_t token = c.tokens[row / c.count * c.token_stride + row % c.count];
        kernels_.embed(weights_.embed, static_cast<std::size_t>(token), c.x + row * stride);
        look_up(c, row);
    });
    if (!c.ngrams.empty()) {
        const std::size_t tiles = padded(width) / kTile;
        phases.each(tiles, phases.grain(tiles, 2), [&](std::size_t first, std::size_t last) {
            for (std::size_t i = 0; i < c.ngrams.size(); ++i)
                kernels_.multiply(c.ngrams[i], c.rows, weights_.ngrams[i].proj, first, last, nullptr, true,
                                  c.x, stride);
        });
    }
    for (std::size_t index = 0; index < config_.layers; ++index) {
        const Layer& layer = weights_.layers[index];
        norm(layer.attention_norm);
        product(c.narrow, layer.qkv, layer.qkv_bias, false, c.y);
        attention(c, index, thread, phases);
        rows([&](std::size_t row) {
            kernels_.rotate_quantize(c.attended + row * padded(heads_width), heads_width, c.narrow.from(row));
        });
        product(c.narrow, layer.o, nullptr, true, c.x);
        norm(layer.ffn_norm);
        product(c.narrow, layer.gate_up, nullptr, false, c.y);
        rows([&](std::size_t row) {
            kernels_.gate_quantize(c.y + row * padded(layer.gate_up.rows), config_.ffn_width, scratch,
                                   c.wide.from(row));
        });
        product(c.wide, layer.down, nullptr, true, c.x);
    }
    rows([&](std::size_t row) {
        kernels_.norm_quantize(c.x + row * stride, weights_.norm, width, config_.norm_eps, scratch,
                               c.states.from(row / c.count * c.states_stride + row % c.count));
    });
}

// Sections 6 and 7: the new tokens' queries, keys and values are turned and quantised, then every
// stream's every key/value head attends by itself.
void Model::attention(const Chunk& c, std::size_t layer, std::size_t thread, Phases& phases) {
    const std::size_t half = config_.head_width / 2, kv_heads = config_.kv_heads, group = shape_.group;
    const std::size_t y_stride = padded(weights_.layers[layer].qkv.rows);
    const std::size_t out_stride = padded(config_.heads * config_.head_width);
    const std::size_t queries = c.count * group;  // of a stream and key/value head
    const Layer& weights = weights_.layers[layer];
    std::vector<HeadCache> caches(kv_heads);
    phases.each(c.rows, phases.grain(c.rows, 1), [&](std::size_t begin, std::size_t end) {
        for (std::size_t row = begin; row < end; ++row) {
            const std::size_t stream = row / c.count, token = row % c.count;
            for (std::size_t k = 0; k < kv_heads; ++k) caches[k] = c.cache.head(layer, c.first + stream, k);
            const float* angles = c.angles + token * 4 * half;
            const std::size_t first = stream * kv_heads * queries;
            kernels_.rotary({shape_, c.y + row * y_stride, angles, angles + half,
                             c.slides ? angles + 2 * half : nullptr, angles + 3 * half, weights.q_norm,
                             weights.k_norm, token, c.count, c.near.from(first),
                             c.slides ? c.far.from(first) : Quantized{}, caches.data(),
                             c.cache.slot(c.cache.position() + token)});
        }
    });

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
    phases.one_by_one(c.streams * kv_heads * parts, [&](std::size_t task) {
        const std::size_t head = task / parts, stream = head / kv_heads, k = head % kv_heads;
        const std::size_t first = task % parts * most;
        const std::size_t count = std::min(most, queries - first);
        // While every position still has its own slot, nothing behind the last query is looked at.
        const std::size_t last = c.cache.position() + (first + count - 1) / group;
        const std::size_t slots = std::min(filled, wide(last + 1));
        kernels_.attend({shape_, c.near.from(head * queries + first),
                         c.slides ? c.far.from(head * queries + first) : Quantized{}, first, count,
                         c.cache.head(layer, c.first + stream, k), c.cache.slot_position(), c.cache.tile_first(),
                         c.cache.tile_last(), slots, static_cast<std::int32_t>(c.cache.position()),
                         static_cast<std::int32_t>(std::min<std::size_t>(c.cache.shape().window, 1 << 30)),
                         static_cast<std::int32_t>(c.cache.shape().sinks),
                         c.attended + stream * c.count * out_stride + k * group * config_.head_width,
                         out_stride, scores, exponents, planes, sums, totals});
    });
}

// Suppressed tokens, and those behind the vocabulary's end, among the tokens first..last.
void Model::hide(float* logits, std::size_t first, std::size_t last) const {
    for (const std::int32_t token : config_.suppressed)
        if (const auto t = static_cast<std::size_t>(token); t >= first && t < last)
            logits[t - first] = -1.0e30f;
    for (std::size_t t = std::max(first, config_.vocab); t < last; ++t) logits[t - first] = -1.0e30f;
}

// Logits of the digits from..to of some rows, in the columns of [rows][padded(vocab)], and each row's greatest of
// them in tops [rows][high_digits()].
void Model::digit_logits(const Quantized& rows, std::size_t count, std::size_t from, std::size_t to, float* logits,
                         float* tops) const {
    const std::size_t digits = high_digits(), stride = padded(config_.vocab);
    const std::size_t first_tile = from * kDigitTiles, last_tile = std::min(weights_.head.row_tiles(), to * kDigitTiles);
    const std::size_t first = first_tile * kTile, last = last_tile * kTile;
    kernels_.logits(rows, count, weights_.head, first_tile, last_tile, logits + first, stride);
    for (std::size_t row = 0; row < count; ++row) {
        float* l = logits + row * stride + first;
        hide(l, first, last);
        std::fill(tops + row * digits + from, tops + row * digits + to, kernels_.greatest(l, last - first));
    }
}

// Of one row: the greatest logit, and the frequencies of the high digit. `sums` is scratch, [high_digits()].
void Model::digit_frequencies(const float* logits, const float* tops, std::int32_t* sums, float& top,
                              std::int32_t* freqs) const {
    alignas(64) std::int32_t weights[256];
    const std::size_t digits = high_digits(), stride = padded(config_.vocab);
    top = *std::max_element(tops, tops + digits);
    for (std::size_t digit = 0; digit < digits; ++digit) {
        const std::size_t from = digit * 256, n = std::min<std::size_t>(256, stride - from);
        sums[digit] = kernels_.token_weights(logits + from, top, n, weights);
    }
    frequencies(sums, freqs, 1, digits);
}

// How many rows one thread takes through the whole head by itself; 0: all threads share the head.
std::size_t Model::part_rows(std::size_t rows) const {
    const std::size_t threads = team_.threads();
    if (rows < threads || config_.vocab * config_.width > kCachedWeights) return 0;
    return std::min(kHeadRows, (rows + threads - 1) / threads);
}

void Model::high_apart(States& states, std::size_t unit, std::int32_t* freqs) {
    const std::size_t digits = high_digits(), stride = padded(config_.vocab);
    struct Own {
        float* logits;
        std::vector<float> tops;
        std::vector<std::int32_t> sums;
    };
    std::vector<Own> own;
    for (Workspace& workspace : workspaces_)
        own.push_back({workspace.logits.get<float>(unit * stride), std::vector<float>(unit * digits),
                       std::vector<std::int32_t>(digits)});
    Deal deal;
    together(states.rows * config_.vocab * config_.width, [&](std::size_t thread) {
        Own& mine = own[thread];
        deal.each(states.rows, unit, [&](std::size_t first, std::size_t last) {
            const std::size_t rows = last - first;
            for (std::size_t digit = 0; digit < digits; ++digit)
                digit_logits(states.from(first), rows, digit, digit + 1, mine.logits, mine.tops.data());
            for (std::size_t row = 0; row < rows; ++row)
                digit_frequencies(mine.logits + row * stride, &mine.tops[row * digits], mine.sums.data(),
                                  states.top[first + row], freqs + (first + row) * digits);
        });
    });
}

void Model::high(States& states, std::int32_t* freqs) {
    if (const std::size_t unit = part_rows(states.rows); unit > 0) return high_apart(states, unit, freqs);
    const std::size_t digits = high_digits(), stride = padded(config_.vocab);
    auto* logits = workspaces_[0].logits.get<float>(std::min(kHeadRows, states.rows) * stride);
    std::vector<float> tops(kHeadRows * digits);
    std::vector<std::int32_t> sums(kHeadRows * digits);
    std::vector<Deal> deals((states.rows + kHeadRows - 1) / kHeadRows * 2);
    const std::size_t grain = std::clamp<std::size_t>(digits / (team_.threads() * 6), 1, 8);
    together(states.rows * config_.vocab * config_.width, [&](std::size_t) {
        std::size_t phase = 0;
        for (std::size_t start = 0; start < states.rows; start += kHeadRows) {
            const std::size_t rows = std::min(kHeadRows, states.rows - start);
            deals[phase++].each(digits, grain, [&](std::size_t from, std::size_t to) {
                digit_logits(states.from(start), rows, from, to, logits, tops.data());
            });
            deals[phase++].each(rows, 1, [&](std::size_t row, std::size_t) {
                digit_frequencies(logits + row * stride, &tops[row * digits], &sums[row * digits], states.top[start + row],
                                  freqs + (start + row) * digits);
            });
        }
    });
}

void Model::low(States& states, const std::int64_t* high, std::int32_t* freqs) {
    const Matrix& head = weights_.head;
    Deal deal;
    together(states.rows * 256 * config_.width, [&](std::size_t) {
        alignas(64) float logits[256];
        alignas(64) std::int32_t weights[256];
        deal.each(states.rows, 1, [&](std::size_t row, std::size_t) {
            const std::size_t first_tile = static_cast<std::size_t>(high[row]) * kDigitTiles;
            const std::size_t last_tile = std::min(head.row_tiles(), first_tile + kDigitTiles);
            const std::size_t first = first_tile * kTile, n = (last_tile - first_tile) * kTile;
            std::memset(weights, 0, sizeof weights);
            kernels_.logits(states.from(row), 1, head, first_tile, last_tile, logits, 0);
            hide(logits, first, first + n);
            kernels_.token_weights(logits, states.top[row], n, weights);
            frequencies(weights, freqs + row * 256, 1, 256);
        });
    });
}

}  // namespace lmzip
