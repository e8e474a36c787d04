// Adaptive curves from mixed probabilities to better ones (NUMERICS.md, section 13, "Curves").

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tables.h"

namespace lmzip::mix {

class Curve {
  public:
    // The probability at a place from 1 to 4095, in units of 2^-24: on a straight line between two points.
    std::uint32_t read(std::uint32_t place) const {
        const std::uint32_t j = place >> 7, w = place & 127;
        return static_cast<std::uint32_t>((std::uint64_t{points_[j]} * (128 - w) + std::uint64_t{points_[j + 1]} * w) >> 7);
    }
    // The nearest point moves by a 64th.
    void learn(std::uint32_t place, bool bit) {
        std::uint32_t& nearest = points_[(place >> 7) + ((place & 127) >= 64)];
        const std::int32_t target = bit ? (1 << 24) - 1 : 0, value = static_cast<std::int32_t>(nearest);
        nearest = static_cast<std::uint32_t>(value + ((target - value) >> 6));
    }
    // n curves that change nothing yet.
    static std::vector<Curve> identities(std::size_t n) {
        Curve curve;
        for (std::int32_t j = 0; j < 33; ++j) curve.points_[static_cast<std::size_t>(j)] = squash((j - 16) * 128);
        return std::vector<Curve>(n, curve);
    }

  private:
    std::array<std::uint32_t, 33> points_;
};

}  // namespace lmzip::mix
