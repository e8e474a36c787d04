#include "texts.h"

#include <algorithm>

#include "text_state.h"

namespace lmzip::mix {

namespace {

constexpr std::uint32_t kTokens = 5;        // equal tokens that make a match
constexpr std::uint32_t kLongest = 64;      // equal tokens that are counted
constexpr std::size_t kKept = 1 << 24;      // tokens; when there are more, they are forgotten

}  // namespace

Texts::Texts(unsigned bits) : texts_(1), places_(std::size_t{1} << bits, Place{0, 0}) {}

void Texts::forget() {
    texts_.assign(1, {});
    std::fill(places_.begin(), places_.end(), Place{0, 0});
    tokens_ = 0;
}

void Texts::begin_streams() {
    if (tokens_ > kKept) forget();
}

std::uint32_t Texts::begin() {
    texts_.emplace_back();
    return static_cast<std::uint32_t>(texts_.size() - 1);
}

std::int64_t Texts::expected(const Match& match) const {
    if (match.text == 0 || match.index >= texts_[match.text].size()) return -1;
    return texts_[match.text][match.index];
}

void Texts::add(std::uint32_t number, std::uint32_t token, std::int64_t expected, Match& match) {
    std::vector<std::uint32_t>& text = texts_[number];
    text.push_back(token);
    ++tokens_;
    if (expected == static_cast<std::int64_t>(token)) {
        match.length = std::min(match.length + 1, kLongest);
        ++match.index;
    } else {
        match = {};
    }
    if (text.size() < kTokens) return;
    std::uint64_t h = 0;
    for (std::size_t i = 0; i < kTokens; ++i) h = fold(h, text[text.size() - 1 - i]);
    Place& last = places_[finish(h) >> 20 & (places_.size() - 1)];
    if (match.text == 0 && last.text != 0) {
        const std::vector<std::uint32_t>& other = texts_[last.text];
        std::uint32_t equal = 0;
        while (equal < kLongest && equal < last.index && equal < text.size() &&
               other[last.index - 1 - equal] == text[text.size() - 1 - equal])
            ++equal;
        if (equal >= kTokens) match = {last.text, last.index, equal};
    }
    last = {number, static_cast<std::uint32_t>(text.size())};
}

}  // namespace lmzip::mix
