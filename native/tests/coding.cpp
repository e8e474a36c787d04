// Mixing and range coding, there and back: what the encoder's mixer and coder wrote, the decoder's read.
// `make sanitize` runs this under AddressSanitizer and UndefinedBehaviorSanitizer. Their bits are
// compared with the references' in tests/test_mix.py and tests/test_coder.py. Exit status 1 on failure.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <type_traits>
#include <vector>

#include "../coder/range_coder.h"
#include "../isa/isa.h"
#include "../lockstep.h"
#include "../mix/mixer.h"

using namespace lmzip;

namespace {

std::mt19937 rng(2);

std::size_t below(std::size_t n) { return static_cast<std::size_t>(rng() % n); }

// A row of frequencies as a model gives them, now and then all but sure.
void draw(std::int32_t* row, std::size_t n) {
    const std::size_t top = below(n);
    const std::int32_t sure = below(3) == 0 ? 1 : 1 << below(24);
    std::int32_t left = (1 << 24) - static_cast<std::int32_t>(n);
    for (std::size_t i = 0; i < n; ++i) {
        const auto most = static_cast<std::size_t>(left / static_cast<std::int32_t>(n) / sure) + 1;
        row[i] = 1 + (n == 1 ? 0 : static_cast<std::int32_t>(below(most)));
        left -= row[i] - 1;
    }
    row[top] += left;
}

std::uint64_t checksum = 0xCBF29CE484222325u;  // of all payloads: the same on every machine

// Tokens of one to five bytes: letters, blanks, line ends and others.
std::shared_ptr<const mix::Vocabulary> vocabulary(std::size_t vocab) {
    auto made = std::make_shared<mix::Vocabulary>();
    made->ends.push_back(0);
    for (std::size_t i = 0; i < vocab; ++i) {
        for (std::size_t j = 0; j <= i % 5; ++j) made->bytes.push_back(static_cast<std::uint8_t>(i * 7 + j * 31));
        made->ends.push_back(static_cast<std::uint32_t>(made->bytes.size()));
    }
    return made;
}

struct Steps {
    std::size_t vocab, streams, length;
    unsigned bits;
    std::vector<std::int64_t> tokens;
    std::vector<std::int32_t> high, low;  // the model's rows

    std::size_t digits() const { return (vocab + 255) / 256; }

    Steps(std::size_t v, std::size_t s, std::size_t n, unsigned b) : vocab(v), streams(s), length(n), bits(b) {
        for (std::size_t i = 0; i < s * n; ++i) {
            const bool repeated = i >= 40 && below(4) > 0;
            tokens.push_back(repeated ? tokens[i - 40] : static_cast<std::int64_t>(below(v)));
        }
        high.resize(s * n * digits());
        low.resize(s * n * 256);
        for (std::size_t i = 0; i < s * n; ++i) {
            draw(&high[i * digits()], digits());
            draw(&low[i * 256], 256);
        }
    }

    // Run the mixer and the coder over all steps; check(tokens, step) sees what was coded.
    template <class Coder, class Check>
    bool run(Coder& coder, const Check& check) const {
        mix::Mixer mixer(vocabulary(vocab), streams, bits, {}, find_kernels(""));
        for (std::size_t t = 0; t < length; ++t) {
            if (t == length / 2) mixer.restart();
            const std::size_t rows = t + 3 < length ? streams : 1;  // some streams end earlier
            std::vector<std::int64_t> high_digits(rows), now(rows);
            const std::int32_t *high_rows = &high[t * streams * digits()], *low_rows = &low[t * streams * 256];
            if constexpr (std::is_same_v<Coder, RangeEncoder>) {
                for (std::size_t i = 0; i < rows; ++i) {
                    now[i] = tokens[t * streams + i];
                    high_digits[i] = now[i] / 256;
                }
                mixer.encode_high(high_rows, rows, high_digits.data(), coder);
                mixer.encode_low(low_rows, rows, now.data(), coder);
            } else {
                if (!mixer.decode_high(high_rows, rows, high_digits.data(), coder) ||
                    !mixer.decode_low(low_rows, rows, now.data(), coder))
                    return false;
            }
            if (!check(now, t)) return false;
        }
        return true;
    }
};

bool round_trip(std::size_t vocab, std::size_t streams, std::size_t length, unsigned bits) {
    const Steps steps(vocab, streams, length, bits);
    using Row = std::vector<std::int64_t>;
    RangeEncoder encoder;
    steps.run(encoder, [](const Row&, std::size_t) { return true; });
    const std::vector<std::uint8_t> payload = encoder.finish();
    for (const std::uint8_t byte : payload) checksum = (checksum ^ byte) * 0x100000001B3u;
    RangeDecoder decoder(payload);
    const bool good = steps.run(decoder, [&](const Row& now, std::size_t t) {
        return std::equal(now.begin(), now.end(), steps.tokens.begin() + static_cast<std::ptrdiff_t>(t * streams));
    });
    // What no encoder wrote: any tokens of the vocabulary may come out, or a refusal.
    std::vector<std::uint8_t> noise(length);
    for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>(below(256));
    RangeDecoder wrong(noise);
    bool inside = true;
    steps.run(wrong, [&](const Row& now, std::size_t) {
        for (const std::int64_t token : now) inside &= token >= 0 && token < static_cast<std::int64_t>(vocab);
        return inside;
    });
    return good && inside;
}

// Blocks in lockstep on several threads, every other one mixed, their rows apart in memory: there and back.
bool lockstep(std::size_t vocab, std::size_t streams, std::size_t threads) {
    constexpr std::size_t kBlocks = 4, kLength = 60, kApart = 5;
    std::vector<Steps> blocks;
    for (std::size_t b = 0; b < kBlocks; ++b) blocks.emplace_back(vocab, streams, kLength, 9u);
    const std::size_t digits = blocks[0].digits(), all = kBlocks * streams;
    std::vector<std::vector<std::uint8_t>> payloads;
    for (const bool encoding : {true, false}) {
        std::vector<std::unique_ptr<mix::Mixer>> mixers;
        std::vector<RangeEncoder> encoders(kBlocks);
        std::vector<RangeDecoder> decoders;
        for (const auto& payload : payloads) decoders.emplace_back(payload);
        std::vector<Lockstep::Block> parts;
        for (std::size_t b = 0; b < kBlocks; ++b) {
            mixers.push_back(b % 2 ? std::make_unique<mix::Mixer>(vocabulary(vocab), streams, 9u, mix::Start{}, find_kernels("")) : nullptr);
            parts.push_back({mixers[b].get(), encoding ? &encoders[b] : nullptr,
                             encoding ? nullptr : &decoders[b], streams});
        }
        Lockstep steps(parts, threads);
        for (std::size_t t = 0; t < kLength; ++t) {
            std::vector<std::int32_t> high(all * (digits + kApart)), low(all * (256 + kApart));
            std::vector<std::int64_t> known(all), found(all), active(kBlocks);
            for (std::size_t b = 0; b < kBlocks; ++b) {
                active[b] = static_cast<std::int64_t>(t + b < kLength ? streams : t % 2);
                for (std::size_t i = 0; i < streams; ++i) {
                    const std::size_t row = b * streams + i, at = t * streams + i;
                    known[row] = blocks[b].tokens[at];
                    std::copy_n(&blocks[b].high[at * digits], digits, &high[row * (digits + kApart)]);
                    std::copy_n(&blocks[b].low[at * 256], 256, &low[row * (256 + kApart)]);
                }
            }
            std::vector<std::int64_t> tokens = encoding ? known : found;
            if (!steps.high(high.data(), digits + kApart, digits, active.data(), tokens.data(), found.data()) ||
                !steps.low(low.data(), 256 + kApart, active.data(), found.data(), tokens.data()))
                return false;
            for (std::size_t b = 0; b < kBlocks; ++b)
                for (std::size_t i = 0; i < static_cast<std::size_t>(active[b]); ++i)
                    if (tokens[b * streams + i] != known[b * streams + i]) return false;
        }
        if (encoding)
            for (const RangeEncoder& encoder : encoders) payloads.push_back(encoder.finish());
    }
    return true;
}

}  // namespace

int main() {
    int failures = 0, checks = 0;
    for (const std::size_t vocab : {100, 256, 257, 8192, 49152})
        for (const std::size_t streams : {1, 5, 33})
            for (const unsigned bits : {8u, 13u}) {
                ++checks;
                if (round_trip(vocab, streams, 200, bits)) continue;
                ++failures;
                std::printf("FAILED vocabulary %zu, %zu streams, %u bits\n", vocab, streams, bits);
            }
    for (const std::size_t vocab : {200, 5000})
        for (const std::size_t threads : {1, 2, 5}) {
            ++checks;
            if (lockstep(vocab, 7, threads)) continue;
            ++failures;
            std::printf("FAILED blocks in lockstep, vocabulary %zu, %zu threads\n", vocab, threads);
        }
    std::printf("%-12s %d checks, checksum %016llx\n", "coding", checks, static_cast<unsigned long long>(checksum));
    return failures == 0 ? 0 : 1;
}
