// The range coder alone: bits and symbols, there and back, payloads of any end. `make sanitize` runs
// this under AddressSanitizer and UndefinedBehaviorSanitizer; tests/test_coder.py compares the bytes with
// the reference's. Exit status 1 on failure.

#include "../coder/range_coder.h"

#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

using lmzip::RangeDecoder;
using lmzip::RangeEncoder;

namespace {

std::mt19937 rng(3);

std::uint32_t below(std::uint32_t n) { return std::uniform_int_distribution<std::uint32_t>(0, n - 1)(rng); }

// A probability: anything, or nearly sure either way.
std::uint32_t draw() {
    constexpr std::uint32_t one = 1u << 24;
    switch (below(4)) {
        case 0: return 1;
        case 1: return one - 1;
        default: return 1 + below(one - 1);
    }
}

bool round_trip(std::size_t count) {
    std::vector<std::uint32_t> p1;
    std::vector<bool> bits;
    std::vector<std::int32_t> freqs;
    std::vector<std::int64_t> symbols;
    RangeEncoder encoder;
    for (std::size_t i = 0; i < count; ++i) {
        p1.push_back(draw());
        bits.push_back(below(1u << 24) < p1[i]);
        if (below(50) == 0) bits[i] = !bits[i];
        encoder.encode_bit(bits[i], p1[i]);
        const auto first = static_cast<std::int32_t>(1 + below((1u << 24) - 3)), rest = (1 << 24) - first;
        freqs.insert(freqs.end(), {first, rest - 1, 1});
        symbols.push_back(below(3));
        if (i % 3 == 0) encoder.encode(&freqs[3 * i], &symbols[i], 1, 3);
    }
    const auto payload = encoder.finish();
    if (!payload.empty() && payload.back() == 0) return false;
    RangeDecoder decoder(payload);
    for (std::size_t i = 0; i < count; ++i) {
        if (decoder.decode_bit(p1[i]) != bits[i]) return false;
        std::int64_t symbol = -1;
        if (i % 3 == 0 && (!decoder.decode(&freqs[3 * i], &symbol, 1, 3) || symbol != symbols[i])) return false;
    }
    return decoder.good();
}

// Any bytes decode to something, or are found out.
void garbage() {
    std::vector<std::uint8_t> payload(below(40));
    for (auto& byte : payload) byte = below(3) ? 255 : static_cast<std::uint8_t>(below(256));
    RangeDecoder decoder(payload);
    for (int i = 0; i < 200; ++i) decoder.decode_bit(draw());
}

}  // namespace

int main() {
    for (int i = 0; i < 300; ++i) {
        if (!round_trip(below(i < 200 ? 12 : 2000))) {
            std::printf("the coder does not read what it wrote (case %d)\n", i);
            return 1;
        }
        garbage();
    }
    std::printf("range coder: ok\n");
    return 0;
}
