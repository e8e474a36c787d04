#include "correction.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace lmzip::mix {

namespace {

constexpr std::size_t kCells = 33;  // of a situation, for odds of 2^-16 to 2^16
constexpr std::int32_t kOne = 1 << 24;
constexpr std::uint32_t kLessons = 250;
constexpr std::size_t kStep = 16;  // digits that are looked at without branches, so that vectors may

// log2, with straight lines between the powers of two.
double log2_lines(std::int32_t x) {
    const int exponent = std::bit_width(static_cast<std::uint32_t>(x)) - 1;
    return exponent + (x - (1 << exponent)) / static_cast<double>(1 << exponent);
}

}  // namespace

Correction::Correction(std::size_t situations) : cells_(situations * kCells) {
    for (std::size_t i = 0; i < cells_.size(); ++i) {
        const int j = static_cast<int>(i % kCells);
        cells_[i].chance = j <= 16 ? std::ldexp(1.0, j - 17) : 1 - std::ldexp(1.0, 15 - j);
    }
}

Correction::Question Correction::apply(std::size_t situation, std::int32_t* freqs, std::size_t n) const {
    std::int32_t freq = 0;
    for (std::size_t i = 0; i < n; ++i) freq = std::max(freq, freqs[i]);
    std::size_t top = 0;
    for (bool found = false; top + kStep <= n; top += kStep) {
        for (std::size_t i = 0; i < kStep; ++i) found |= freqs[top + i] == freq;
        if (found) break;
    }
    while (freqs[top] != freq) ++top;
    const std::int32_t others = std::max(1, kOne - freq);
    const double odds = freq < others ? log2_lines(freq) - 7 : 39 - log2_lines(others);
    const double place = std::clamp(odds, 0.0, 32.0);
    const std::size_t first = std::min<std::size_t>(static_cast<std::size_t>(place), kCells - 2);
    const Question question{situation * kCells + first, place - static_cast<double>(first),
                            static_cast<std::uint32_t>(top)};
    if (n == 1) return question;

    const Cell &a = cells_[question.cell], &b = cells_[question.cell + 1];
    const double u = question.second, lessons = a.lessons * (1 - u) + b.lessons * u;
    const double trust = 0.8 * lessons / (lessons + 50);
    const double before = freq / static_cast<double>(kOne);
    double after = (1 - trust) * before + trust * (a.chance * (1 - u) + b.chance * u);
    after = std::max(std::min(after, 1 - static_cast<double>(n) * 0x1p-22), before * 0.5);
    const double scale = (1 - after) / (1 - before);
    std::int32_t sum = 0;
    freqs[top] = 1;
    for (std::size_t i = 0; i < n; ++i) {
        freqs[i] = std::max(1, static_cast<std::int32_t>(freqs[i] * scale));
        sum += freqs[i];
    }
    freqs[top] += kOne - sum;
    return question;
}

void Correction::learn(const Question& question, std::uint32_t digit) {
    const double came = digit == question.top ? 1 : 0;
    const double parts[] = {1 - question.second, question.second};
    for (std::size_t i = 0; i < 2; ++i) {
        Cell& cell = cells_[question.cell + i];
        cell.chance += (came - cell.chance) * parts[i] / (cell.lessons + 1.5);
        cell.lessons = std::min(cell.lessons + 1, kLessons);
    }
}

}  // namespace lmzip::mix
