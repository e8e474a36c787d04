// Adaptive mixing (NUMERICS.md, section 13): what a block's streams have said so far, mixed into the model's
// predictions, one binary decision after the other. The readable twin is lmzip/mix/reference.py; both give
// the same integers.

#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "../coder/range_coder.h"
#include "../kernels.h"
#include "cells.h"
#include "curves.h"
#include "shape.h"
#include "slots.h"
#include "text_state.h"
#include "texts.h"

namespace lmzip::mix {

// The state that mixing starts with, learned elsewhere. Null pointers: the general one.
struct Start {
    const std::int8_t* weights = nullptr;    // [set_total][kInputs], in units of 2^-5
    const std::int16_t* finals = nullptr;    // [finals][8], in units of 2^-12
    const std::uint16_t* maps = nullptr;     // [map_cells], in units of 2^-16
};

class Mixer {
  public:
    // Streams of one block; tables of `bits`. Throws std::bad_alloc.
    Mixer(std::shared_ptr<const Vocabulary> vocabulary, std::size_t streams, unsigned bits, const Start& start,
          const Kernels& kernels);
    Mixer(const Mixer&) = delete;
    Mixer& operator=(const Mixer&) = delete;

    const Shape& shape() const { return shape_; }
    std::size_t streams() const { return streams_.size(); }
    std::size_t rows() const { return rows_; }  // of the last step
    // What may be called now: the high digits always, the low ones after them, with equal rows.
    bool may_low(std::size_t rows) const { return asked_ && rows == rows_; }

    // Code the high digits of the first `rows` streams under the model's frequencies [rows][digits].
    void encode_high(const std::int32_t* freqs, std::size_t rows, const std::int64_t* digits, RangeEncoder& coder);
    // False if the payload is none of an encoder's, or a digit lies beyond the vocabulary.
    bool decode_high(const std::int32_t* freqs, std::size_t rows, std::int64_t* digits, RangeDecoder& coder);
    // Code the tokens whose high digits have been coded, [rows][256], and learn them.
    void encode_low(const std::int32_t* freqs, std::size_t rows, const std::int64_t* tokens, RangeEncoder& coder);
    bool decode_low(const std::int32_t* freqs, std::size_t rows, std::int64_t* tokens, RangeDecoder& coder);
    // Learn tokens that nobody codes, as one stream's; then all streams begin anew.
    void prime(const std::int64_t* tokens, std::size_t n);
    // All streams begin anew; what was learned stays.
    void restart();

    // For training a start: from now on count how often each row of weights is used; a new block begins with
    // the weights and maps learned so far.
    void count_uses() { counting_ = true; }
    void forget();

    // Of the last digits coded: bits by the mixed probabilities and by the model's, [rows] each.
    void costs(double* mixed, double* model) const;
    // What all tokens so far would have cost by the model alone, in bits.
    double model_bits() const { return all_model_.total(); }
    // The present weights [set_total][kInputs] and [finals][8], how often each row was used, and the maps.
    void state(std::int16_t* weights, std::uint32_t* uses, std::int32_t* finals, std::uint32_t* final_uses,
               std::uint16_t* maps) const;

  private:
    struct Context {
        std::uint64_t key;
        Follower follower;       // as it was when the step began
        std::uint64_t slot_key;  // of the group that is being coded, if the follower is branched
    };
    // A product of probabilities: fewer logarithms than bits.
    struct Product {
        double value = 1;
        double bits = 0;
        void times(double p) {
            value *= p;
            if (value < 0x1p-900) {
                bits -= std::log2(value);
                value = 1;
            }
        }
        double total() const { return bits - std::log2(value); }
    };
    struct Stream {
        TextState state;
        std::array<std::uint64_t, kContexts> keys;
        std::array<Context, kContexts> contexts;
        std::size_t longest, found;  // the longest of the token contexts that was seen, how many were
        std::uint32_t text;          // which of the texts is this stream's
        Match match;
        std::int64_t match_token;    // what the match expects, -1 for nothing
        std::uint32_t confidence;    // of the model in its greatest high digit
        std::uint32_t token;         // the bits coded so far
        const std::int32_t* row;     // the model's frequencies of the values the digit can still have
        std::size_t row_size;
        std::uint32_t row_total;     // their sum
        double mixed_chance, model_chance;  // of the digit that was coded last
    };

    template <class Coder>
    void high(const std::int32_t* freqs, std::size_t rows, const std::int64_t* known, Coder& coder);
    template <class Coder>
    void low(const std::int32_t* freqs, std::size_t rows, const std::int64_t* known, Coder& coder);
    template <class Coder>
    void code_groups(std::size_t first, std::size_t end, std::size_t rows, Coder& coder);
    template <class Coder>
    void code(Stream& stream, std::size_t group, const std::int32_t* row, std::size_t n, Coder& coder);
    void begin(Stream& stream);
    void learn(Stream& stream, std::uint32_t token);
    void learn_nodes(std::uint64_t key, std::uint32_t token, unsigned times);
    void begin_streams();
    void begin_curves();
    std::uint64_t slot_key(std::uint64_t key, std::size_t group, std::uint32_t prefix) const {
        return finish(fold(fold(key, group), prefix));
    }
    void learn_step(std::size_t rows);
    void prefetch_branches(const Stream& stream) const;

    Shape shape_;
    std::shared_ptr<const Vocabulary> vocabulary_;
    const Kernels& kernels_;
    unsigned table_bits_;
    Followers followers_;
    Slots slots_;
    Texts texts_;
    std::vector<Stream> streams_;
    std::vector<std::int16_t> weights_storage_;
    std::int16_t* weights_;
    std::vector<std::int32_t> finals_;
    std::vector<std::uint32_t> uses_, final_uses_;
    std::vector<Cell> history_maps_, follower_maps_, match_maps_;
    std::vector<Curve> node_curves_, token_curves_, model_curves_;
    std::size_t rows_ = 0;
    bool asked_ = false, counting_ = false;
    std::uint64_t learned_ = 0;  // tokens
    std::int32_t rate_ = 0;
    Product all_mixed_, all_model_;  // of all tokens
};

}  // namespace lmzip::mix
