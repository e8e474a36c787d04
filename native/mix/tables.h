// The two functions between probabilities and the logistic domain, as tables, and the rates of
// adaptive probabilities (NUMERICS.md, section 13, "Tables").

#pragma once

#include <array>
#include <cstdint>

namespace lmzip::mix {

constexpr std::int32_t kStretchScale = 128;  // units of the logistic domain in one nat
constexpr std::int32_t kStretchLimit = 2047;

struct Tables {
    std::array<std::int16_t, 4096> stretch;   // of probabilities in units of 2^-12
    std::array<std::uint32_t, 4096> squash;   // of -2048..2047, in units of 2^-24
    std::array<std::uint32_t, 1024> rate;     // of a probability that has seen n bits, in units of 2^-16
};

extern const Tables kTables;

// ln(p / (1 - p)) in units of 1/128, p in units of 2^-16.
inline std::int32_t stretch(std::uint32_t p) { return kTables.stretch[p >> 4]; }

// The probability of x, in units of 2^-24: never 0, never 1.
inline std::uint32_t squash(std::int32_t x) {
    if (x > kStretchLimit) x = kStretchLimit;
    if (x < -kStretchLimit) x = -kStretchLimit;
    return kTables.squash[static_cast<std::size_t>(x + 2048)];
}

}  // namespace lmzip::mix
