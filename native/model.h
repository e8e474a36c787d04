// A Llama-family decoder in the exact arithmetic of NUMERICS.md. Read `Model::layers` in model.cpp
// beside section 1; everything it calls is one kernel or the plan of one.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "cache.h"
#include "kernels.h"
#include "team.h"

namespace lmzip {

struct Config {
    std::size_t layers, width, heads, kv_heads, head_width, ffn_width, vocab;
    float norm_eps, score_scale;
    std::vector<std::int32_t> suppressed;
    std::size_t memory = 0;  // tokens before the current one that n-grams look at
    std::int64_t bos = 0;
};

struct Layer {
    const float *attention_norm, *ffn_norm;  // [padded(width)]
    Matrix qkv, o, gate_up, down;
    const float* qkv_bias;         // [padded(rows)] or null
    const float *q_norm, *k_norm;  // [padded(head width)] or null
};

// The rows of the hashed n-grams of one order. Section 4.
struct NGrams {
    std::size_t order, count, width;
    const std::int8_t* rows;  // [count][width]
    const float* steps;       // [count]
    Matrix proj;              // [model width, width]
};

struct Weights {
    Matrix embed, head;
    std::vector<NGrams> ngrams;
    std::vector<Layer> layers;
    const float* norm;           // [padded(width)]
    const std::uint64_t* turns;  // [head width / 2]
};

// A growing array of bytes, aligned for vectors, with slack behind its end; zero when made.
class Buffer {
  public:
    // At least n of them; what was there is lost if it grows.
    template <class T>
    T* get(std::size_t n) {
        return reinterpret_cast<T*>(reserve(n * sizeof(T)));
    }

  private:
    std::uint8_t* reserve(std::size_t bytes);
    std::vector<std::uint8_t> storage_;
};

// What is kept of the tokens just fed: quantised final states, and the greatest logit of each.
struct States {
    std::size_t rows = 0, stride = 0;
    std::vector<std::int8_t> q;
    std::vector<float> step, top;
    std::vector<std::int32_t> sum;

    Quantized from(std::size_t row);
};

class Model {
  public:
    Model(Config config, Weights weights, const Kernels& kernels, std::size_t threads);

    const Config& config() const { return config_; }
    const Kernels& kernels() const { return kernels_; }
    std::size_t high_digits() const { return (config_.vocab + 255) / 256; }
    std::size_t threads() const { return team_.threads(); }
    // See Team. The model's weights and the caches go on as they are.
    bool forked() const { return team_.forked(); }
    void restart() { team_.restart(); }

    // Feed tokens [streams, count], all of them in the vocabulary. Section 1.
    void forward(const std::int64_t* tokens, std::size_t count, Cache& cache, States& states);
    // Frequencies [rows, high_digits()] of the high digit. Sections 9 and 10.
    void high(States& states, std::int32_t* freqs);
    // Frequencies [rows, 256] of the low digit after the high digits [rows]; `high` comes first.
    void low(States& states, const std::int64_t* high, std::int32_t* freqs);

  private:
    struct Chunk;
    class Phases;
    // Rows on their way through the layers: of one thread that goes alone, or of all of them.
    struct Workspace {
        Buffer x, y, attended, narrow, wide, near, far, logits;
        std::vector<Buffer> ngrams;  // of each order
    };
    void layers(const Chunk& chunk, std::size_t thread, Phases& phases);
    void look_up(const Chunk& chunk, std::size_t row) const;
    Chunk part(const Chunk& chunk, std::size_t first, std::size_t streams, Workspace& workspace) const;
    std::size_t part_streams(std::size_t streams, std::size_t count) const;
    std::size_t part_rows(std::size_t rows) const;
    void together(std::size_t products, const std::function<void(std::size_t)>& job);
    void attention(const Chunk& chunk, std::size_t layer, std::size_t thread, Phases& phases);
    void hide(float* logits, std::size_t first, std::size_t last) const;
    void digit_logits(const Quantized& rows, std::size_t count, std::size_t from, std::size_t to, float* logits,
                       float* tops) const;
    void digit_frequencies(const float* logits, const float* tops, std::int32_t* sums, float& top,
                           std::int32_t* freqs) const;
    void high_apart(States& states, std::size_t unit, std::int32_t* freqs);
    static Quantized quantized(Buffer& buffer, std::size_t rows, std::size_t columns, std::size_t row_unit);

    Config config_;
    Weights weights_;
    const Kernels& kernels_;
    HeadShape shape_;
    std::size_t layer_weights_ = 0;  // products that one token takes in all layers
    Team team_;
    Buffer angles_;
    std::vector<Workspace> workspaces_;                 // of each thread; the first one is all threads' too
    std::vector<Buffer> row_scratch_, attend_scratch_;  // of each thread
};

}  // namespace lmzip
