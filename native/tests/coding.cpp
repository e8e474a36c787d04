// Mixing and range coding, there and back: what the encoder's mixer and coder wrote, the decoder's read; any
// payload ends in tokens of the vocabulary or in a refusal. `make sanitize` runs this under
// AddressSanitizer and UndefinedBehaviorSanitizer; with the argument "lockstep" it runs blocks in lockstep
// only, for ThreadSanitizer. The integers are compared with the readable twin's in tests/test_mix.py. Exit
// status 1 on failure.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../coder/range_coder.h"
#include "../isa/isa.h"
#include "../lockstep.h"
#include "../mix/mixer.h"

using namespace lmzip;

namespace {

using Row = std::vector<std::int64_t>;

std::mt19937 rng(2);
std::uint64_t checksum = 0xCBF29CE484222325u;  // of the payloads: the same on every machine

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

// Tokens of a few bytes each, and some of none, of many brackets or fields, or longer than what is remembered.
std::shared_ptr<const mix::Vocabulary> vocabulary(std::size_t size) {
    const std::string letters = "etaoin shrdlu,\n(a)_;Z{}[9]\t0|1ETA\xc3\xa9";
    auto made = std::make_shared<mix::Vocabulary>();
    made->ends.push_back(0);
    for (std::size_t i = 0; i < size; ++i) {
        std::string bytes;
        if (i % 97 == 5) bytes = std::string(100, '(');
        if (i % 97 == 6) bytes = std::string(80, ']');
        if (i % 97 == 7) bytes = std::string(1500, ',');
        if (i == 8) bytes = std::string((1 << 16) + 3, 'x');
        for (std::size_t k = below(6); k > 0; --k) bytes += letters[below(letters.size())];
        made->bytes.insert(made->bytes.end(), bytes.begin(), bytes.end());
        made->ends.push_back(static_cast<std::uint32_t>(made->bytes.size()));
    }
    return made;
}

// A start of the largest and smallest values, and some between.
struct AnyStart {
    explicit AnyStart(const mix::Shape& shape)
        : weights(shape.set_total * mix::kInputs), finals(shape.finals * 8), maps(shape.map_cells()) {
        for (auto& w : weights) w = static_cast<std::int8_t>(below(3) == 0 ? below(256) : below(2) == 0 ? 127 : 128);
        for (auto& w : finals) w = static_cast<std::int16_t>(below(2) == 0 ? below(65536) : below(2) == 0 ? 32767 : 32768);
        for (auto& p : maps) p = static_cast<std::uint16_t>(below(2) == 0 ? below(65536) : below(2) == 0 ? 0 : 65535);
    }
    mix::Start start() const { return {weights.data(), finals.data(), maps.data()}; }

    std::vector<std::int8_t> weights;
    std::vector<std::int16_t> finals;
    std::vector<std::uint16_t> maps;
};

struct Steps {
    std::size_t streams, length;
    unsigned bits;
    std::shared_ptr<const mix::Vocabulary> words;
    mix::Shape shape;
    AnyStart any_start;
    Row tokens, side;
    std::vector<std::int32_t> high, low;  // the model's rows

    Steps(std::size_t vocab, std::size_t s, std::size_t n, unsigned b)
        : streams(s), length(n), bits(b), words(vocabulary(vocab)), shape(vocab), any_start(shape) {
        for (std::size_t i = 0; i < s * n; ++i) {
            const bool repeated = i >= 40 && below(4) > 0;
            tokens.push_back(repeated ? tokens[i - 40] : static_cast<std::int64_t>(below(vocab)));
        }
        for (std::size_t i = 0; i < 60; ++i) side.push_back(tokens[below(tokens.size())]);
        high.resize(s * n * shape.digits);
        low.resize(s * n * 256);
        for (std::size_t i = 0; i < s * n; ++i) {
            draw(&high[i * shape.digits], shape.digits);
            draw(&low[i * 256], 256);
        }
    }

    std::unique_ptr<mix::Mixer> mixer(bool started, const std::string& isa = "") const {
        const mix::Start start = started ? any_start.start() : mix::Start{};
        return std::make_unique<mix::Mixer>(words, streams, bits, start, find_kernels(isa));
    }

    // All steps; code(mixer, t, rows, expected) codes the tokens of one of them.
    template <class Code>
    bool run(bool started, const std::string& isa, const Code& code) const {
        const auto made = mixer(started, isa);
        made->prime(side.data(), side.size());
        for (std::size_t t = 0; t < length; ++t) {
            if (t == length / 2) made->restart();
            const std::size_t rows = t + 3 < length ? streams : 1;  // some streams end earlier
            const Row now(&tokens[t * streams], &tokens[t * streams] + rows);
            if (!code(*made, &high[t * streams * shape.digits], &low[t * streams * 256], rows, now)) return false;
            std::vector<double> mixed(rows), model(rows);
            made->costs(mixed.data(), model.data());
            for (std::size_t i = 0; i < rows; ++i)
                if (!(mixed[i] >= 0 && mixed[i] < 300 && model[i] >= 0 && model[i] < 300)) return false;
        }
        std::vector<std::int16_t> weights(shape.set_total * mix::kInputs);
        std::vector<std::int32_t> finals(shape.finals * 8);
        std::vector<std::uint32_t> uses(shape.set_total), final_uses(shape.finals);
        std::vector<std::uint16_t> maps(shape.map_cells());
        made->state(weights.data(), uses.data(), finals.data(), final_uses.data(), maps.data());
        const double bits = made->model_bits();
        made->forget();
        return bits > 0;
    }
};

// Every instruction set there is writes the same payload, and reads it.
bool round_trip(const Steps& steps, bool started) {
    std::vector<std::uint8_t> first;
    for (const Kernels* kernels : available_kernels()) {
        const std::string isa = kernels->name;
        RangeEncoder encoder;
        if (!steps.run(started, isa, [&](auto& mixer, auto* high, auto* low, std::size_t rows, const Row& now) {
                Row digits(rows);
                for (std::size_t i = 0; i < rows; ++i) digits[i] = now[i] >> 8;
                mixer.encode_high(high, rows, digits.data(), encoder);
                mixer.encode_low(low, rows, now.data(), encoder);
                return true;
            }))
            return false;
        const std::vector<std::uint8_t> payload = encoder.finish();
        if (first.empty()) {
            first = payload;
            for (const std::uint8_t byte : payload) checksum = (checksum ^ byte) * 0x100000001B3u;
        }
        if (payload != first) return false;
        RangeDecoder decoder(payload);
        if (!steps.run(started, isa, [&](auto& mixer, auto* high, auto* low, std::size_t rows, const Row& now) {
                Row digits(rows), found(rows);
                return mixer.decode_high(high, rows, digits.data(), decoder) &&
                       mixer.decode_low(low, rows, found.data(), decoder) && found == now;
            }))
            return false;
    }
    return true;
}

// Noise decodes to tokens of the vocabulary until it is refused.
bool noise(const Steps& steps, bool started) {
    std::vector<std::uint8_t> payload(steps.streams * steps.length);
    for (auto& byte : payload) byte = static_cast<std::uint8_t>(below(256));
    RangeDecoder decoder(payload);
    bool in_bounds = true;
    steps.run(started, "", [&](auto& mixer, auto* high, auto* low, std::size_t rows, const Row&) {
        Row digits(rows), found(rows);
        if (!mixer.decode_high(high, rows, digits.data(), decoder) ||
            !mixer.decode_low(low, rows, found.data(), decoder))
            return false;
        for (std::size_t i = 0; i < rows; ++i)
            in_bounds &= found[i] >= 0 && found[i] < static_cast<std::int64_t>(steps.shape.vocab);
        return true;
    });
    return in_bounds;
}

// Blocks in lockstep on several threads, every other one mixed, their rows apart in memory: there and back.
// Their mixers share a vocabulary.
bool lockstep(std::size_t vocab, std::size_t streams, std::size_t threads) {
    constexpr std::size_t kBlocks = 4, kLength = 60, kApart = 5;
    std::vector<Steps> blocks;
    for (std::size_t b = 0; b < kBlocks; ++b) {
        blocks.emplace_back(vocab, streams, kLength, 9u);
        blocks[b].words = blocks[0].words;
    }
    const std::size_t digits = blocks[0].shape.digits, all = kBlocks * streams;
    std::vector<std::vector<std::uint8_t>> payloads;
    for (const bool encoding : {true, false}) {
        std::vector<std::unique_ptr<mix::Mixer>> mixers;
        std::vector<RangeEncoder> encoders(kBlocks);
        std::vector<RangeDecoder> decoders;
        for (const auto& payload : payloads) decoders.emplace_back(payload);
        std::vector<Lockstep::Block> parts;
        for (std::size_t b = 0; b < kBlocks; ++b) {
            mixers.push_back(b % 2 ? blocks[b].mixer(b == 1) : nullptr);
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

int main(int argc, char** argv) {
    const bool lockstep_only = argc > 1 && std::string(argv[1]) == "lockstep";
    int failures = 0, checks = 0;
    const auto check = [&](bool good, const char* what, std::size_t vocab, std::size_t n) {
        ++checks;
        if (good) return;
        ++failures;
        std::printf("FAILED %s, vocabulary %zu, %zu\n", what, vocab, n);
    };
    const std::vector<std::size_t> vocabularies = {1, 100, 256, 257, 8192, 49152, (1 << 17) + 5, (1 << 19) - 1};
    for (const std::size_t vocab : lockstep_only ? std::vector<std::size_t>{} : vocabularies)
        for (const std::size_t streams : {1, 5, 33})
            for (const unsigned bits : {8u, 13u}) {
                const Steps steps(vocab, streams, streams == 33 ? 40 : 150, bits);
                for (const bool started : {false, true}) {
                    check(round_trip(steps, started), "there and back, streams", vocab, streams);
                    check(noise(steps, started), "noise, streams", vocab, streams);
                }
            }
    for (const std::size_t vocab : {200, 5000})
        for (const std::size_t threads : {1, 2, 5})
            check(lockstep(vocab, 7, threads), "blocks in lockstep, threads", vocab, threads);
    std::printf("%-12s %d checks, checksum %016llx\n", "coding", checks, static_cast<unsigned long long>(checksum));
    return failures == 0 ? 0 : 1;
}
