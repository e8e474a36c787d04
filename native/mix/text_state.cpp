#include "text_state.h"

#include <algorithm>

namespace lmzip::mix {

namespace {

constexpr std::size_t kFields = 1024;  // fields of a record that are remembered

bool is_letter(std::uint8_t c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c >= 128; }
bool is_digit(std::uint8_t c) { return c >= '0' && c <= '9'; }

// A word goes on with a byte, or ends before it.
void go_on(std::array<std::uint64_t, 3>& words, bool inside, std::uint8_t byte) {
    if (inside) {
        words[0] = fold(words[0], byte);
    } else if (words[0] != 0) {
        words = {0, words[0], words[1]};
    }
}

}  // namespace

void TextState::restart() { *this = TextState(); }

void TextState::add(std::uint32_t token, const Vocabulary& vocabulary) {
    const std::size_t line = line_;
    for (std::size_t i = vocabulary.ends[token]; i < vocabulary.ends[token + 1]; ++i)
        add_byte(vocabulary.bytes[i]);
    std::copy_backward(last_.begin(), last_.end() - 1, last_.end());
    last_[0] = token;
    ++count_;
    if (line_ != line) {
        tokens_in_line_ = 0;
    } else if (++tokens_in_line_ == 1) {
        first_ = token + 1;
    }
}

void TextState::add_byte(std::uint8_t byte) {
    if (bytes_.size() < kKept) {
        bytes_.push_back(static_cast<char>(byte));
    } else {
        bytes_[length_ % kKept] = static_cast<char>(byte);
    }
    ++length_;
    last_bytes_ = last_bytes_ << 8 | byte;

    const bool letter = is_letter(byte);
    go_on(words_, letter, byte >= 'A' && byte <= 'Z' ? static_cast<std::uint8_t>(byte + 32) : byte);
    go_on(names_, letter || is_digit(byte) || byte == '_', byte);
    const std::uint8_t kind = is_digit(byte) ? 1 : letter ? 2 : byte;
    if (!(kind == 2 && (shape_ & 255) == 2)) shape_ = shape_ << 8 | kind;

    if (byte == ',' || byte == '\t' || byte == ';' || byte == '|' || byte == '\n') {
        if (record_.size() < kFields) record_.push_back(field_);
        field_ = 0;
    } else {
        field_ = fold(field_, byte);
    }
    if (byte == '(' || byte == '[' || byte == '{') {
        if (depth_ < kDepth) brackets_[depth_++] = fold(fold(fold(0, byte), names_[1]), names_[0]);
    } else if ((byte == ')' || byte == ']' || byte == '}') && depth_ > 0) {
        --depth_;
    }
    if (byte == '\n') {
        record_before_.swap(record_);
        record_.clear();
        line_before_ = line_;
        line_ = length_;
        has_line_before_ = true;
        first_ = 0;
    }
}

std::uint32_t TextState::above() const {
    std::uint32_t found = 0;
    const std::size_t start = line_before_ + (length_ - line_);
    for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t at = start + i;
        if (at >= line_ || at + kKept < length_) break;
        found |= std::uint32_t{static_cast<std::uint8_t>(bytes_[at % kKept])} << (8 * i);
    }
    return found;
}

void TextState::keys(std::array<std::uint64_t, kContexts>& keys) const {
    std::size_t number = 0;
    const auto put = [&](bool there, std::uint64_t h) {
        keys[number] = there ? finish(fold(h, number)) | 1 : 0;
        ++number;
    };
    const auto chain = [](auto... values) {
        std::uint64_t h = 0;
        ((h = fold(h, values)), ...);
        return h;
    };
    const std::uint64_t x1 = last_[0], word = words_[0] ? words_[0] : words_[1];
    put(true, 0);
    std::uint64_t h = 0;
    for (const auto& [from, to] : {std::pair{0u, 1u}, {1u, 2u}, {2u, 3u}, {3u, 4u}, {4u, 6u}, {6u, 8u}}) {
        for (std::size_t i = from; i < to; ++i) h = fold(h, last_[i]);
        put(count_ >= to, h);
    }
    put(count_ >= 2, chain(last_[1]));
    put(count_ >= 3, chain(last_[1], last_[2]));
    const bool begun = count_ > 0;
    put(begun, chain(word, x1));
    put(begun, chain(words_[1], words_[0] ? words_[0] : words_[2], x1));
    put(begun, chain(last_bytes_ & 0xFFFFFF));
    const std::uint64_t over = has_line_before_ ? above() : 0;
    put(has_line_before_, chain(over, x1));
    const std::size_t number_of_field = record_.size();
    const std::uint64_t field_over =
        number_of_field < record_before_.size() ? record_before_[number_of_field] : 0;
    put(begun, chain(number_of_field, field_over, field_));
    put(begun, chain(number_of_field, field_));
    const std::uint64_t bracket = depth_ ? brackets_[depth_ - 1] : 0;
    put(begun, chain(bracket, x1));
    put(begun, names_[0] ? chain(names_[0], names_[1]) : chain(names_[1], names_[2]));
    put(begun, chain(shape_ & 0xFFFFFFFFFFFF));
    put(begun, chain(bracket, std::uint64_t{depth_}, over & 255));
    put(has_line_before_, chain(over, std::uint64_t{first_}, x1));
}

}  // namespace lmzip::mix
