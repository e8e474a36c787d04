// Integer weights to frequencies (NUMERICS.md, section 10). The readable twin is
// lmzip/engine/arithmetic.py, `frequencies`; both give the same integers.

#include "frequencies.h"

#include <algorithm>
#include <array>
#include <limits>

namespace lmzip {

namespace {

constexpr std::int32_t kTotal = 1 << 24;
constexpr std::size_t kPart = 256;

// One row, whose weights sum to what a Sum can hold, `ratio` being R. The loops are apart so that all
// but the first can use vectors.
template <class Sum>
void row_frequencies(const std::int32_t* weights, std::int32_t* freqs, std::size_t n, double ratio) {
    std::array<Sum, kPart> sums;
    std::array<std::int32_t, kPart> places;
    Sum sum = 0;
    std::int32_t before = 0;
    for (std::size_t start = 0; start < n; start += kPart) {
        const std::size_t count = std::min(kPart, n - start);
        const std::int32_t* w = weights + start;
        std::int32_t* f = freqs + start;
        for (std::size_t i = 0; i < count; ++i) sums[i] = sum += w[i];
        // The compiler must not fuse this product into anything: -ffp-contract=off. It is not negative
        // and below 2^24, so that the cast is its floor.
        for (std::size_t i = 0; i < count; ++i)
            places[i] = static_cast<std::int32_t>(static_cast<double>(sums[i]) * ratio);
        f[0] = 1 + places[0] - before;
        for (std::size_t i = 1; i < count; ++i) f[i] = 1 + places[i] - places[i - 1];
        before = places[count - 1];
    }
    // The last place is 2^24 - n, whatever the product.
    freqs[n - 1] += kTotal - static_cast<std::int32_t>(n) - before;
}

}  // namespace

void frequencies(const std::int32_t* weights, std::int32_t* freqs, std::size_t rows,
                 std::size_t n) {
    for (std::size_t row = 0; row < rows; ++row) {
        const std::int32_t* w = weights + row * n;
        std::int32_t* f = freqs + row * n;
        std::int64_t total = 0;
        for (std::size_t i = 0; i < n; ++i) total += w[i];
        const double shared = kTotal - static_cast<double>(n);
        if (total == 0) {  // a row of zeros counts as a row of ones
            std::fill_n(f, n, 1);
            row_frequencies<std::int32_t>(f, f, n, shared / static_cast<double>(n));
        } else if (total <= std::numeric_limits<std::int32_t>::max()) {
            row_frequencies<std::int32_t>(w, f, n, shared / static_cast<double>(total));
        } else {
            row_frequencies<std::int64_t>(w, f, n, shared / static_cast<double>(total));
        }
    }
}

}  // namespace lmzip
