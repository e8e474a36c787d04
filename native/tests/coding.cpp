// Mixing and range coding, there and back: what the encoder's mixer and coder wrote, the decoder's read.
// `make sanitize` runs this under AddressSanitizer and UndefinedBehaviorSanitizer. Their bits are
// compared with the references' in tests/test_mix.py and tests/test_coder.py. Exit status 1 on failure.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include "../coder/range_coder.h"
#include "../lockstep.h"
#include "../mix/mixer.h"

using namespace lmzip;

namespace {

std::mt19937 rng(2);

std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(rng); }

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

    // Run the mixer over all steps; code(freqs, symbols, rows, n) is one coding of a step.
    template <class Code>
    bool run(const Code& code) const {
        std::vector<std::uint8_t> words(vocab);
        for (std::size_t i = 0; i < vocab; ++i) words[i] = i % 3 != 0;
        mix::Mixer mixer(words.data(), vocab, streams, bits);
        std::vector<std::int32_t> mixed(streams * std::max<std::size_t>(digits(), 256));
        for (std::size_t t = 0; t < length; ++t) {
            if (t == length / 2) mixer.restart();
            const std::size_t rows = t + 3 < length ? streams : 1;  // some streams end earlier
            std::vector<std::int64_t> high_digits(rows), low_digits(rows), now(rows);
            for (std::size_t i = 0; i < rows; ++i) {
                now[i] = tokens[t * streams + i];
                high_digits[i] = now[i] / 256;
                low_digits[i] = now[i] % 256;
            }
            mixer.high(&high[t * streams * digits()], rows, mixed.data());
            if (!code(mixed, high_digits, rows, digits())) return false;
            mixer.low(high_digits.data(), &low[t * streams * 256], rows, mixed.data());
            if (!code(mixed, low_digits, rows, std::size_t{256})) return false;
            mixer.update(now.data(), rows);
        }
        return true;
    }
};

bool round_trip(std::size_t vocab, std::size_t streams, std::size_t length, unsigned bits) {
    const Steps steps(vocab, streams, length, bits);
    using Row = std::vector<std::int64_t>;
    RangeEncoder encoder;
    steps.run([&](const auto& freqs, const Row& symbols, std::size_t rows, std::size_t n) {
        for (std::size_t row = 0; row < rows; ++row) {
            std::int64_t sum = 0;
            for (std::size_t i = 0; i < n; ++i) {
                if (freqs[row * n + i] < 1) return false;
                sum += freqs[row * n + i];
            }
            if (sum != 1 << 24) return false;
        }
        if (n > 1) encoder.encode(freqs.data(), symbols.data(), rows, n);
        return true;
    });
    RangeDecoder decoder(encoder.finish());
    return steps.run([&](const auto& freqs, const Row& symbols, std::size_t rows, std::size_t n) {
        if (n == 1) return true;
        Row decoded(rows);
        return decoder.decode(freqs.data(), decoded.data(), rows, n) && decoded == symbols;
    });
}

// Blocks in lockstep on several threads, every other one mixed, their rows apart in memory: there and back.
bool lockstep(std::size_t vocab, std::size_t streams, std::size_t threads) {
    constexpr std::size_t kBlocks = 4, kLength = 60, kApart = 5;
    std::vector<Steps> blocks;
    for (std::size_t b = 0; b < kBlocks; ++b) blocks.emplace_back(vocab, streams, kLength, 9u);
    const std::vector<std::uint8_t> words(vocab, 1);
    const std::size_t digits = blocks[0].digits(), all = kBlocks * streams;
    std::vector<std::vector<std::uint8_t>> payloads;
    for (const bool encoding : {true, false}) {
        std::vector<std::unique_ptr<mix::Mixer>> mixers;
        std::vector<RangeEncoder> encoders(kBlocks);
        std::vector<RangeDecoder> decoders;
        for (const auto& payload : payloads) decoders.emplace_back(payload);
        std::vector<Lockstep::Block> parts;
        for (std::size_t b = 0; b < kBlocks; ++b) {
            mixers.push_back(b % 2 ? std::make_unique<mix::Mixer>(words.data(), vocab, streams, 9u) : nullptr);
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
    std::printf("%-12s %d checks\n", "coding", checks);
    return failures == 0 ? 0 : 1;
}
