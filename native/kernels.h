// What the forward pass (model.cpp) asks of an instruction set: one table of functions, the same on
// every machine in arguments and in results. Each kernel is written once, in kernels/*.inl, over the
// vectors of simd/*.h; isa/*.cpp compiles it for one instruction set each.
//
// Conventions: rows of binary32 are padded with zeros to a multiple of 16, rows of int8 to a
// multiple of 64; `padded` and `wide` below give those lengths. Rows of int8 may be read (not used) up
// to a multiple of 16 of them. Sections are those of NUMERICS.md.

#pragma once

#include <cstddef>
#include <cstdint>

namespace lmzip {

constexpr std::size_t kTile = 16;  // rows of a matrix that lie together
constexpr std::size_t kMixInputs = 64, kMixSets = 6;  // of adaptive mixing

constexpr std::size_t round_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }
constexpr std::size_t padded(std::size_t n) { return round_up(n, 16); }
constexpr std::size_t wide(std::size_t n) { return round_up(n, 64); }

// An int8 matrix [rows, columns] as packs store it (FORMAT.md): bytes 128 larger than the weights,
// tiled [rows / 16][columns / 4][16][4].
struct Matrix {
    const std::uint8_t* tiles = nullptr;
    const float* scales = nullptr;  // [padded(rows)]
    std::size_t rows = 0, columns = 0;

    std::size_t groups() const { return (columns + 3) / 4; }
    std::size_t row_tiles() const { return (rows + kTile - 1) / kTile; }
};

// Rows of int8 with one step each: value = q * step. `sum` is the sum of a row's q.
struct Quantized {
    std::int8_t* q = nullptr;  // [rows][stride]
    float* step = nullptr;
    std::int32_t* sum = nullptr;
    std::size_t stride = 0;

    Quantized from(std::size_t row) const { return {q + row * stride, step + row, sum + row, stride}; }
};

// The cache of one key/value head of one stream in one layer.
struct HeadCache {
    std::uint8_t* keys;   // tiled [slots / 16][padded(E) / 4][16][4], 128 larger
    std::int8_t* values;  // [slots / 4][padded(E)][4]
    float* key_steps;     // [slots]
    float* value_steps;   // [slots]
};

// Attention's shape: H query heads in groups of `group` on K key/value heads of E elements.
struct HeadShape {
    std::size_t heads, kv_heads, group, width;
    float score_scale;
    float eps;
};

// One token's queries, keys and values on their way into `queries` and the cache.
struct RotaryJob {
    HeadShape shape;
    const float* qkv;              // [(H + 2 K) E]
    const float *cosine, *sine;    // [E / 2], of the token's position
    const float *far_cosine, *far_sine;  // of min(position, window); null while no window slides
    const float *q_gain, *k_gain;  // [padded(E)]; null for models without norms of queries and keys
    std::size_t token, count;      // which of the stream's `count` new tokens this is
    Quantized near, far;           // this stream's queries, rows [K][count][group]
    const HeadCache* caches;       // [K], this stream's
    std::size_t slot;
};

// Some queries of one stream and key/value head. Row r belongs to token (first + r) / group.
struct AttendJob {
    HeadShape shape;
    Quantized near, far;  // from the first row on; far.q null while no window slides
    std::size_t first, rows;
    HeadCache cache;
    const std::int32_t* slot_position;  // [slots]; INT32_MAX where nothing was written
    const std::int32_t *tile_first, *tile_last;  // least and greatest position of every 16 slots
    std::size_t slots;                  // how many to look at, a multiple of 64
    std::int32_t position, window, sinks;  // position of the stream's token 0 of this call
    float* out;                         // of token 0 and head 0 of the group
    std::size_t out_stride;             // from token to token
    // Scratch, n = Kernels::attend_rows:
    float *scores, *exponents;  // [n][slots], [slots]
    std::uint8_t* planes;       // [round_up(2 n, 16)][slots]
    std::int32_t* sums;         // [2 n][padded(E)]
    double* totals;             // [n][padded(E)]
};

struct Kernels {
    const char* name;
    std::size_t attend_rows;  // the most rows of an AttendJob

    // x[padded(columns)] of one token. Section 4.
    void (*embed)(const Matrix& table, std::size_t token, float* x);
    // One row: NORM(x, gain) into `out`. `scratch` [padded(width)]. Section 5.
    void (*norm_quantize)(const float* x, const float* gain, std::size_t width, float eps,
                          float* scratch, const Quantized& out);
    // One row, changed in place: QUANTISE(ROTATE(x)). Section 4.
    void (*rotate_quantize)(float* x, std::size_t width, const Quantized& out);
    // One row [2 width] of gates, then ups: QUANTISE(ROTATE(GATE)). Sections 8 and 4.
    void (*gate_quantize)(const float* gate_up, std::size_t width, float* scratch,
                          const Quantized& out);
    // Rows of `a` times the rows of w in the tiles first..last: y, or y added to what is there
    // (`accumulate`), plus bias [padded(rows)] unless null. y [rows][stride]. Section 4.
    void (*multiply)(const Quantized& a, std::size_t rows, const Matrix& w, std::size_t first_tile,
                     std::size_t last_tile, const float* bias, bool accumulate, float* y,
                     std::size_t stride);
    // Queries and the cache's new entries. Section 6.
    void (*rotary)(const RotaryJob& job);
    // Section 7.
    void (*attend)(const AttendJob& job);
    // As `multiply`, for the head: logits in units of one bit, l [rows][stride] from the
    // first tile on. Section 9.
    void (*logits)(const Quantized& a, std::size_t rows, const Matrix& w, std::size_t first_tile,
                   std::size_t last_tile, float* l, std::size_t stride);
    // The greatest of l[n], n a multiple of 16.
    float (*greatest)(const float* l, std::size_t n);
    // w[n] = rint(EXP2(l - top) 2^22), n a multiple of 16; returns their sum (n <= 256).
    std::int32_t (*token_weights)(const float* l, float top, std::size_t n, std::int32_t* w);
    // Section 13, kMixSets rows of kMixInputs weights: the sums of w[s][i] x[i].
    void (*mix_dots)(const std::int16_t* const* w, const std::int16_t* x, std::int32_t* sums);
    // w[s][i] moves by floor((x[i] steps[s] + 2^14) / 2^15), within its limits; a row of step 0 stays as it is.
    void (*mix_learn)(std::int16_t* const* w, const std::int16_t* x, const std::int16_t* steps);
};

}  // namespace lmzip
