// What contexts learn once a token is known (NUMERICS.md, section 13, "LEARN TOKEN" and "Priming").

#include <algorithm>

#include "mixer.h"

namespace lmzip::mix {

// The slots of contexts that are about to branch are on their way while the streams before learn.
void Mixer::learn_step(std::size_t rows) {
    constexpr std::size_t kAhead = 2;
    for (std::size_t i = 0; i < rows + kAhead; ++i) {
        if (i < rows) prefetch_branches(streams_[i]);
        if (i >= kAhead) learn(streams_[i - kAhead], streams_[i - kAhead].token);
    }
}

void Mixer::prefetch_branches(const Stream& stream) const {
    for (const Context& context : stream.contexts) {
        const Follower& follower = context.follower;
        if (follower.run == 0 || follower.branched || follower.token == stream.token) continue;
        for (std::size_t group = 0; group < shape_.groups.size(); ++group) {
            const unsigned left = shape_.bits - shape_.before[group];
            slots_.prefetch(slot_key(context.key, group, follower.token >> left));
            if (group > 0) slots_.prefetch(slot_key(context.key, group, stream.token >> left));
        }
    }
}

void Mixer::learn_nodes(std::uint64_t key, std::uint32_t token, unsigned times) {
    for (std::size_t group = 0; group < shape_.groups.size(); ++group) {
        const unsigned group_bits = shape_.groups[group], before = shape_.before[group];
        Node* slot = slots_.find(slot_key(key, group, token >> (shape_.bits - before)), group_bits);
        std::uint32_t node = 1;
        for (unsigned b = 0; b < group_bits; ++b) {
            const bool bit = (token >> (shape_.bits - 1 - before - b) & 1) != 0;
            for (unsigned i = 0; i < times; ++i) mix::learn(slot[node], bit);
            node = node * 2 + bit;
        }
        Slots::use(slot);
    }
}

// Every context learns which token followed it, and the stream goes on.
void Mixer::learn(Stream& stream, std::uint32_t token) {
    for (const Context& context : stream.contexts) {
        if (context.key == 0) continue;
        std::uint64_t& word = followers_.place(context.key);
        Follower now = Followers::read(word);
        const bool same = now.token == token;
        if (now.run == 0) {
            now = {token, 1, false};
        } else if (now.branched) {
            // The nodes have learned while they were asked, if they were.
            if (!context.follower.branched || context.follower.run == 0) learn_nodes(context.key, token, 1);
            now = {token, same ? std::min(now.run + 1, 255u) : 1, true};
        } else if (same) {
            now.run = std::min(now.run + 1, 255u);
        } else {
            learn_nodes(context.key, now.token, std::min(now.run, 8u));
            learn_nodes(context.key, token, 1);
            now = {token, 1, true};
        }
        Followers::write(word, now);
    }
    ++learned_;
    texts_.add(stream.text, token, stream.match_token, stream.match);
    stream.state.add(token, *vocabulary_);
}

void Mixer::prime(const std::int64_t* tokens, std::size_t n) {
    asked_ = false;
    Stream& stream = streams_[0];
    const std::uint64_t learned = learned_;
    for (std::size_t i = 0; i < n; ++i) {
        stream.state.keys(stream.keys);
        for (std::size_t c = 0; c < kContexts; ++c) stream.contexts[c] = {stream.keys[c], {0, 0, false}, 0};
        stream.match_token = -1;
        learn(stream, static_cast<std::uint32_t>(tokens[i]));
    }
    learned_ = learned;  // weights have learned nothing yet
    restart();
}

}  // namespace lmzip::mix
