// Adaptive mixing (NUMERICS.md, section 13): what a block's streams have said so far, mixed into the
// model's predictions. The readable twin is lmzip/mix/reference.py; both give the same integers.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "correction.h"
#include "table.h"

namespace lmzip::mix {

constexpr std::size_t kHistory = 16;  // tokens that the longest context looks at
constexpr std::size_t kWords = 2;     // words that contexts look at, at most
constexpr std::size_t kContexts = 11;
constexpr std::size_t kCandidates = 474;  // entries of one node of every context, at most

// How much of a mix belongs to one side, learned; and how often it was taught.
struct Share {
    double value = 0;
    std::uint32_t lessons = 0;

    double or_initial(double initial) const { return lessons == 0 ? initial : value; }
    // The token that came had probability `a` on the side whose share this is, `b` on the other.
    void learn(double initial, double a, double b);
};

class Mixer {
  public:
    // `words`, [vocab], is not 0 for tokens that are words. Tables of 2^bits x 64 bytes. Throws std::bad_alloc.
    Mixer(const std::uint8_t* words, std::size_t vocab, std::size_t streams, unsigned bits);
    Mixer(const Mixer&) = delete;
    Mixer& operator=(const Mixer&) = delete;

    std::size_t digits() const { return digits_; }
    std::size_t streams() const { return streams_.size(); }
    // What may be called now: `high` always, `low` behind it, `update` behind both, with equal rows.
    bool may_low(std::size_t rows) const { return asked_ > 0 && rows == rows_; }
    bool may_update(std::size_t rows) const { return asked_ == 2 && rows == rows_; }
    // What the tokens so far would have cost without mixing, about: for whoever chooses, not for decoding.
    double model_bits() const { return model_bits_; }

    // Predict the next token of the first `rows` streams: the model's frequencies of the high digits,
    // [rows][digits], mixed.
    void high(const std::int32_t* model, std::size_t rows, std::int32_t* mixed);
    // The same for the low digits, [rows][256], given the high ones.
    void low(const std::int64_t* high, const std::int32_t* model, std::size_t rows, std::int32_t* mixed);
    // Which tokens it were, [rows]. `high` and `low` must have been asked before.
    void update(const std::int64_t* tokens, std::size_t rows);
    // Count tokens that nobody predicts, one stream's; then all streams begin anew.
    void prime(const std::int64_t* tokens, std::size_t n);
    // All streams begin anew; what they said stays known.
    void restart();

  private:
    // A context that has been seen before: its counts against what shorter ones and the model say.
    struct Stage {
        std::array<Share*, 2> shares;
        double initial, share;  // the share of what shorter contexts say
        double unit;            // what one count of the node is worth in the end
        const Node* node;
    };
    // An entry of a stage and what it is worth, in parts of 2^24.
    struct Candidate {
        std::uint32_t token;
        double mass;
    };
    // A stream, and the prediction of its next token: base * model + unigram * the counts of all tokens
    // + unit * (count - discount) for every entry of every stage.
    struct Stream {
        std::array<std::uint32_t, kHistory> history{};  // the last token first
        std::size_t length = 0;
        std::array<std::uint32_t, kWords> words{};  // the last tokens that were words
        std::size_t word_count = 0;
        std::array<std::uint64_t, kContexts> hashes;
        std::array<Stage, kContexts> stages;
        std::size_t stage_count;
        std::size_t longest;      // the last context found, plus one
        std::uint32_t favourite;  // the token it has counted most often
        std::size_t confidence;   // of the model in its greatest high digit, 0 to 7
        Share* unigram_share;  // null while nothing was counted
        double unigram_base;  // the share of the model against the unigram counts
        std::array<Share*, 2> model_shares;
        double model_share;  // of the model, once more, at the end
        double base, unigram;
        std::array<Candidate, kCandidates> candidates;
        std::size_t candidate_count;
        Correction::Question high_question, low_question;
        std::size_t misses = 0;  // which of the last four likeliest high digits did not come, as bits
        std::vector<std::int32_t> model_high;
        std::array<std::int32_t, 256> model_low;
    };

    bool has(const Stream& s, std::size_t context) const;
    void hash(Stream& s) const;
    void predict(Stream& s);
    void learn(Stream& s, std::uint32_t token);
    void count(Stream& s, std::uint32_t token);

    std::size_t digits_;
    double seen_ = 0;  // tokens counted; whole numbers, like counts_
    double model_bits_ = 0;
    std::size_t rows_ = 0, asked_ = 0;  // by this step's `high`; how many of `high` and `low` were asked
    std::vector<double> counts_, digit_counts_;
    std::vector<Table> tables_;
    std::vector<std::uint8_t> words_;
    Correction high_correction_, low_correction_;
    std::vector<Share> unigram_shares_, count_shares_, shape_shares_, model_shares_, order_shares_;
    std::vector<Stream> streams_;
    std::vector<std::int32_t> weights_;
};

}  // namespace lmzip::mix
