#include "mixer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <utility>

namespace lmzip::mix {

namespace {

constexpr std::uint32_t kMapLimit = 1023;
constexpr std::uint32_t kStartCount = 10;  // bits that a start's maps count as having seen
constexpr std::int32_t kFinalRate = 16;    // of the second layer, in units of 2^-14
constexpr std::uint32_t kOne = 1 << 24;

// The start of packs that have none of their own: the same weights for every set and situation, in units of 2^-12.
constexpr std::int16_t kGeneralWeights[kInputs] = {
#include "general_weights.inl"
};

std::uint32_t part(std::uint64_t numerator, std::uint64_t denominator) {
    return static_cast<std::uint32_t>(((std::uint64_t{1} << 22) - 1) * numerator / denominator);
}

// Classes of bytes that weights are chosen by.
std::size_t byte_class(std::uint8_t c) {
    if (c >= '0' && c <= '9') return 1;
    if (c >= 'a' && c <= 'z') return 2;
    if (c >= 'A' && c <= 'Z') return 3;
    if (c >= 128) return 4;
    return c == ' ' ? 5 : c == '\n' ? 6 : 7;
}

std::size_t match_class(std::uint32_t length) {
    return length < 8 ? 1 : length < 12 ? 2 : length < 16 ? 3 : length < 24 ? 4 : length < 32 ? 5 : length < 64 ? 6 : 7;
}

std::uint32_t confidence(std::int32_t greatest) {
    return greatest < 6 << 20 ? 0 : greatest < 10 << 20 ? 1 : greatest < 14 << 20 ? 2 : 3;
}

// Whether the model expects the bit that another one expects, and how surely.
std::size_t agreement(std::int32_t model, bool bit) {
    if ((model > 0) != bit) return 0;
    return std::abs(model) > 256 ? 2 : 1;
}

std::int16_t signed_by(bool bit, std::int32_t value) { return static_cast<std::int16_t>(bit ? value : -value); }

struct Encoding {
    RangeEncoder& coder;
    bool bit(bool known, std::uint32_t p1) {
        coder.encode_bit(known, p1);
        return known;
    }
    static constexpr bool kKnown = true;
};
struct Decoding {
    RangeDecoder& coder;
    bool bit(bool, std::uint32_t p1) { return coder.decode_bit(p1); }
    static constexpr bool kKnown = false;
};

}  // namespace

Mixer::Mixer(std::shared_ptr<const Vocabulary> vocabulary, std::size_t streams, unsigned bits, const Start& start,
             const Kernels& kernels)
    : shape_(vocabulary->size()), vocabulary_(std::move(vocabulary)), kernels_(kernels), table_bits_(bits), followers_(bits),
      slots_(bits + 3), texts_(bits), streams_(streams), weights_storage_(shape_.set_total * kInputs + 32), finals_(shape_.finals * 8),
      uses_(shape_.set_total), final_uses_(shape_.finals) {
    const auto at = reinterpret_cast<std::uintptr_t>(weights_storage_.data()) % 64;
    weights_ = weights_storage_.data() + (64 - at) % 64 / sizeof(std::int16_t);
    for (std::size_t i = 0; i < shape_.set_total * kInputs; ++i)
        weights_[i] = static_cast<std::int16_t>(start.weights ? start.weights[i] * 128 : kGeneralWeights[i % kInputs]);
    for (std::size_t i = 0; i < finals_.size(); ++i)
        finals_[i] = start.finals ? start.finals[i] * 16 : 65536 / static_cast<std::int32_t>(kSets);
    history_maps_.reserve(shape_.history_cells);
    for (std::size_t i = 0; i < shape_.history_cells; ++i) {
        const auto history = static_cast<std::uint32_t>(i % 256);
        const auto seen = history ? static_cast<std::uint32_t>(std::bit_width(history)) - 1 : 0;
        const auto ones = history ? static_cast<std::uint32_t>(std::popcount(history)) - 1 : 0;
        history_maps_.emplace_back(part(5 * ones + 2, 5 * seen + 4), 0);
    }
    for (std::size_t i = 0; i < shape_.follower_cells; ++i)
        follower_maps_.emplace_back(part(2 * (i % 16) + 1, 2 * (i % 16) + 2), 2);
    for (std::size_t i = 0; i < shape_.match_cells; ++i) match_maps_.emplace_back(part(4, 5), 1);
    if (start.maps) {
        const std::uint16_t* p = start.maps;
        for (auto* maps : {&history_maps_, &follower_maps_, &match_maps_})
            for (Cell& cell : *maps) cell = Cell(std::uint32_t{*p++} << 6, kStartCount);
    }
    begin_curves();
    begin_streams();
}

void Mixer::begin_curves() {
    node_curves_ = Curve::identities(shape_.nodes * 4);
    token_curves_ = Curve::identities(1024);
    model_curves_ = Curve::identities(shape_.finals);
}

void Mixer::forget() {
    followers_ = Followers(table_bits_);
    slots_ = Slots(table_bits_ + 3);
    texts_.forget();
    learned_ = 0;
    begin_curves();
    begin_streams();
}

void Mixer::begin_streams() {
    texts_.begin_streams();
    for (Stream& stream : streams_) {
        stream.state.restart();
        stream.text = texts_.begin();
        stream.match = {};
    }
}

void Mixer::restart() { begin_streams(); }

void Mixer::begin(Stream& stream) {
    stream.longest = stream.found = 0;
    for (std::size_t c = 0; c < kContexts; ++c) {
        stream.contexts[c].key = stream.keys[c];
        Follower& follower = stream.contexts[c].follower;
        follower.run = 0;
        if (stream.keys[c] == 0) continue;
        follower = followers_.find(stream.keys[c]);
        if (follower.run == 0) continue;
        ++stream.found;
        if (c < kTokenContexts) stream.longest = c;
    }
    stream.match_token = texts_.expected(stream.match);
    stream.token = 0;
}

// Code the bits of a group. `row` [n] holds the model's frequencies of the values that the digit can still take,
// a power of two of them with those beyond its end counting as none.
template <class Coder>
void Mixer::code(Stream& stream, std::size_t group, const std::int32_t* row, std::size_t n, Coder& coder) {
    const unsigned group_bits = shape_.groups[group], all_bits = shape_.bits;
    const unsigned before = shape_.before[group];
    const std::uint32_t known = stream.token;  // when encoding
    const std::uint32_t prefix = known >> (all_bits - before);

    // Contexts that have nodes, and those whose last follower the token may still be.
    struct Branched {
        Node* slot;
        std::uint32_t context;
        Cell* map;  // null where a node knows nothing
    };
    struct Following {
        std::uint32_t context, token;
        Cell* map;
        bool bit;
    };
    std::array<Branched, kContexts> branched;
    std::array<Following, kContexts> following;
    std::size_t branched_count = 0, following_count = 0;
    std::size_t determined = 0;
    for (std::uint32_t c = 0; c < kContexts; ++c) {
        const Context& context = stream.contexts[c];
        if (context.follower.run == 0) continue;
        if (context.follower.branched)
            branched[branched_count++] = {slots_.find(context.slot_key, group_bits), c, nullptr};
        if (context.follower.token >> (all_bits - before) == prefix)
            following[following_count++] = {c, context.follower.token, nullptr, false};
    }
    alignas(64) std::int16_t x[kInputs] = {};
    x[1] = 128;
    const std::int64_t expected = stream.match_token;
    bool matching = expected >= 0 && static_cast<std::uint32_t>(expected) >> (all_bits - before) == prefix;
    const std::size_t match_kind = matching ? match_class(stream.match.length) : 0;
    const std::uint32_t match_run = std::min(stream.match.length, 31u);
    const std::uint32_t last = stream.state.tokens() ? stream.state.token(0) + 1 : 0;
    const std::size_t last_token = last * 0x9E3779B1u >> 22;
    const std::size_t group_class = std::min<std::size_t>(group, 3);
    const std::size_t classes =
        (byte_class(stream.state.byte(0)) * 8 + byte_class(stream.state.byte(1))) * 32 + group_class;
    const std::size_t length_class = std::min<std::size_t>(stream.longest + (stream.found > 9 ? 7 : 0), 15);

    std::uint32_t total = stream.row_total;
    std::size_t width = std::size_t{1} << (group < shape_.high_groups ? shape_.high_bits - before
                                                                     : all_bits - before);
    std::uint32_t node = 1;
    for (unsigned b = 0; b < group_bits; ++b) {
        const unsigned decision = before + b, shift = all_bits - 1 - decision;
        // The model's probability of a one: the upper half of what is left.
        width /= 2;
        std::uint32_t zeros = 0;
        for (std::size_t i = 0, end = std::min(width, n); i < end; ++i) zeros += static_cast<std::uint32_t>(row[i]);
        const std::uint32_t ones = total - zeros;
        const auto model_p = total == 0 ? 1u << 15
                                        : static_cast<std::uint32_t>(std::min<std::uint64_t>(65535, (std::uint64_t{ones} << 16) / total));
        const std::int32_t model = stretch(model_p);
        x[0] = static_cast<std::int16_t>(model);

        for (std::size_t i = 0; i < branched_count; ++i) {
            Branched& here = branched[i];
            const Node value = here.slot[node];
            std::int16_t* in = &x[4 + 3 * here.context];
            here.map = nullptr;
            in[0] = in[1] = 0;
            if (node_count(value) == 0) continue;
            here.map = &history_maps_[(here.context * 2 + (group >= shape_.high_groups)) * 256 + node_history(value)];
            in[0] = static_cast<std::int16_t>(stretch(node_p(value)));
            in[1] = static_cast<std::int16_t>(stretch(here.map->p()));
        }
        const std::size_t place = decision < shape_.high_bits ? std::min(decision, 3u)
                                                              : 4 + (decision - shape_.high_bits) / 2;
        determined = 0;
        for (std::size_t i = 0; i < following_count; ++i) {
            Following& here = following[i];
            const Follower& follower = stream.contexts[here.context].follower;
            here.bit = (here.token >> shift & 1) != 0;
            here.map = &follower_maps_[here.context * kFollowerCells +
                                       ((follower.branched * 8 + place) * 3 + agreement(model, here.bit)) * 16 +
                                       std::min(follower.run, 15u)];
            const std::int32_t sure = stretch(here.map->p());
            x[4 + 3 * here.context + (follower.branched ? 2 : 1)] = signed_by(here.bit, sure);
            determined += !follower.branched;
        }
        Cell* match_map = nullptr;
        bool match_bit = false;
        if (matching) {
            match_bit = (static_cast<std::uint32_t>(expected) >> shift & 1) != 0;
            match_map = &match_maps_[(match_run * all_bits + decision) * 3 + agreement(model, match_bit)];
            const std::int32_t sure = stretch(match_map->p());
            const std::int32_t certain = (static_cast<std::int32_t>(match_map->p()) - 32768) >> 7;
            x[2] = signed_by(match_bit, sure);
            x[3] = signed_by(match_bit, certain);
        }

        const auto level = static_cast<std::size_t>(std::clamp((model + 1536) >> 7, 0, static_cast<int>(kLevels) - 1));
        const std::size_t place_of_node = shape_.first_node[group] + node;
        const std::array<std::size_t, kSets> rows = {
            decision * 16 + length_class,
            level * 8 + (matching ? match_kind : 0),
            place_of_node * 4 + stream.confidence,
            last_token * 4 + group_class,
            std::size_t{stream.state.byte(0)} * all_bits + decision,
            classes + std::min<std::size_t>(determined, 7) * 4,
        };
        std::array<std::int16_t*, kSets> weights;
        std::array<std::int32_t, 8> mixed{};
        std::array<std::int32_t, kSets> mixed_p;
        for (std::size_t s = 0; s < kSets; ++s) {
            const std::size_t r = shape_.set_starts[s] + rows[s];
            weights[s] = weights_ + r * kInputs;
            if (counting_) ++uses_[r];
        }
        kernels_.mix_dots(weights.data(), x, mixed.data());
        for (std::size_t s = 0; s < kSets; ++s) {
            mixed[s] = std::clamp(mixed[s] >> 12, -kStretchLimit, kStretchLimit);
            mixed_p[s] = static_cast<std::int32_t>(squash(mixed[s]) >> 8);
        }
        const std::size_t final_row = decision * kLevels + level;
        std::int32_t* final_weights = &finals_[final_row * 8];
        if (counting_) ++final_uses_[final_row];
        std::int32_t sum = 0;
        for (std::size_t s = 0; s < kSets; ++s) sum += (final_weights[s] * mixed[s]) >> 8;
        const std::int32_t mix = std::clamp(sum >> 8, -kStretchLimit, kStretchLimit);
        const std::uint32_t mix_p = squash(mix);

        const auto curve_place = static_cast<std::uint32_t>(mix + 2048);
        Curve& by_node = node_curves_[place_of_node * 4 + std::min<std::size_t>(stream.found / 4, 3)];
        Curve& by_token = token_curves_[(last * 64 + node) * 0x9E3779B1u >> 22];
        Curve& by_model = model_curves_[final_row];
        const std::uint32_t p1 = std::clamp<std::uint32_t>(
            (mix_p + by_node.read(curve_place) + by_token.read(curve_place) + by_model.read(curve_place)) >> 2,
            32, kOne - 32);

        const bool bit = coder.bit((known >> shift & 1) != 0, p1);

        const double mixed_chance = (bit ? p1 : kOne - p1) * 0x1p-24;
        const double model_chance = (bit ? model_p + 0.5 : 65535.5 - model_p) * 0x1p-16;
        stream.mixed_chance *= mixed_chance;
        stream.model_chance *= model_chance;
        all_mixed_.times(mixed_chance);
        all_model_.times(model_chance);
        by_node.learn(curve_place, bit);
        by_token.learn(curve_place, bit);
        by_model.learn(curve_place, bit);
        const std::int32_t target = bit ? 65535 : 0;
        std::array<std::int16_t, kSets> steps;
        for (std::size_t s = 0; s < kSets; ++s)
            steps[s] = static_cast<std::int16_t>(((target - mixed_p[s]) * rate_) >> 10);
        kernels_.mix_learn(weights.data(), x, steps.data());
        const std::int32_t final_step = ((target - static_cast<std::int32_t>(mix_p >> 8)) * kFinalRate) >> 10;
        for (std::size_t s = 0; s < kSets; ++s)
            final_weights[s] = std::clamp(final_weights[s] + ((mixed[s] * final_step + 1024) >> 11), -524287, 524287);
        for (std::size_t i = 0; i < branched_count; ++i) {
            if (branched[i].map) branched[i].map->learn(bit, kMapLimit);
            mix::learn(branched[i].slot[node], bit);
        }
        std::size_t left = 0;
        for (std::size_t i = 0; i < following_count; ++i) {
            following[i].map->learn(following[i].bit == bit, kMapLimit);
            if (following[i].bit == bit) {
                following[left++] = following[i];
            } else {
                x[4 + 3 * following[i].context + 2] = 0;
                if (!stream.contexts[following[i].context].follower.branched) x[4 + 3 * following[i].context + 1] = 0;
            }
        }
        following_count = left;
        if (matching) {
            match_map->learn(match_bit == bit, kMapLimit);
            if (match_bit != bit) {
                matching = false;
                x[2] = x[3] = 0;
            }
        }
        node = node * 2 + bit;
        if (bit) {
            row += std::min(width, n);
            n -= std::min(width, n);
            total = ones;
        } else {
            n = std::min(width, n);
            total = zeros;
        }
        if (!Coder::kKnown) stream.token |= static_cast<std::uint32_t>(bit) << shift;
    }
    for (std::size_t i = 0; i < branched_count; ++i) Slots::use(branched[i].slot);
    stream.row = row;
    stream.row_size = n;
    stream.row_total = total;
}

template <class Coder>
void Mixer::high(const std::int32_t* freqs, std::size_t rows, const std::int64_t* known, Coder& coder) {
    rows_ = rows;
    asked_ = true;
    rate_ = static_cast<std::int32_t>(49 + 589824 / (3000 + learned_));
    for (std::size_t i = 0; i < rows; ++i) {
        Stream& stream = streams_[i];
        stream.state.keys(stream.keys);
        for (const std::uint64_t key : stream.keys)
            if (key != 0) followers_.prefetch(key);
    }
    for (std::size_t i = 0; i < rows; ++i) {
        Stream& stream = streams_[i];
        begin(stream);
        stream.mixed_chance = stream.model_chance = 1;
        stream.row = freqs + i * shape_.digits;
        stream.row_size = shape_.digits;
        stream.row_total = kOne;
        stream.confidence = confidence(*std::max_element(stream.row, stream.row + shape_.digits));
        if (Coder::kKnown) stream.token = static_cast<std::uint32_t>(known[i]) << 8;
    }
    code_groups(0, shape_.high_groups, rows, coder);
}

template <class Coder>
void Mixer::low(const std::int32_t* freqs, std::size_t rows, const std::int64_t* known, Coder& coder) {
    asked_ = false;
    for (std::size_t i = 0; i < rows; ++i) {
        Stream& stream = streams_[i];
        stream.mixed_chance = stream.model_chance = 1;
        stream.row = freqs + i * 256;
        stream.row_size = 256;
        stream.row_total = kOne;
        if (Coder::kKnown) stream.token = static_cast<std::uint32_t>(known[i]);
    }
    code_groups(shape_.high_groups, shape_.groups.size(), rows, coder);
}

// Groups of bits, each of all streams before the next one, whose slots are on their way meanwhile.
template <class Coder>
void Mixer::code_groups(std::size_t first, std::size_t end, std::size_t rows, Coder& coder) {
    for (std::size_t group = first; group < end; ++group) {
        const unsigned left = shape_.bits - shape_.before[group];
        for (std::size_t i = 0; i < rows; ++i)
            for (Context& context : streams_[i].contexts)
                if (context.follower.run != 0 && context.follower.branched) {
                    context.slot_key = slot_key(context.key, group, streams_[i].token >> left);
                    slots_.prefetch(context.slot_key);
                }
        for (std::size_t i = 0; i < rows; ++i)
            code(streams_[i], group, streams_[i].row, streams_[i].row_size, coder);
    }
}

void Mixer::encode_high(const std::int32_t* freqs, std::size_t rows, const std::int64_t* digits, RangeEncoder& coder) {
    const double before = all_mixed_.total();
    Encoding encoding{coder};
    high(freqs, rows, digits, encoding);
    coder.add_ideal_bits(all_mixed_.total() - before);
}

bool Mixer::decode_high(const std::int32_t* freqs, std::size_t rows, std::int64_t* digits, RangeDecoder& coder) {
    Decoding decoding{coder};
    high(freqs, rows, nullptr, decoding);
    bool good = coder.good();
    for (std::size_t i = 0; i < rows; ++i) {
        digits[i] = streams_[i].token >> 8;
        good &= streams_[i].token >> 8 < shape_.digits;
    }
    return good;
}

void Mixer::encode_low(const std::int32_t* freqs, std::size_t rows, const std::int64_t* tokens, RangeEncoder& coder) {
    const double before = all_mixed_.total();
    Encoding encoding{coder};
    low(freqs, rows, tokens, encoding);
    coder.add_ideal_bits(all_mixed_.total() - before);
    learn_step(rows);
}

bool Mixer::decode_low(const std::int32_t* freqs, std::size_t rows, std::int64_t* tokens, RangeDecoder& coder) {
    Decoding decoding{coder};
    low(freqs, rows, nullptr, decoding);
    bool good = coder.good();
    for (std::size_t i = 0; i < rows; ++i) {
        tokens[i] = streams_[i].token;
        good &= streams_[i].token < shape_.vocab;
    }
    if (good) learn_step(rows);
    return good;
}

void Mixer::costs(double* mixed, double* model) const {
    for (std::size_t i = 0; i < rows_; ++i) {
        mixed[i] = -std::log2(streams_[i].mixed_chance);
        model[i] = -std::log2(streams_[i].model_chance);
    }
}

void Mixer::state(std::int16_t* weights, std::uint32_t* uses, std::int32_t* finals, std::uint32_t* final_uses,
                  std::uint16_t* maps) const {
    std::copy_n(weights_, shape_.set_total * kInputs, weights);
    std::copy(uses_.begin(), uses_.end(), uses);
    std::copy(finals_.begin(), finals_.end(), finals);
    std::copy(final_uses_.begin(), final_uses_.end(), final_uses);
    for (const auto* cells : {&history_maps_, &follower_maps_, &match_maps_})
        for (const Cell& cell : *cells) *maps++ = static_cast<std::uint16_t>(cell.p());
}

}  // namespace lmzip::mix
