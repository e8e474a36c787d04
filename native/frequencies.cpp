// Integer weights to frequencies (NUMERICS.md, section 10). The readable twin is
// lmzip/engine/arithmetic.py, `frequencies`; both give the same integers.

#include "frequencies.h"

namespace lmzip {

void frequencies(const std::int32_t* weights, std::int32_t* freqs, std::size_t rows,
                 std::size_t n) {
    constexpr double total_freq = 1 << 24;
    for (std::size_t row = 0; row < rows; ++row) {
        const std::int32_t* w = weights + row * n;
        std::int32_t* f = freqs + row * n;
        std::int64_t total = 0;
        for (std::size_t i = 0; i < n; ++i) total += w[i];
        const bool empty = total == 0;  // a row of zeros counts as a row of ones
        const double ratio =
            (total_freq - static_cast<double>(n)) /
            static_cast<double>(empty ? static_cast<std::int64_t>(n) : total);
        std::int64_t sum = 0;
        std::int64_t before = 0;
        for (std::size_t i = 0; i + 1 < n; ++i) {
            sum += empty ? 1 : w[i];
            // The compiler must not fuse this product into anything: -ffp-contract=off. It is not
            // negative and below 2^24, so that the cast is its floor.
            const auto after = static_cast<std::int64_t>(i + 1) +
                               static_cast<std::int32_t>(static_cast<double>(sum) * ratio);
            f[i] = static_cast<std::int32_t>(after - before);
            before = after;
        }
        f[n - 1] = static_cast<std::int32_t>((std::int64_t{1} << 24) - before);
    }
}

}  // namespace lmzip
