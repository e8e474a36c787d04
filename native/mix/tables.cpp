#include "tables.h"

#include <algorithm>
#include <cmath>

namespace lmzip::mix {

namespace {

// Every entry is the integer nearest to a real number. None of them is near to the middle between two
// integers (tests/test_mix.py looks), so that the last bit of a library's logarithm does not matter.
Tables make_tables() {
    Tables tables{};
    for (int i = 0; i < 4096; ++i) {
        const double p = (i + 0.5) / 4096;
        tables.stretch[static_cast<std::size_t>(i)] =
            static_cast<std::int16_t>(std::lround(kStretchScale * std::log(p / (1 - p))));
        const double x = (i - 2048) / static_cast<double>(kStretchScale);
        const long squashed = std::lround(16777216.0 / (1 + std::exp(-x)));
        tables.squash[static_cast<std::size_t>(i)] =
            static_cast<std::uint32_t>(std::clamp(squashed, 64L, 16777216L - 64));
    }
    for (std::uint32_t n = 0; n < 1024; ++n) tables.rate[n] = 131072 / (2 * n + 3);
    return tables;
}

}  // namespace

const Tables kTables = make_tables();

}  // namespace lmzip::mix
