// Adaptive mixing (NUMERICS.md, section 13): what a block's streams have said so far, mixed into the model's
// predictions, one binary decision after the other. The readable twin is lmzip/mix/reference.py; both give
// the same integers.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "../coder/range_coder.h"
#include "../kernels.h"
#include "cells.h"
#include "slots.h"
#include "text_state.h"

namespace lmzip::mix {

constexpr std::size_t kInputs = 64;  // the model's, a constant, two of the match, three of every context
constexpr std::size_t kSets = 6;     // of weights, each of which mixes all inputs
constexpr std::size_t kLevels = 24;  // of how sure the model is

// How a vocabulary's tokens are cut into groups of bits.
struct Shape {
    explicit Shape(std::size_t vocab);

    std::size_t vocab, digits;
    unsigned high_bits, bits;  // of a high digit, of a token
    std::vector<unsigned> groups;
    std::size_t high_groups;  // the first ones, of the high digit
    std::vector<std::size_t> first_node;  // of each group, among all groups' nodes
    std::size_t nodes;
    std::array<std::size_t, kSets> set_sizes, set_starts;
    std::size_t set_total, finals;

    std::size_t map_cells() const;  // of all maps: histories, followers, matches
};

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

    // A new block begins with the weights and maps learned so far: for training a start.
    void forget();

    // Of the last digits coded: bits by the mixed probabilities and by the model's, [rows] each.
    void costs(double* mixed, double* model) const;
    // What all tokens so far would have cost by the model alone, in bits.
    double model_bits() const { return all_model_.total(); }
    // The present weights [set_total][kInputs] and [finals][8], how often each row was used, and the maps,
    // for training a start.
    void state(std::int16_t* weights, std::uint32_t* uses, std::int32_t* finals, std::uint32_t* final_uses,
               std::uint16_t* maps) const;

  private:
    // Where a text went on after the same tokens.
    struct Place {
        std::uint32_t text, index;
    };
    struct Context {
        std::uint64_t key;
        Follower follower;  // as it was when the step began
    };
    // A product of probabilities: fewer logarithms than bits.
    struct Product {
        double value = 1;
        double bits = 0;
        void times(double p);
        double total() const;
    };
    struct Stream {
        TextState state;
        std::array<std::uint64_t, kContexts> keys;
        std::array<Context, kContexts> contexts;
        std::size_t longest, found;  // the longest of the token contexts that was seen, how many were
        std::uint32_t text;          // which of the texts is this stream's
        Place match;                 // where the match goes on
        std::uint32_t match_length = 0;
        std::int64_t match_token;    // what it expects, -1 for nothing
        std::uint32_t confidence;    // of the model in its greatest high digit
        std::uint32_t token;         // the bits coded so far
        const std::int32_t* row;     // the model's frequencies of the values the digit can still have
        std::size_t row_size;
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
    void follow_match(Stream& stream, std::uint32_t token);
    void begin_texts();
    void begin_curves();
    std::uint64_t slot_key(std::uint64_t key, std::size_t group, std::uint32_t prefix) const {
        return finish(fold(fold(key, group), prefix));
    }
    void learn_step(std::size_t rows);

    Shape shape_;
    std::shared_ptr<const Vocabulary> vocabulary_;
    const Kernels& kernels_;
    unsigned table_bits_;
    Followers followers_;
    Slots slots_;
    std::vector<Place> matches_;  // by the hash of the last tokens; text 0 is none
    std::size_t match_mask_;
    std::vector<std::vector<std::uint32_t>> texts_;  // what each stream of this and earlier groups has said
    std::size_t kept_tokens_ = 0;
    std::vector<Stream> streams_;
    std::vector<std::int16_t> weights_storage_;
    std::int16_t* weights_;
    std::vector<std::int32_t> finals_;
    std::vector<std::uint32_t> uses_, final_uses_;
    std::vector<Cell> history_maps_, follower_maps_, match_maps_;
    std::vector<std::array<std::uint32_t, 33>> node_apm_, token_apm_, model_apm_;
    std::size_t rows_ = 0;
    bool asked_ = false;
    std::uint64_t learned_ = 0;  // tokens
    std::int32_t rate_ = 0;
    Product all_mixed_, all_model_;  // of all tokens
};

}  // namespace lmzip::mix
