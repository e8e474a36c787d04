#include "rope.h"

namespace lmzip {

namespace {

template <std::size_t n>
double horner(double x, const double (&coefficients)[n]) {
    double total = coefficients[n - 1];
    for (std::size_t i = n - 1; i-- > 0;) total = total * x + coefficients[i];
    return total;
}

constexpr double kSine[] = {1.0,         -1.0 / 6,         1.0 / 120,       -1.0 / 5040,
                            1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800};
constexpr double kCosine[] = {1.0,         -1.0 / 2,       1.0 / 24,        -1.0 / 720,
                              1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200};

}  // namespace

void rope_angles(const std::uint64_t* turns, std::size_t half, std::uint64_t position, float* cosine,
                 float* sine) {
    for (std::size_t j = 0; j < half; ++j) {
        const std::uint64_t phase = position * turns[j];
        const std::uint64_t quadrant = (phase + (std::uint64_t{1} << 61)) >> 62;
        const auto rest = static_cast<std::int64_t>(phase - (quadrant << 62));
        const double angle = static_cast<double>(rest) * 0x1p-64 * 6.283185307179586;
        const double square = angle * angle;
        const double s = horner(square, kSine) * angle, c = horner(square, kCosine);
        const double sines[] = {s, c, -s, -c}, cosines[] = {c, -s, -c, s};
        sine[j] = static_cast<float>(sines[quadrant % 4]);
        cosine[j] = static_cast<float>(cosines[quadrant % 4]);
    }
}

}  // namespace lmzip
