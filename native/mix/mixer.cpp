#include "mixer.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "../frequencies.h"

namespace lmzip::mix {

namespace {

constexpr double kOne = 1 << 24;      // what frequencies sum to
constexpr double kDiscount = 0.3;     // taken from every count
// Initial shares of the model, by its confidence: against the counts of all tokens, and in the end.
constexpr double kUnigramInitial[] = {0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 0.998};
constexpr double kModelInitial[] = {0.3, 0.4, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9};
constexpr std::uint32_t kLessons = 250;
constexpr std::size_t kCountShares = 9 * 6, kShapeShares = 5 * 4 * 2 * 3, kConfidences = 8;

// The last `words` words and the tokens from `first` up to `last`, 0 being the last one. A context with
// words is looked at behind other tokens only.
struct Context {
    std::size_t words, first, last;
    std::size_t entries;  // followers that it remembers
    double strength;      // counts that it needs to be believed half, at first
};
constexpr Context kContext[kContexts] = {
    {1, 0, 0, 254, 60}, {0, 0, 1, 62, 6}, {0, 0, 2, 30, 6}, {0, 1, 3, 30, 6},
    {2, 0, 1, 14, 24},  {0, 0, 3, 14, 6}, {0, 0, 4, 14, 6}, {0, 0, 6, 14, 6},
    {0, 0, 8, 14, 6},   {0, 0, 12, 14, 6}, {0, 0, 16, 14, 6}};

constexpr std::uint32_t kConfident[kConfidences - 1] = {1677722,  5033165,  8388608, 11744051,
                                                        15099494, 16273900, 16693330};

// The number of bounds that are at most x.
template <std::size_t n>
std::size_t bucket(const std::uint32_t (&bounds)[n], std::uint32_t x) {
    std::size_t i = 0;
    while (i < n && bounds[i] <= x) ++i;
    return i;
}

// floor(x) for x from 0 to 2^31.
std::int32_t whole(double x) { return static_cast<std::int32_t>(x); }

}  // namespace

void Share::learn(double initial, double a, double b) {
    const double before = or_initial(initial), mine = before * a;
    const double after = mine / (mine + (1 - before) * b);
    value = std::clamp(before + (after - before) / (lessons + 5.5), 0.0005, 0.9995);
    if (lessons < kLessons) ++lessons;
}

Mixer::Mixer(const std::uint8_t* words, std::size_t vocab, std::size_t streams, unsigned bits)
    : digits_((vocab + 255) / 256), counts_(digits_ * 256), digit_counts_(digits_),
      words_(words, words + vocab), high_correction_((kContexts + 1) * 16),
      low_correction_((kContexts + 1) * 4), unigram_shares_(21 * kConfidences),
      count_shares_(kContexts * kCountShares), shape_shares_(kContexts * kShapeShares),
      model_shares_((kContexts + 1) * kConfidences), order_shares_(kContexts + 1), streams_(streams),
      weights_(std::max<std::size_t>(digits_, 256)) {
    for (const Context& context : kContext) {
        const auto node_bits = static_cast<unsigned>(std::bit_width((context.entries + 1) / 16));
        tables_.emplace_back(bits - node_bits, context.entries);
    }
    words_.resize(digits_ * 256);
    for (Stream& s : streams_) s.model_high.resize(digits_);
}

bool Mixer::has(const Stream& s, std::size_t context) const {
    const auto& [words, first, last, entries, strength] = kContext[context];
    return s.length >= last && s.word_count >= words && (words == 0 || !words_[s.history[0]]);
}

void Mixer::hash(Stream& s) const {
    const auto fold = [](std::uint64_t h, std::uint32_t token) {
        h = (h + token + 1) * 0x9E3779B97F4A7C15u;
        return h ^ h >> 29;
    };
    for (std::size_t c = 0; c < kContexts; ++c) {
        if (!has(s, c)) continue;
        std::uint64_t h = 0;
        for (std::size_t i = 0; i < kContext[c].words; ++i) h = fold(h, s.words[i]);
        for (std::size_t i = kContext[c].first; i < kContext[c].last; ++i) h = fold(h, s.history[i]);
        s.hashes[c] = h * 0xD6E8FEB86659FD93u;
        tables_[c].prefetch(s.hashes[c]);
    }
}

void Mixer::predict(Stream& s) {
    const auto top = std::max_element(s.model_high.begin(), s.model_high.end());
    const auto top_digit = static_cast<std::uint32_t>(top - s.model_high.begin());
    const std::size_t confidence = s.confidence = bucket(kConfident, static_cast<std::uint32_t>(*top));
    s.unigram_share = nullptr;
    s.unigram_base = 1;
    s.stage_count = 0;
    if (seen_ > 0) {
        const auto age = std::min<std::size_t>(20, static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(seen_))));
        s.unigram_share = &unigram_shares_[age * kConfidences + confidence];
        s.unigram_base = s.unigram_share->or_initial(kUnigramInitial[confidence]);
    }
    s.longest = 0;
    s.favourite = UINT32_MAX;
    for (std::size_t c = 0; c < kContexts; ++c) {
        if (!has(s, c)) continue;
        const Node* node = tables_[c].find(s.hashes[c]);
        if (node == nullptr) continue;
        s.longest = c + 1;
        const std::uint32_t n = node->total, kinds = node->size;
        const std::uint32_t entry = node->entries()[node->likeliest()];
        const std::uint32_t best = entry & 255, token = entry >> 8;
        const std::size_t count_key = bucket({2, 3, 4, 6, 9, 16, 32, 64}, n) * 6 + bucket({2, 3, 4, 7, 14}, kinds);
        const std::size_t with_model = token >> 8 != top_digit ? 0 : confidence < 4 ? 1 : 2;
        const std::size_t shape_key =
            ((bucket({2, 3, 5, 12}, n) * 4 + std::min(3u, best * 4 / n)) * 2 + (token == s.favourite)) * 3 + with_model;
        s.favourite = token;
        Stage& stage = s.stages[s.stage_count++];
        stage.node = node;
        stage.shares = {&count_shares_[c * kCountShares + count_key], &shape_shares_[c * kShapeShares + shape_key]};
        const double strength = kContext[c].strength;
        stage.initial = (strength + kDiscount * kinds) / (n + strength);
        stage.share =
            (stage.shares[0]->or_initial(stage.initial) + stage.shares[1]->or_initial(stage.initial)) * 0.5;
    }
    s.model_shares = {&model_shares_[s.longest * kConfidences + confidence], &order_shares_[s.longest]};
    s.model_share =
        (s.model_shares[0]->or_initial(kModelInitial[confidence]) + s.model_shares[1]->or_initial(kModelInitial[confidence])) * 0.5;
    double rest = 1 - s.model_share;
    for (std::size_t i = s.stage_count; i-- > 0;) {
        Stage& stage = s.stages[i];
        stage.unit = (1 - stage.share) * rest / (stage.node->total - kDiscount * stage.node->size);
        rest *= stage.share;
    }
    s.base = s.unigram_base * rest + s.model_share;
    s.unigram = seen_ == 0 ? 0.0 : (1 - s.unigram_base) * rest / seen_;
    Candidate* candidate = s.candidates.data();
    for (std::size_t i = 0; i < s.stage_count; ++i) {
        const Stage& stage = s.stages[i];
        const double unit = stage.unit * kOne;
        const std::uint32_t* entries = stage.node->entries();
        for (std::size_t e = 0, size = stage.node->size; e < size; ++e)
            *candidate++ = {entries[e] >> 8, unit * (static_cast<std::int32_t>(entries[e] & 255) - kDiscount)};
    }
    s.candidate_count = static_cast<std::size_t>(candidate - s.candidates.data());
}

void Mixer::high(const std::int32_t* model, std::size_t rows, std::int32_t* mixed) {
    rows_ = rows;
    asked_ = 1;
    for (std::size_t row = 0; row < rows; ++row) hash(streams_[row]);
    for (std::size_t row = 0; row < rows; ++row) {
        Stream& s = streams_[row];
        std::int32_t* out = mixed + row * digits_;
        std::copy_n(model + row * digits_, digits_, s.model_high.begin());
        predict(s);
        const double unit = s.unigram * kOne;
        for (std::size_t h = 0; h < digits_; ++h)
            weights_[h] = whole(s.base * s.model_high[h] + unit * digit_counts_[h]);
        for (std::size_t i = 0; i < s.candidate_count; ++i)
            weights_[s.candidates[i].token >> 8] += whole(s.candidates[i].mass);
        frequencies(weights_.data(), out, 1, digits_);
        s.high_question = high_correction_.apply(s.longest * 16 + s.misses, out, digits_);
    }
}

void Mixer::low(const std::int64_t* high, const std::int32_t* model, std::size_t rows, std::int32_t* mixed) {
    asked_ = 2;
    for (std::size_t row = 0; row < rows; ++row) {
        Stream& s = streams_[row];
        std::int32_t* out = mixed + row * 256;
        std::copy_n(model + row * 256, 256, s.model_low.begin());
        const auto digit = static_cast<std::uint32_t>(high[row]);
        std::size_t kept = 0;  // those with this high digit, without branches
        for (std::size_t i = 0; i < s.candidate_count; ++i) {
            s.candidates[kept] = s.candidates[i];
            kept += s.candidates[i].token >> 8 == digit;
        }
        const double unit = s.unigram * kOne;
        const double model_part = s.base * s.model_high[digit];
        double total = model_part + unit * digit_counts_[digit];
        for (std::size_t i = 0; i < kept; ++i) total += s.candidates[i].mass;
        const double scale = kOne / total, model_scale = model_part / kOne * scale, unit_scale = unit * scale;
        const double* counts = &counts_[digit * 256];
        for (std::size_t l = 0; l < 256; ++l)
            weights_[l] = whole(model_scale * s.model_low[l] + unit_scale * counts[l]);
        for (std::size_t i = 0; i < kept; ++i)
            weights_[s.candidates[i].token & 255] += whole(s.candidates[i].mass * scale);
        frequencies(weights_.data(), out, 1, 256);
        const bool likely = s.favourite >> 8 == digit, likeliest = s.high_question.top == digit;
        s.low_question = low_correction_.apply((s.longest * 2 + likely) * 2 + likeliest, out, 256);
    }
}

void Mixer::learn(Stream& s, std::uint32_t token) {
    const double model = static_cast<double>(s.model_high[token >> 8]) * s.model_low[token & 255] * 0x1p-48;
    model_bits_ -= std::log2(model);
    double p = model;
    if (s.unigram_share != nullptr) {
        const double q = counts_[token] / seen_;
        s.unigram_share->learn(kUnigramInitial[s.confidence], p, q);
        p = s.unigram_base * p + (1 - s.unigram_base) * q;
    }
    for (std::size_t i = 0; i < s.stage_count; ++i) {
        const Stage& stage = s.stages[i];
        const Node& node = *stage.node;
        const std::uint16_t place = node.find(token);
        const double q = place == node.size ? 0.0
                                            : ((node.entries()[place] & 255) - kDiscount) /
                                                  (node.total - kDiscount * node.size);
        for (Share* share : stage.shares) share->learn(stage.initial, p, q);
        p = stage.share * p + (1 - stage.share) * q;
    }
    for (Share* share : s.model_shares) share->learn(kModelInitial[s.confidence], model, p);
    high_correction_.learn(s.high_question, token >> 8);
    low_correction_.learn(s.low_question, token & 255);
    s.misses = (s.misses * 2 + (token >> 8 != s.high_question.top)) & 15;
}

void Mixer::count(Stream& s, std::uint32_t token) {
    for (std::size_t c = 0; c < kContexts; ++c)
        if (has(s, c)) tables_[c].add(s.hashes[c], token);
    ++counts_[token];
    ++digit_counts_[token >> 8];
    ++seen_;
    std::copy_backward(s.history.begin(), s.history.end() - 1, s.history.end());
    s.history[0] = token;
    ++s.length;
    if (words_[token]) {
        std::copy_backward(s.words.begin(), s.words.end() - 1, s.words.end());
        s.words[0] = token;
        ++s.word_count;
    }
}

void Mixer::update(const std::int64_t* tokens, std::size_t rows) {
    asked_ = 0;
    for (std::size_t row = 0; row < rows; ++row) learn(streams_[row], static_cast<std::uint32_t>(tokens[row]));
    for (std::size_t row = 0; row < rows; ++row) count(streams_[row], static_cast<std::uint32_t>(tokens[row]));
}

void Mixer::prime(const std::int64_t* tokens, std::size_t n) {
    asked_ = 0;
    for (std::size_t i = 0; i < n; ++i) {
        hash(streams_[0]);
        count(streams_[0], static_cast<std::uint32_t>(tokens[i]));
    }
    restart();
}

void Mixer::restart() {
    for (Stream& s : streams_) s.length = s.word_count = s.misses = 0;
}

}  // namespace lmzip::mix
